"""GLaM: linear maps between layers of unequal polar binning and one regular grid, and back.

The edges in radius of all layers together bound the R bins of the grid; its bins in azimuth are as
many as the least common multiple of the layers' numbers. A layer goes to the grid in two steps:

  radius   y_j = sum_i W_ji x_i,   W_ji = (r_{j+1}^2 - r_j^2) / (R_{i+1}^2 - R_i^2)

           for the fine bins j inside the coarse bin i, else 0: energy spread over the area
  azimuth  each bin equally over the m = n_azimuth(grid) / n_azimuth(layer) bins inside it

and back by the sum over m bins and the pseudo-inverse of W. So the sum of a layer is kept on the
way to the grid, and there and back is the identity.

Source: Amram and Pedro, CaloDiffusion, arXiv:2308.03876 ("geometry latent mapping").
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from jaxcalo.geometry.cylindrical import common_grid_shape, common_r_edges, polar_layers
from jaxcalo.geometry.detector import Detector, PolarLayer


@dataclass(frozen=True, eq=False)
class LayerMaps:
    """The maps of one layer.

    Attributes:
        n_azimuth: bins in azimuth of the layer; they divide those of the grid.
        encoder: W, (radius bins of the grid, radius bins of the layer) float32, each column of
            sum 1.
        decoder: its pseudo-inverse, (radius bins of the layer, radius bins of the grid) float32.
    """

    n_azimuth: int
    encoder: np.ndarray
    decoder: np.ndarray

    @property
    def n_radius(self) -> int:
        """Bins in radius of the layer."""
        return self.encoder.shape[1]

    @property
    def n_voxels(self) -> int:
        """Voxels of the layer."""
        return self.n_azimuth * self.n_radius


@dataclass(frozen=True, eq=False)
class GlamMaps:
    """The maps of all layers that are read out.

    Attributes:
        grid_shape: (n_layers, n_azimuth, n_radius) of the regular grid.
        layers: one for each layer, in file order.
    """

    grid_shape: tuple[int, int, int]
    layers: tuple[LayerMaps, ...]

    @property
    def n_voxels(self) -> int:
        """Voxels of one shower, off the grid."""
        return sum(layer.n_voxels for layer in self.layers)


def glam_maps(detector: Detector) -> GlamMaps:
    """Return the maps between the layers of a detector and one regular grid.

    Args:
        detector: polar layers; equal ones get identities.

    Raises:
        InputError: a layer is not polar.
    """
    edges = common_r_edges(detector)
    layers = tuple(_maps(layer, edges) for layer in polar_layers(detector))
    return GlamMaps(common_grid_shape(detector), layers)


def _maps(layer: PolarLayer, edges: np.ndarray) -> LayerMaps:
    """Return the maps of one layer to and from the bins between `edges`."""
    columns = []
    for inner, outer in pairwise(layer.r_edges_mm):
        inside = (edges[:-1] >= inner) & (edges[1:] <= outer)
        columns.append(np.where(inside, np.diff(edges**2) / (outer**2 - inner**2), 0.0))
    encoder = np.stack(columns, axis=1)
    decoder = np.linalg.pinv(encoder)
    return LayerMaps(layer.n_azimuth, encoder.astype(np.float32), decoder.astype(np.float32))
