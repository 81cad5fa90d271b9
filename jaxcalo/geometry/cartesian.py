"""Crystal matrices: coordinates as network input, and symmetries."""

import numpy as np

from jaxcalo.errors import InputError
from jaxcalo.geometry.detector import CartesianLayer, Detector


def matrix_channels(detector: Detector) -> np.ndarray:
    """Return the two coordinate images of a crystal matrix.

    Y[j, i] = (y_j - y_middle) / (height / 2),  X[j, i] = (x_i - x_middle) / (width / 2)

    with x_i, y_j the centres of the crystals.

    Args:
        detector: one Cartesian layer.

    Returns:
        (n_y, n_x, 2) float32, Y then X, values between -1 and 1.

    Raises:
        InputError: there is more than one layer, or it is polar.
    """
    shape = detector.grid_shape
    layer = cartesian_layers(detector)[0]
    y = np.broadcast_to(_relative(layer.y_edges_mm)[:, None], shape)
    x = np.broadcast_to(_relative(layer.x_edges_mm), shape)
    return np.stack([y, x], axis=-1).astype(np.float32)


def matrix_symmetries(detector: Detector) -> np.ndarray:
    """Return reflections and rotations of a crystal matrix as permutations of the crystals.

    `event[permutation]` is as probable a shower as `event` where the particle's impact points are
    spread symmetrically; a known impact point (x, y) moves along. A reflection is taken if in every
    layer the edges mirror each other about 0, the exchange of x and y if their edges are equal: a
    square matrix has all 8.

    Args:
        detector: Cartesian layers.

    Returns:
        (n_symmetries, n_voxels) int32, the identity first, none twice.

    Raises:
        InputError: a layer is polar.
    """
    layers = cartesian_layers(detector)
    flips_x = (1, -1) if all(_mirrored(layer.x_edges_mm) for layer in layers) else (1,)
    flips_y = (1, -1) if all(_mirrored(layer.y_edges_mm) for layer in layers) else (1,)
    square = all(_close(layer.x_edges_mm, layer.y_edges_mm) for layer in layers)
    rows = []
    for exchanged in (False, True) if square else (False,):
        for flip_y in flips_y:
            for flip_x in flips_x:
                images = [
                    (grid.T if exchanged else grid)[::flip_y, ::flip_x].ravel()
                    for grid in _numbered(detector)
                ]
                rows.append(np.concatenate(images))
    return np.unique(np.asarray(rows, np.int32), axis=0)


def _numbered(detector: Detector) -> list[np.ndarray]:
    """Return the voxel numbers of each layer as (n_y, n_x)."""
    return [
        np.arange(start, stop).reshape(layer.grid_shape)
        for layer, start, stop in zip(
            detector.relevant_layers, detector.offsets, detector.offsets[1:], strict=False
        )
    ]


def _relative(edges: tuple[float, ...]) -> np.ndarray:
    """Return bin centres in units of half the range, from its middle."""
    edge = np.asarray(edges)
    return (edge[1:] + edge[:-1] - edge[0] - edge[-1]) / (edge[-1] - edge[0])


def _close(left: tuple[float, ...], right: tuple[float, ...]) -> bool:
    """Whether edges agree to a millionth of their range: rounding, but no real difference."""
    return len(left) == len(right) and np.allclose(
        left, right, rtol=0.0, atol=1e-6 * (left[-1] - left[0])
    )


def _mirrored(edges: tuple[float, ...]) -> bool:
    return _close(edges, tuple(-edge for edge in reversed(edges)))


def cartesian_layers(detector: Detector) -> list[CartesianLayer]:
    """Return the layers that are read out, all of them Cartesian."""
    layers = [layer for layer in detector.relevant_layers if isinstance(layer, CartesianLayer)]
    if len(layers) < detector.n_layers:
        raise InputError(
            f"geometry {detector.name!r} has polar layers, expected crystal matrices;"
            " use a geometry of x_edges and y_edges"
        )
    return layers
