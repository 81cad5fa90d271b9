"""Points and the cells that they fall into: projection of clouds to a readout, and back.

A cell holds what lies between its edges, the lower ones included, the upper ones not, so that every
point lies in one cell or outside. Edges are compared in float32, as points are: a point that was
put on an edge is on it.
"""

from typing import NamedTuple

import numpy as np

from jaxcalo.errors import InputError
from jaxcalo.geometry.cartesian import cartesian_layers
from jaxcalo.geometry.detector import Detector, voxels


class Cells(NamedTuple):
    """Cells with energy of several showers, sorted by shower, layer, y and x: arrays (k,).

    Attributes:
        shower: int64, number of the shower.
        layer: int64, counts the layers that are read out.
        x_mm: float32, the cell's centre.
        y_mm: float32, the cell's centre.
        energy_mev: float32.
    """

    shower: np.ndarray
    layer: np.ndarray
    x_mm: np.ndarray
    y_mm: np.ndarray
    energy_mev: np.ndarray


def project_cells(
    points: np.ndarray, shower: np.ndarray, detector: Detector, threshold_mev: float | None = None
) -> Cells:
    """Sum the energies of the points in each cell of a detector.

    E_cell = sum of E_point over the points with  x_lo <= x < x_hi,  y_lo <= y < y_hi  in its layer

    Points outside the detector are dropped, then cells below the threshold.

    Args:
        points: (k, 4) rows [x_mm, y_mm, layer, energy_mev]; a layer that is not whole counts as
            the whole number below it.
        shower: (k,) which shower, 0 or more, each point belongs to, in any order.
        detector: the readout, Cartesian layers.
        threshold_mev: smallest energy of a cell, MeV; None takes the detector's.

    Returns:
        The cells with energy.

    Raises:
        InputError: a layer is polar, a point is not finite, or its energy is negative.
    """
    which, voxel, energy = _voxel_sums(points, shower, detector, threshold_mev)
    place = voxels(detector)
    x, y = place.x_mm[voxel].astype(np.float32), place.y_mm[voxel].astype(np.float32)
    return Cells(which, place.layer[voxel], x, y, energy)


def project_voxels(
    points: np.ndarray,
    shower: np.ndarray,
    detector: Detector,
    n_showers: int,
    threshold_mev: float | None = None,
) -> np.ndarray:
    """Return the energies of all cells, as `project_cells` sums them, of a few showers at a time.

    Args:
        points: (k, 4) rows [x_mm, y_mm, layer, energy_mev].
        shower: (k,) which shower, 0 to n_showers - 1, each point belongs to.
        detector: the readout, Cartesian layers.
        n_showers: number of showers, also those without a point.
        threshold_mev: smallest energy of a cell, MeV; None takes the detector's.

    Returns:
        (n_showers, n_voxels) float32, MeV, voxels in file order.

    Raises:
        InputError: as `project_cells`.
    """
    which, voxel, energy = _voxel_sums(points, shower, detector, threshold_mev)
    dense = np.zeros((n_showers, detector.n_voxels), np.float32)
    dense[which, voxel] = energy
    return dense


def voxels_to_points(
    voxel_energy_mev: np.ndarray, detector: Detector
) -> tuple[np.ndarray, np.ndarray]:
    """Return voxels with energy as points at their centres, voxel after voxel in file order.

    Args:
        voxel_energy_mev: (n, n_voxels), MeV.
        detector: the readout, of any kind.

    Returns:
        (k, 4) float32 rows [x_mm, y_mm, layer, energy_mev] of the n showers one after the other,
        and (n,) int32, how many each has.

    Raises:
        InputError: the number of voxels is not the detector's.
    """
    if voxel_energy_mev.ndim != 2 or voxel_energy_mev.shape[1] != detector.n_voxels:
        raise InputError(
            f"expected voxels of shape (n, {detector.n_voxels}) for geometry {detector.name!r},"
            f" found {voxel_energy_mev.shape}; use the geometry of the showers"
        )
    shower, voxel = np.nonzero(voxel_energy_mev > 0)
    place = voxels(detector)
    columns = [place.x_mm[voxel], place.y_mm[voxel], place.layer[voxel]]
    points = np.stack([*columns, voxel_energy_mev[shower, voxel]], axis=1, dtype=np.float32)
    n_points = np.bincount(shower, minlength=len(voxel_energy_mev)).astype(np.int32)
    return points, n_points


def _voxel_sums(
    points: np.ndarray, shower: np.ndarray, detector: Detector, threshold_mev: float | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return shower, voxel and energy of the cells at or above the threshold, sorted, each (k,)."""
    points = np.asarray(points, np.float32)
    if not (np.isfinite(points).all() and (points[:, 3] >= 0).all()):
        raise InputError(
            "points must be finite and their energies not negative, found others among"
            f" {len(points)}; remove those showers"
        )
    voxel = _voxel_of(points, detector)
    inside = voxel >= 0
    cell = np.asarray(shower, np.int64)[inside] * detector.n_voxels + voxel[inside]
    cell, place = np.unique(cell, return_inverse=True)
    energy = np.bincount(place, weights=points[inside, 3], minlength=len(cell)).astype(np.float32)
    threshold = detector.threshold_mev if threshold_mev is None else threshold_mev
    kept = (energy > 0) & (energy >= np.float32(threshold))
    return *np.divmod(cell[kept], detector.n_voxels), energy[kept]


def _voxel_of(points: np.ndarray, detector: Detector) -> np.ndarray:
    """Return the voxel that each point lies in, (k,) int64, -1 outside."""
    layers = cartesian_layers(detector)
    voxel = np.full(len(points), -1)
    layer = np.floor(points[:, 2])
    # layers of equal edges, most often all of them, are looked up together
    for edges in {(found.x_edges_mm, found.y_edges_mm) for found in layers}:
        same = [(found.x_edges_mm, found.y_edges_mm) == edges for found in layers]
        rows = np.flatnonzero(np.isin(layer, np.flatnonzero(same)))
        x, y = (
            np.searchsorted(np.asarray(edge, np.float32), points[rows, column], side="right") - 1
            for column, edge in enumerate(edges)
        )
        n_x, n_y = (len(edge) - 1 for edge in edges)
        inside = (x >= 0) & (x < n_x) & (y >= 0) & (y < n_y)
        rows, x, y = rows[inside], x[inside], y[inside]
        voxel[rows] = detector.offsets[layer[rows].astype(np.int64)] + y * n_x + x
    return voxel
