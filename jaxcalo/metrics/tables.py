"""Per-voxel tables: every linear sum over a layer's voxels as one matrix product.

The sums that the shower features need, sum E, sum x E, sum x^2 E, ..., and the energy in each
radial ring are linear in the voxel energies, so a layer's table holds one column for each of them.
Positions are taken from the middle of the layer, which keeps the differences of large numbers out
of the widths; `shift` puts the centres back.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from jaxcalo.geometry import CartesianLayer, Detector, PolarLayer, voxels

N_MOMENTS = 7  # columns 1, x, y, r, x^2, y^2, r^2


class LayerTable(NamedTuple):
    """One layer's columns.

    Attributes:
        start: first voxel of the layer.
        stop: one past its last voxel.
        shift_mm: (3,) the middle of the layer's x, y, r, mm.
        matrix: (stop - start, N_MOMENTS + n_rings) columns 1, x', y', r', x'^2, y'^2, r'^2 with
            x' = x - shift, then the share of the voxel's energy that falls into each ring.
    """

    start: int
    stop: int
    shift_mm: np.ndarray
    matrix: np.ndarray


class Tables(NamedTuple):
    """The tables of a detector.

    Attributes:
        layers: one LayerTable for each relevant layer.
        azimuthal: (n_azimuthal,) indices of the layers with more than one bin in azimuth.
        ring_edges_mm: (n_rings + 1,) radial edges that all layers share.
        ring_area_mm2: (n_rings,) area of each ring, seen along the axis.
    """

    layers: tuple[LayerTable, ...]
    azimuthal: np.ndarray
    ring_edges_mm: np.ndarray
    ring_area_mm2: np.ndarray


def is_azimuthal(layer: PolarLayer | CartesianLayer) -> bool:
    """Whether the layer measures a direction: several azimuth bins, or several crystals."""
    return layer.n_voxels > 1 if isinstance(layer, CartesianLayer) else layer.n_azimuth > 1


def outer_radius_mm(layer: PolarLayer | CartesianLayer) -> float:
    """The last radial edge; of a crystal matrix the largest |x| or |y| of its border."""
    if isinstance(layer, PolarLayer):
        return float(layer.r_edges_mm[-1])
    return float(np.abs([*layer.x_edges_mm, *layer.y_edges_mm]).max())


def _pitch_rings(detector: Detector, r_mm: np.ndarray) -> np.ndarray:
    """Ring edges of crystal matrices: p/2, 3p/2, ... with p the smallest crystal side.

    They begin with the innermost crystal; around the axis that is a ring from 0 to p/2.
    """
    pitch = min(
        np.diff(edges).min()
        for layer in detector.relevant_layers
        if isinstance(layer, CartesianLayer)
        for edges in (layer.x_edges_mm, layer.y_edges_mm)
    )
    first, last = np.floor(np.array([r_mm.min(), r_mm.max()]) / pitch + 0.5)
    return np.maximum(pitch * (np.arange(first, last + 2) - 0.5), 0.0)


def ring_edges_mm(detector: Detector) -> np.ndarray:
    """Return the radial edges that all layers share.

    The union of the layers' own edges; a detector of crystal matrices alone gets rings one
    crystal wide.

    Args:
        detector: the readout.

    Returns:
        (n_rings + 1,) increasing edges, mm.
    """
    edges = [
        layer.r_edges_mm for layer in detector.relevant_layers if isinstance(layer, PolarLayer)
    ]
    return (
        np.unique(np.concatenate(edges)) if edges else _pitch_rings(detector, voxels(detector).r_mm)
    )


def _ring_shares(layer: PolarLayer | CartesianLayer, r_mm: np.ndarray, edges: np.ndarray):
    """(n_voxels_of_layer, n_rings): shares by area of a polar bin, by the centre of a crystal."""
    if isinstance(layer, CartesianLayer):
        ring = np.clip(np.searchsorted(edges, r_mm, side="right") - 1, 0, len(edges) - 2)
        return np.eye(len(edges) - 1)[ring]
    inner, outer = np.asarray(layer.r_edges_mm[:-1])[:, None], np.asarray(layer.r_edges_mm[1:])
    outer = outer[:, None]
    low, high = np.maximum(inner, edges[:-1]), np.minimum(outer, edges[1:])
    shares = np.where(high > low, high**2 - low**2, 0.0) / (outer**2 - inner**2)
    return np.tile(shares, (layer.n_azimuth, 1))


def ring_areas_mm2(detector: Detector, edges: np.ndarray) -> np.ndarray:
    """Return the area of each ring (n_rings,), seen along the axis.

    Annuli; for crystal matrices the summed area of the crystals of the first layer.

    Args:
        detector: the readout.
        edges: see ring_edges_mm.
    """
    if any(isinstance(layer, PolarLayer) for layer in detector.relevant_layers):
        return np.pi * np.diff(edges**2)
    first = slice(0, int(detector.offsets[1]))
    where = voxels(detector)
    shares = _ring_shares(detector.relevant_layers[0], where.r_mm[first], edges)
    return shares.T @ where.area_mm2[first]


def make_tables(detector: Detector) -> Tables:
    """Return the tables of a detector.

    A ring that is not divided in azimuth has no direction: its x and y are zero.

    Args:
        detector: the readout.

    Returns:
        Tables of float64 arrays.
    """
    where = voxels(detector)
    edges = ring_edges_mm(detector)
    layers = []
    for layer, (start, stop) in zip(
        detector.relevant_layers, pairwise(detector.offsets.tolist()), strict=True
    ):
        direction = float(is_azimuthal(layer))
        r = where.r_mm[start:stop]
        position = np.stack(
            [direction * where.x_mm[start:stop], direction * where.y_mm[start:stop], r], axis=1
        )
        shift = (position.max(axis=0) + position.min(axis=0)) / 2
        moved = position - shift
        matrix = np.hstack(
            [np.ones_like(r)[:, None], moved, moved**2, _ring_shares(layer, r, edges)]
        )
        layers.append(LayerTable(start, stop, shift, matrix))
    azimuthal = [i for i, layer in enumerate(detector.relevant_layers) if is_azimuthal(layer)]
    return Tables(
        tuple(layers), np.asarray(azimuthal, dtype=int), edges, ring_areas_mm2(detector, edges)
    )
