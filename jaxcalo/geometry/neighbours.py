"""Which voxels touch: the edges of a graph over the detector."""

import numpy as np

from jaxcalo.geometry.detector import CartesianLayer, Detector, PolarLayer


def neighbours(detector: Detector) -> np.ndarray:
    """Return the neighbours of every voxel.

    In its layer the bins before and after in azimuth (periodic) and in radius, or the crystals
    below, above, left and right; then the same bin of the layers before and after, if their binning
    is equal. Where there is none, or it would be named twice, stands -1.

    Args:
        detector: the readout.

    Returns:
        (n_voxels, 6) int32: row - 1, row + 1, column - 1, column + 1, layer - 1, layer + 1, with
        rows in azimuth or y and columns in radius or x; (n_voxels, 4) if there is one layer.
    """
    layers, offsets = detector.relevant_layers, detector.offsets
    tables = []
    for index, layer in enumerate(layers):
        columns = _in_layer(layer, offsets[index])
        if len(layers) > 1:
            for other in (index - 1, index + 1):
                equal = 0 <= other < len(layers) and _same_bins(layer, layers[other])
                bins = np.arange(layer.n_voxels)
                columns.append(bins + offsets[other] if equal else np.full(layer.n_voxels, -1))
        tables.append(np.stack(columns, axis=1))
    return np.concatenate(tables).astype(np.int32)


def _in_layer(layer: PolarLayer | CartesianLayer, offset: int) -> list[np.ndarray]:
    """Return the four neighbours inside a layer, each (n_voxels,)."""
    n_rows, n_columns = layer.grid_shape
    periodic = isinstance(layer, PolarLayer)
    row, column = (axis.ravel() for axis in np.indices((n_rows, n_columns)))
    places = []
    for step in (-1, 1):
        other = (row + step) % n_rows if periodic else row + step
        places.append((other, column))
    places += [(row, column - 1), (row, column + 1)]
    found = []
    for other_row, other_column in places:
        inside = (other_row >= 0) & (other_row < n_rows)
        inside &= (other_column >= 0) & (other_column < n_columns)
        found.append(np.where(inside, offset + other_row * n_columns + other_column, -1))
    if periodic and n_rows <= 2:
        found[0] = np.full(layer.n_voxels, -1)
    if periodic and n_rows == 1:
        found[1] = np.full(layer.n_voxels, -1)
    return found


def _same_bins(left: PolarLayer | CartesianLayer, right: PolarLayer | CartesianLayer) -> bool:
    """Whether two layers have the same edges."""
    if isinstance(left, PolarLayer) and isinstance(right, PolarLayer):
        return left.r_edges_mm == right.r_edges_mm and left.n_azimuth == right.n_azimuth
    if isinstance(left, CartesianLayer) and isinstance(right, CartesianLayer):
        return left.x_edges_mm == right.x_edges_mm and left.y_edges_mm == right.y_edges_mm
    return False
