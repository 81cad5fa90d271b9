"""The readout of a calorimeter: layers of polar or Cartesian bins, and where each voxel lies.

Voxels are numbered as in the files of the CaloChallenge: layer slowest, then azimuth, then radius;
in a crystal matrix rows (y) slowest, then columns (x). Azimuth runs from -pi to pi in equal bins.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from jaxcalo.errors import InputError


def _check_edges(name: str, layer: int, edges: tuple[float, ...]) -> None:
    """Raise InputError unless the edges are finite and strictly increasing."""
    if not all(math.isfinite(edge) for edge in edges):
        raise InputError(f"layer {layer}: {name} must be finite numbers in mm, found {list(edges)}")
    for left, right in pairwise(edges):
        if right <= left:
            raise InputError(
                f"layer {layer}: {name} must increase, found {left:g} followed by {right:g};"
                " put the edges in order and remove repeated ones"
            )


@dataclass(frozen=True)
class PolarLayer:
    """One layer of a cylinder: equal bins in azimuth, given bins in radius.

    Attributes:
        id: the layer's number in the detector.
        r_edges_mm: bin edges in radius, mm; a single edge means that the layer is not read out.
        n_azimuth: number of bins in azimuth.
    """

    id: int
    r_edges_mm: tuple[float, ...]
    n_azimuth: int

    def __post_init__(self):
        if not self.r_edges_mm:
            raise InputError(f"layer {self.id}: r_edges needs at least one edge, found none")
        if self.n_azimuth < 1:
            raise InputError(
                f"layer {self.id}: the number of azimuth bins must be at least 1,"
                f" found {self.n_azimuth}"
            )
        _check_edges("r_edges", self.id, self.r_edges_mm)
        if self.r_edges_mm[0] < 0:
            raise InputError(
                f"layer {self.id}: r_edges must not be negative, found {self.r_edges_mm[0]:g}"
            )

    @property
    def n_radius(self) -> int:
        """Number of bins in radius; 0 when the layer is not read out."""
        return len(self.r_edges_mm) - 1

    @property
    def grid_shape(self) -> tuple[int, int]:
        """(n_azimuth, n_radius)."""
        return self.n_azimuth, self.n_radius

    @property
    def n_voxels(self) -> int:
        """n_azimuth * n_radius."""
        return self.n_azimuth * self.n_radius


@dataclass(frozen=True)
class CartesianLayer:
    """One matrix of crystals or pads.

    Attributes:
        id: the layer's number in the detector.
        x_edges_mm: column edges, mm, at least two.
        y_edges_mm: row edges, mm, at least two.
    """

    id: int
    x_edges_mm: tuple[float, ...]
    y_edges_mm: tuple[float, ...]

    def __post_init__(self):
        for name, edges in (("x_edges", self.x_edges_mm), ("y_edges", self.y_edges_mm)):
            if len(edges) < 2:
                raise InputError(
                    f"layer {self.id}: {name} needs at least two edges, found {len(edges)}"
                )
            _check_edges(name, self.id, edges)

    @property
    def grid_shape(self) -> tuple[int, int]:
        """(n_y, n_x)."""
        return len(self.y_edges_mm) - 1, len(self.x_edges_mm) - 1

    @property
    def n_voxels(self) -> int:
        """n_y * n_x."""
        n_y, n_x = self.grid_shape
        return n_y * n_x


@dataclass(frozen=True)
class Detector:
    """A calorimeter's readout for one particle.

    Attributes:
        name: how the geometry is called.
        particle: the incident particle, e.g. "photon".
        pid: its number in the geometry file (CaloChallenge: 22, 211, 11).
        layers: all layers, also those that are not read out.
        threshold_mev: readout threshold of a voxel, MeV; smaller energies count as zero.
    """

    name: str
    particle: str
    pid: int
    layers: tuple[PolarLayer | CartesianLayer, ...]
    threshold_mev: float = 0.0

    def __post_init__(self):
        ids = [layer.id for layer in self.layers]
        for position, id_ in enumerate(ids):
            if id_ in ids[:position]:
                raise InputError(f"layer id {id_} appears twice; give every layer its own id")
        if not self.relevant_layers:
            raise InputError(
                f"geometry {self.name!r} has no layer with voxels; a layer needs two edges or more"
            )
        if not (math.isfinite(self.threshold_mev) and self.threshold_mev >= 0):
            raise InputError(
                f"threshold_mev must be a number of MeV, 0 or more, found {self.threshold_mev}"
            )

    @cached_property
    def relevant_layers(self) -> tuple[PolarLayer | CartesianLayer, ...]:
        """The layers that are read out."""
        return tuple(layer for layer in self.layers if layer.n_voxels > 0)

    @property
    def n_layers(self) -> int:
        """Number of layers that are read out."""
        return len(self.relevant_layers)

    @property
    def n_voxels(self) -> int:
        """Number of voxels of one shower."""
        return sum(layer.n_voxels for layer in self.relevant_layers)

    @cached_property
    def offsets(self) -> np.ndarray:
        """First voxel of every relevant layer, then n_voxels: (n_layers + 1,) int64."""
        return np.cumsum([0, *(layer.n_voxels for layer in self.relevant_layers)])

    @property
    def is_cylindrical(self) -> bool:
        """Whether every layer that is read out is polar."""
        return all(isinstance(layer, PolarLayer) for layer in self.relevant_layers)

    @property
    def is_regular(self) -> bool:
        """Whether a shower is one dense grid: equal polar layers, or one Cartesian layer."""
        first, *others = self.relevant_layers
        if isinstance(first, CartesianLayer):
            return not others
        return all(
            isinstance(layer, PolarLayer)
            and layer.r_edges_mm == first.r_edges_mm
            and layer.n_azimuth == first.n_azimuth
            for layer in others
        )

    @property
    def grid_shape(self) -> tuple[int, ...]:
        """(n_layers, n_azimuth, n_radius) of equal polar layers, (n_y, n_x) of a crystal matrix.

        Raises:
            InputError: the layers differ, so that a shower is not one dense grid.
        """
        if not self.is_regular:
            raise InputError(
                f"geometry {self.name!r} has layers of different binning, expected equal polar"
                " layers or one crystal matrix; use a model for irregular layers"
            )
        shape = self.relevant_layers[0].grid_shape
        return (self.n_layers, *shape) if self.is_cylindrical else shape


class Voxels(NamedTuple):
    """Where the voxels lie: arrays (n_voxels,), bin centres in mm and radians, areas in mm^2.

    `layer` counts the relevant layers; x = r cos(azimuth) and y = r sin(azimuth).
    """

    layer: np.ndarray
    x_mm: np.ndarray
    y_mm: np.ndarray
    r_mm: np.ndarray
    azimuth: np.ndarray
    area_mm2: np.ndarray


def _polar_voxels(layer: PolarLayer) -> tuple[np.ndarray, ...]:
    """x, y, r, azimuth, area of one polar layer, each (n_azimuth * n_radius,)."""
    r_edges = np.asarray(layer.r_edges_mm)
    width = 2 * np.pi / layer.n_azimuth
    azimuth = -np.pi + width * (np.arange(layer.n_azimuth) + 0.5)
    r = np.tile((r_edges[1:] + r_edges[:-1]) / 2, layer.n_azimuth)
    area = np.tile(width / 2 * np.diff(r_edges**2), layer.n_azimuth)
    azimuth = np.repeat(azimuth, layer.n_radius)
    return r * np.cos(azimuth), r * np.sin(azimuth), r, azimuth, area


def _cartesian_voxels(layer: CartesianLayer) -> tuple[np.ndarray, ...]:
    """x, y, r, azimuth, area of one crystal matrix, each (n_y * n_x,)."""
    x_edges, y_edges = np.asarray(layer.x_edges_mm), np.asarray(layer.y_edges_mm)
    n_y, n_x = layer.grid_shape
    x = np.tile((x_edges[1:] + x_edges[:-1]) / 2, n_y)
    y = np.repeat((y_edges[1:] + y_edges[:-1]) / 2, n_x)
    area = np.outer(np.diff(y_edges), np.diff(x_edges)).ravel()
    return x, y, np.hypot(x, y), np.arctan2(y, x), area


def voxels(detector: Detector) -> Voxels:
    """Return layer, position and area of every voxel, in file order.

    r is the arithmetic middle of the bin and azimuth the middle of its range; a bin's area is
    (r_2^2 - r_1^2) pi / n_azimuth, or its width times its height.

    Args:
        detector: the readout.

    Returns:
        Voxels of float64 arrays (n_voxels,), `layer` int64.
    """
    parts = [
        _polar_voxels(layer) if isinstance(layer, PolarLayer) else _cartesian_voxels(layer)
        for layer in detector.relevant_layers
    ]
    layer = np.repeat(np.arange(detector.n_layers), np.diff(detector.offsets))
    return Voxels(layer, *(np.concatenate(column) for column in zip(*parts, strict=True)))
