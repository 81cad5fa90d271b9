"""Physical points <-> the standardised points that a model learns, and what describes a cloud.

A physical point is a row [x in mm, y in mm, layer, energy in MeV], a standardised one has the same
four columns at order one. Functions act on ONE cloud (s, 4) whose first n_points rows are real.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcalo.errors import InputError
from jaxcalo.typing import Cond, Key, Scalar

# A quantity that never varies (one layer, one incident energy) keeps its scale instead of being
# divided by zero.
_SMALLEST_STD = 1e-3
# Midpoints in a cell over which the fit averages: they miss 1/64 of the variance within a cell.
_N_MIDPOINTS = 8


@dataclasses.dataclass(frozen=True)
class PointScales:
    """How points are scaled.

    Attributes:
        cell_mm: Pitch of the grid on whose cell centres the points lie, mm; 0 for points that lie
            anywhere.
        transverse_mm: Distance beyond which x and y count logarithmically, mm; chosen: with 6 mm
            the standardised x of photons in silicon and tungsten has a normal distribution's
            second and fourth moment nearly (kurtosis 2.7), with its far ends at 3.6.
        half_width_mm: Points lie within -half_width ... half_width in x and y, mm.
        n_layers: Layers of the calorimeter.
        threshold_mev: Smallest energy of a point, MeV.
    """

    cell_mm: float = 2.5
    transverse_mm: float = 6.0
    half_width_mm: float = 250.0
    n_layers: int = 30
    threshold_mev: float = 0.01

    def __post_init__(self):
        """Refuse scales that are none."""
        scales = (self.transverse_mm, self.half_width_mm, self.threshold_mev)
        if min(scales) <= 0.0 or self.cell_mm < 0.0 or self.n_layers < 1:
            raise InputError(
                "point scales: expected transverse_mm, half_width_mm and threshold_mev above 0, "
                f"cell_mm of 0 or more and n_layers of 1 or more, found {self}; correct them"
            )


class PointConstants(NamedTuple):
    """What `fit_points` measures; float32, stored with the checkpoint.

    Attributes:
        mean: Of the columns asinh(x / scale), asinh(y / scale), depth and log energy, (4,).
        std: Likewise; that of x is that of y.
        largest_mev: Largest energy of a point, ().
        condition_mean: Of log incident energy and log number of points, (2,).
        condition_std: Likewise.
    """

    mean: np.ndarray
    std: np.ndarray
    largest_mev: np.ndarray
    condition_mean: np.ndarray
    condition_std: np.ndarray


class PointTransform(NamedTuple):
    """Two functions that undo each other, up to the random place within cell and layer.

    Attributes:
        forward: (key, physical points (s, 4), n_points) -> standardised points (s, 4).
        inverse: standardised points (s, 4) -> points at continuous x, y and depth (s, 4).
    """

    forward: Callable[[Key, Array, Scalar], Array]
    inverse: Callable[[Array], Array]


def point_transform(config: PointScales, constants: PointConstants) -> PointTransform:
    """Join the scales with their fitted constants.

    forward:  u = (asinh((x + c a) / r), asinh((y + c b) / r), layer + d, log e)
              z = (u - mean) / std,   a, b ~ U[-1/2, 1/2),  d ~ U[0, 1)  for each point

    with the pitch c and the scale r: a shower's points crowd around its axis and reach out to its
    hundredfold width. Without a, b and d a model would have to learn a comb. Rows behind n_points
    are exactly 0.

    inverse gives [x, y, depth, energy] with layer = floor(depth), and a physical point for all that
    a model may produce: x and y end where the calorimeter does, the depth too, and energies at the
    threshold and at twice the largest that was seen, beyond which nothing is known. It treats all
    rows alike: those behind n_points come out as points, too.

    Source: random places in cells, Buhmann et al., arXiv:2309.05704, section 2 (there one offset
        for a batch).
    """
    mean, std = jnp.asarray(constants.mean), jnp.asarray(constants.std)
    edge = jnp.arcsinh(config.half_width_mm / config.transverse_mm)
    energies = jnp.log(jnp.asarray([config.threshold_mev, 2.0 * constants.largest_mev]))
    low = jnp.stack([-edge, -edge, 0.0, energies[0]])
    # Below n_layers by more than float32 rounds, so that the floor is a layer.
    high = jnp.stack([edge, edge, config.n_layers * (1.0 - 1e-6), energies[1]])

    def forward(key: Key, points: Array, n_points: Scalar) -> Array:
        # Drawn flat: XLA compiles that three times faster.
        place = jax.random.uniform(key, (3 * len(points),)).reshape(-1, 3)
        x_y = points[:, :2] + config.cell_mm * (place[:, :2] - 0.5)
        is_real = jnp.arange(len(points)) < n_points
        energy = jnp.where(is_real, points[:, 3], 1.0)  # no logarithm of 0
        raw = jnp.column_stack(
            [
                jnp.arcsinh(x_y / config.transverse_mm),
                points[:, 2] + place[:, 2],
                jnp.log(energy),
            ]
        )
        return jnp.where(is_real[:, None], (raw - mean) / std, 0.0)

    def inverse(standardised: Array) -> Array:
        raw = jnp.clip(standardised * std + mean, low, high)
        x_y = config.transverse_mm * jnp.sinh(raw[:, :2])
        return jnp.column_stack([x_y, raw[:, 2], jnp.exp(raw[:, 3])])

    return PointTransform(forward, inverse)


def turn(key: Key, points: Array) -> Array:
    """Turn or reflect a cloud (s, 4) by one of the eight symmetries of the square about (0, 0).

    All are equally likely. Exact for any points, standardised ones too: only signs and places of
    the two coordinates change. An augmentation for particles that enter at (0, 0) along the depth.
    """
    swaps, *flips = jax.random.bernoulli(key, 0.5, (3,))
    x, y = points[:, 0], points[:, 1]
    x, y = jnp.where(swaps, y, x), jnp.where(swaps, x, y)
    x, y = jnp.where(flips[0], -x, x), jnp.where(flips[1], -y, y)
    return jnp.column_stack([x, y, points[:, 2:]])


def cloud_condition(
    config: PointScales, constants: PointConstants, incident_energy_mev: Scalar, n_points: Scalar
) -> Cond:
    """What a model of points is told about a cloud.

    [(log E - mean) / std, (log N - mean) / std, N]

    Logarithms, because N grows like a power of E (about E^0.7 for photons) and its fluctuation is
    nearly a fixed share of it. No points count as one. The last component tells which rows are
    real; networks do not see it as a number.

    Args:
        config: The scales.
        constants: Their fitted constants.
        incident_energy_mev: Above 0, MeV.
        n_points: Whole number.

    Returns:
        Shape (3,).
    """
    del config
    number = jnp.asarray(n_points, jnp.float32)
    raw = jnp.log(jnp.stack([jnp.asarray(incident_energy_mev), jnp.maximum(number, 1.0)]))
    scaled = (raw - constants.condition_mean) / constants.condition_std
    return jnp.append(scaled, number)


def fit_points(
    config: PointScales, chunks: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]
) -> PointConstants:
    """Measure the constants in one pass, in double precision.

    The moments are those of points with a random place in cell and layer, averaged over the place
    instead of drawn. By the symmetry of the square x and y have mean 0 and share their spread.

    Args:
        config: The scales.
        chunks: Ragged clouds: incident energies (n,) in MeV, points (sum of n_points, 4), n_points
            (n,).

    Raises:
        InputError: There is no point to fit to, or points contradict the scales.
    """
    n_clouds, n_points_seen, largest = 0, 0, 0.0
    condition_sums, point_sums = np.zeros((2, 2)), np.zeros((2, 4))
    for incident, points, n_points in chunks:
        if len(points) == 0:
            continue
        _check_points(config, points)
        condition_sums += _sums(np.log([incident, np.maximum(n_points, 1)]).T)
        point_sums += _smeared_sums(config, points.astype(np.float64))
        n_clouds, n_points_seen = n_clouds + len(incident), n_points_seen + len(points)
        largest = max(largest, float(points[:, 3].max()))
    if n_points_seen == 0:
        raise InputError("point scales: expected points to fit to, found none; use a larger file")
    mean, square = point_sums / n_points_seen
    mean[:2], square[:2] = 0.0, square[:2].mean()
    condition_mean, condition_square = condition_sums / n_clouds
    parts = (
        mean,
        _std(mean, square),
        largest,
        condition_mean,
        _std(condition_mean, condition_square),
    )
    return PointConstants(*(np.asarray(part, np.float32) for part in parts))


def no_point_constants(config: PointScales) -> PointConstants:
    """Constants of the right shapes that change nothing, to restore a checkpoint's into."""
    del config
    parts = (np.zeros(4), np.ones(4), 1.0, np.zeros(2), np.ones(2))
    return PointConstants(*(np.asarray(part, np.float32) for part in parts))


def _smeared_sums(config: PointScales, points: np.ndarray) -> np.ndarray:
    """Sums of the raw columns and of their squares over the points, (2, 4)."""
    midpoints = config.cell_mm * ((np.arange(_N_MIDPOINTS) + 0.5) / _N_MIDPOINTS - 0.5)
    places = (np.arcsinh((points[:, :2] + m) / config.transverse_mm) for m in midpoints)
    transverse = sum(_sums(place) for place in places) / _N_MIDPOINTS
    depth = _sums(points[:, 2:3] + 0.5)
    depth[1] += len(points) / 12.0  # the variance of U[0, 1)
    return np.concatenate([transverse, depth, _sums(np.log(points[:, 3:]))], axis=1)


def _sums(columns: np.ndarray) -> np.ndarray:
    """Sums over the rows (n, c) of the columns and of their squares, (2, c)."""
    return np.stack([columns.sum(axis=0), (columns**2).sum(axis=0)])


def _std(mean: np.ndarray, square: np.ndarray) -> np.ndarray:
    return np.maximum(np.sqrt(np.maximum(square - mean**2, 0.0)), _SMALLEST_STD)


def _check_points(config: PointScales, points: np.ndarray) -> None:
    """Refuse points that the scales do not cover; a hundredth of threshold is rounding."""
    reach, last = np.abs(points[:, :2]).max(), points[:, 2].max()
    if reach > config.half_width_mm or not 0 <= points[:, 2].min() <= last < config.n_layers:
        raise InputError(
            f"points: expected x and y within {config.half_width_mm:g} mm and layers from 0 to "
            f"{config.n_layers - 1}, found {reach:g} mm and layers from {points[:, 2].min():g} to "
            f"{last:g}; set half_width_mm and n_layers of the point scales"
        )
    lowest = points[:, 3].min()
    if not lowest >= 0.99 * config.threshold_mev:
        raise InputError(
            f"points: expected energies of {config.threshold_mev:g} MeV or more, found "
            f"{lowest:g} MeV; set threshold_mev of the point scales"
        )
