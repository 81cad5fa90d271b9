"""Cylinders around the particle's direction: coordinates as network input, and symmetries."""

import math

import numpy as np

from jaxcalo.errors import InputError
from jaxcalo.geometry.detector import Detector, PolarLayer


def cylinder_channels(detector: Detector) -> np.ndarray:
    """Return the two coordinate images of a regular cylinder.

    R[l, a, r] = r_centre / (last r_centre),  Z[l, a, r] = l / n_layers

    Convolutions see every place alike; these images tell them where they are. There is none for the
    azimuth, so that a network stays equivariant under rotation.

    Args:
        detector: equal polar layers.

    Returns:
        (n_layers, n_azimuth, n_radius, 2) float32, values in [0, 1].

    Raises:
        InputError: the layers differ or are not polar.

    Source: Amram and Pedro, CaloDiffusion, arXiv:2308.03876.
    """
    layers = _polar_layers(detector)
    shape = detector.grid_shape
    edges = np.asarray(layers[0].r_edges_mm)
    centres = edges[1:] + edges[:-1]
    radius = np.broadcast_to(centres / centres[-1], shape)
    depth = np.broadcast_to((np.arange(shape[0]) / shape[0])[:, None, None], shape)
    return np.stack([radius, depth], axis=-1).astype(np.float32)


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
    layers = _polar_layers(detector)
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


def _polar_layers(detector: Detector) -> list[PolarLayer]:
    """Return the layers that are read out, all of them polar."""
    layers = [layer for layer in detector.relevant_layers if isinstance(layer, PolarLayer)]
    if len(layers) < detector.n_layers:
        raise InputError(
            f"geometry {detector.name!r} has layers in x and y, expected a cylinder;"
            " use a geometry of r_edges"
        )
    return layers
