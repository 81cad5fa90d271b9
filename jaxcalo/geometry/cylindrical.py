"""Cylinders around the particle's direction: coordinates as network input, and symmetries."""

import math

import numpy as np

from jaxcalo.errors import InputError
from jaxcalo.geometry.detector import Detector, PolarLayer


def cylinder_channels(detector: Detector, azimuth: bool = False) -> np.ndarray:
    """Return the coordinate images of a cylinder.

    R[l, a, r] = r_centre / (last r_centre),  Z[l, a, r] = l / n_layers,
    A[l, a, r] = a / (n_azimuth - 1)

    Convolutions see every place alike; these images tell them where they are. Without the image of
    the azimuth a network stays equivariant under rotation.

    Args:
        detector: polar layers; of unequal ones the images are those of their common grid.
        azimuth: add A as a third image.

    Returns:
        (n_layers, n_azimuth, n_radius, 2 or 3) float32, values in [0, 1].

    Raises:
        InputError: a layer is not polar.

    Source: Amram and Pedro, CaloDiffusion, arXiv:2308.03876.
    """
    edges = common_r_edges(detector)
    shape = common_grid_shape(detector)
    centres = edges[1:] + edges[:-1]
    images = [centres / centres[-1], (np.arange(shape[0]) / shape[0])[:, None, None]]
    if azimuth:
        images.append(np.linspace(0.0, 1.0, shape[1])[:, None])
    images = [np.broadcast_to(image, shape) for image in images]
    return np.stack(images, axis=-1).astype(np.float32)


def common_r_edges(detector: Detector) -> np.ndarray:
    """Return the edges in radius of all polar layers together, mm, increasing, none twice."""
    return np.unique(np.concatenate([layer.r_edges_mm for layer in polar_layers(detector)]))


def common_grid_shape(detector: Detector) -> tuple[int, int, int]:
    """Return the shape of the coarsest regular grid in which each bin of each polar layer is whole.

    Returns:
        (n_layers, least common multiple of the n_azimuth, bins between all edges in radius).

    Raises:
        InputError: a layer is not polar.
    """
    layers = polar_layers(detector)
    n_azimuth = math.lcm(*(layer.n_azimuth for layer in layers))
    return len(layers), n_azimuth, len(common_r_edges(detector)) - 1


def cylinder_symmetries(detector: Detector) -> np.ndarray:
    """Return the rotations and reflections of a cylinder as permutations of the voxels.

    `event[permutation]` is as probable a shower as `event`, as far as the detector is symmetric
    about the particle's direction. Rotations are by multiples of 2 pi / g, g the greatest common
    divisor of the layers' numbers of azimuth bins (layers of one bin do not count); each of them
    also with the reflection azimuth -> -azimuth.

    Args:
        detector: polar layers, equal or not.

    Returns:
        (n_symmetries, n_voxels) int32, the identity first, none twice.

    Raises:
        InputError: a layer is not polar.
    """
    layers = polar_layers(detector)
    n_rotations = max(1, math.gcd(*(layer.n_azimuth for layer in layers if layer.n_azimuth > 1)))
    # with one or two bins the reflection is a rotation or nothing
    directions = (1, -1) if any(layer.n_azimuth > 2 for layer in layers) else (1,)
    turns = np.arange(n_rotations)
    blocks = []
    for layer, offset in zip(layers, detector.offsets, strict=False):
        bins = np.arange(layer.n_voxels).reshape(layer.grid_shape) + offset
        shifts = turns * layer.n_azimuth // n_rotations if layer.n_azimuth > 1 else 0 * turns
        moved = (np.arange(layer.n_azimuth) + shifts[:, None]) % layer.n_azimuth
        parts = [bins[::direction][moved] for direction in directions]
        blocks.append(np.concatenate(parts).reshape(-1, layer.n_voxels))
    return np.concatenate(blocks, axis=1).astype(np.int32)


def polar_layers(detector: Detector) -> list[PolarLayer]:
    """Return the layers that are read out, all of them polar."""
    layers = [layer for layer in detector.relevant_layers if isinstance(layer, PolarLayer)]
    if len(layers) < detector.n_layers:
        raise InputError(
            f"geometry {detector.name!r} has layers in x and y, expected a cylinder;"
            " use a geometry of r_edges"
        )
    return layers
