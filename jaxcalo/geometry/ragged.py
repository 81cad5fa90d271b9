"""Layers of unequal binning as one padded grid and a mask, and back, exactly."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcalo.geometry.detector import Detector
from jaxcalo.typing import Event


@dataclass(frozen=True, eq=False)
class RaggedGrid:
    """Where each voxel stands in the padded grid.

    Attributes:
        shape: (n_layers, most rows, most columns); rows are azimuth or y, columns radius or x.
        voxel: the voxel at each place of the grid, int32 of that shape, 0 where there is none.
        mask: bool of that shape, True where there is a voxel.
        place: (n_voxels,) int32, the place of each voxel in the flattened grid.
    """

    shape: tuple[int, int, int]
    voxel: np.ndarray
    mask: np.ndarray
    place: np.ndarray


def ragged_grid(detector: Detector) -> RaggedGrid:
    """Return the padded grid of a detector; each layer fills the first rows and columns.

    Args:
        detector: the readout; regular ones get a grid without padding.
    """
    shapes = np.asarray([layer.grid_shape for layer in detector.relevant_layers])
    n_rows, n_columns = shapes.max(axis=0)
    mask = (np.arange(n_rows)[:, None] < shapes[:, 0, None, None]) & (
        np.arange(n_columns) < shapes[:, 1, None, None]
    )
    # reading the mask row by row meets the voxels in file order
    place = np.flatnonzero(mask).astype(np.int32)
    voxel = np.zeros(mask.shape, np.int32)
    voxel[mask] = np.arange(len(place))
    return RaggedGrid((len(shapes), int(n_rows), int(n_columns)), voxel, mask, place)


def to_grid(grid: RaggedGrid, event: Event, fill: float = 0.0) -> Float[Array, "layer row column"]:
    """Lay one event out on the padded grid.

    Args:
        grid: made by `ragged_grid`.
        event: (n_voxels,).
        fill: value of the places without a voxel.
    """
    return jnp.where(grid.mask, event[grid.voxel], fill)


def from_grid(grid: RaggedGrid, padded: Float[Array, "layer row column"]) -> Event:
    """Return the event (n_voxels,) of a padded grid; what stands in the padding is dropped."""
    return padded.reshape(-1)[grid.place]
