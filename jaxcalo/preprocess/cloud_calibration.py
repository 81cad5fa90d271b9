"""Post-diffusion calibration: a cloud of independent points made to agree with its summary.

A model of points draws each of them for itself, so a cloud has the counts and energies of its
layers, and its centre, only roughly. `calibrate` makes them those of a `Summary`, which a flow
has drawn or a Monte Carlo shower had.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcalo.errors import InputError
from jaxcalo.preprocess.shower_summary import Summary
from jaxcalo.typing import Key

# Chosen: the neighbourhood in which a point looks for a free cell has at least this factor to the
# power of the try, as far as the largest: the four nearest cells in five tries, 200 cells in the
# 18th. A real cloud of 2000 points is done after some twenty tries, 2000 points in one cell in 34.
_GROWTH = 1.35
_LARGEST_NEIGHBOURHOOD = 2**15
# The golden ratio's fractional part: the multiples u + k phi, without their whole part, fill the
# interval [0, 1) most evenly, so that a point's tries do not repeat one cell.
_GOLDEN = 0.6180339887
# Chosen: a shift to 1/4096 of a cell, which at most one or two of some thousand points decide.
_N_HALVES = 12


@dataclasses.dataclass(frozen=True)
class CloudCalibration:
    """What a calibrated cloud has to obey.

    Attributes:
        cell_mm: Pitch of the grid on which points lie, mm.
        half_width_mm: The grid covers -half_width ... half_width in x and y; a multiple of the
            pitch.
        threshold_mev: Smallest energy of a point, MeV.
        distinct_cells: Whether points lie on cell centres, at most one on each, as in the data.
            Else x and y stay continuous. Points drawn one by one crowd in the core otherwise than
            a shower's: with distinct cells the energies of cells come out better, the number of
            hits and the radial profile worse.
        n_tries: Cells that a point tries, its own first, before it shares one.
        n_corrections: How often x and y are corrected for what the centre missed because points
            move by whole cells.
    """

    cell_mm: float = 2.5
    half_width_mm: float = 250.0
    threshold_mev: float = 0.01
    distinct_cells: bool = False
    n_tries: int = 40
    n_corrections: int = 2

    def __post_init__(self):
        """Refuse what makes no grid."""
        if self.cell_mm <= 0.0 or self.threshold_mev < 0.0:
            raise InputError(
                "calibration: expected cell_mm > 0 and threshold_mev >= 0, found "
                f"{self.cell_mm} and {self.threshold_mev}; take those of the training data"
            )
        cells = 2.0 * self.half_width_mm / self.cell_mm
        if round(cells) < 1 or abs(cells - round(cells)) > 1e-3:
            raise InputError(
                f"calibration: expected a width of a whole number of cells, found {cells:g}; "
                "choose half_width_mm as a multiple of half cell_mm"
            )
        if self.n_tries < 1 or self.n_corrections < 0:
            raise InputError(
                "calibration: expected n_tries >= 1 and n_corrections >= 0, found "
                f"{self.n_tries} and {self.n_corrections}; leave them at their defaults"
            )

    @property
    def n_side(self) -> int:
        """Cells of a layer along x, and along y."""
        return round(2.0 * self.half_width_mm / self.cell_mm)


def calibrate(key: Key, points: Array, summary: Summary, config: CloudCalibration) -> Array:
    """Give the points the counts and energies of their layers and the centre of their shower.

    1. The points in the order of their depth fill the layers: layer l has exactly N_l of them.
    2. e' = e_0 + (e - e_0)_+ (E_l - N_l e_0) / sum_l (e - e_0)_+   with the threshold e_0: the
       energies of layer l sum to E_l, and none is below threshold.
    3. x and y are shifted so that their energy-weighted mean is the centre.
    4. With `distinct_cells` each point goes to the centre of its cell; where several points of a
       layer share one, the most energetic stays and the others go to free cells nearby.

    Counts and energies are exact. So is the centre without `distinct_cells`; with it some
    0.001 mm remain, because points move by whole cells. A layer whose energy is less than N_l
    thresholds shares it equally, below threshold: its sum is kept. A layer with more points than
    its neighbourhood has free cells (see `n_tries`) keeps points that share cells. Points outside
    the grid are put on its edge.

    The result does not depend on the order of the rows (but for equal depths) or on the padding,
    up to rounding; of rounding alone, a few points may correct the centre in place of others.

    Args:
        key: Where a point of a shared cell goes.
        points: Finite physical points [x in mm, y in mm, depth in layers, energy in MeV], (s, 4),
            the first N = sum_l N_l of them real; s >= N.
        summary: Of one shower; n_points (n_layers,) whole numbers.
        config: See there.

    Returns:
        Physical points [x in mm, y in mm, layer, energy in MeV], (s, 4), layer after layer, zeros
        behind the first N.

    Source: Buhmann et al., arXiv:2309.05704, section 3 (counts, energies and centre); the
        threshold and the distinct cells are ours.
    """
    summary = jax.tree.map(jnp.asarray, summary)
    deal = _deal_to_layers(points, summary)
    energy = _share_energy(deal, summary, config.threshold_mev)
    weight = energy / jnp.maximum(energy.sum(), jnp.finfo(energy.dtype).tiny)  # no energy: no shift
    x_y = deal.points[:, :2]
    x_y = x_y + (summary.centre_mm - weight @ x_y)
    if config.distinct_cells:
        x_y = _centre_on_cells(key, x_y, weight, deal, summary, config)
    calibrated = jnp.column_stack([x_y, deal.layer, energy])
    return jnp.where(deal.is_real[:, None], calibrated, 0.0).astype(points.dtype)


class _Deal(NamedTuple):
    """Points in the order of their depth: points (s, 4), zeros behind the real ones; layer (s,)."""

    points: Array
    layer: Array
    is_real: Array


def _deal_to_layers(points: Array, summary: Summary) -> _Deal:
    """Fill layer after layer with the points in the order of their depth."""
    last = jnp.cumsum(summary.n_points.astype(jnp.int32))
    rank = jnp.arange(len(points))
    is_real = rank < last[-1]
    order = jnp.argsort(jnp.where(is_real, points[:, 2], jnp.inf))
    layer = jnp.searchsorted(last, rank, side="right")
    return _Deal(jnp.where(is_real[:, None], points[order], 0.0), layer, is_real)


def _share_energy(deal: _Deal, summary: Summary, threshold_mev: float) -> Array:
    """Rescale what the points have above threshold to the energies of their layers, (s,) in MeV."""
    n_layers = len(summary.n_points)
    own = jnp.minimum(deal.layer, n_layers - 1)
    above = jnp.where(deal.is_real, jnp.maximum(deal.points[:, 3] - threshold_mev, 0.0), 0.0)
    total = jax.ops.segment_sum(above, own, num_segments=n_layers)
    count = summary.n_points.astype(above.dtype)
    spare = summary.energy_mev - count * threshold_mev
    # Where nothing is above threshold, or the thresholds alone are too much, points are alike.
    is_alike = (total <= 0.0) | (spare < 0.0)
    equal = summary.energy_mev / jnp.maximum(count, 1.0)
    share = above / jnp.where(is_alike, 1.0, total)[own]
    energy = jnp.where(is_alike[own], equal[own], threshold_mev + spare[own] * share)
    return jnp.where(deal.is_real, energy, 0.0)


class _Places(NamedTuple):
    """Who sits where.

    Attributes:
        owner: Priority of the point in each cell, 0 for a free one, (n_layers * n_side^2,).
        address: Index in `owner` of each point's cell, (s,); -1 for a point without a cell.
    """

    owner: Array
    address: Array


def _centre_on_cells(
    key: Key, x_y: Array, weight: Array, deal: _Deal, summary: Summary, config: CloudCalibration
) -> Array:
    """Cell centres (s, 2) in mm, distinct in each layer, whose weighted mean is near the centre."""
    n_side = config.n_side
    position = (x_y + config.half_width_mm) / config.cell_mm
    cell = jnp.clip(jnp.floor(position).astype(jnp.int32), 0, n_side - 1)
    places = _spread(key, cell, weight, deal, len(summary.n_points), config)
    middle = n_side // 2  # indices are counted from there where a sum must not lose digits
    centre = (summary.centre_mm + config.half_width_mm) / config.cell_mm - 0.5 - middle

    def on_grid(address: Array) -> Array:
        indices = jnp.column_stack([address // n_side % n_side, address % n_side])
        return jnp.where(address[:, None] < 0, cell, indices)

    def one_axis(i: Array, places: _Places) -> _Places:
        axis = i % 2
        own = on_grid(places.address)[:, axis]
        missed = centre[axis] - weight @ (own - middle)
        side = jnp.sign(missed).astype(jnp.int32)
        fraction = position[:, axis] - jnp.floor(position[:, axis])
        way = jnp.where(side > 0, 1.0 - fraction, fraction)
        is_inside = (own + side >= 0) & (own + side < n_side) & (places.address >= 0)
        target = places.address + side * jnp.where(axis == 0, n_side, 1)
        return _step_aside(places, target, is_inside, way, weight, jnp.abs(missed))

    places = jax.lax.fori_loop(0, 2 * config.n_corrections, one_axis, places)
    return (on_grid(places.address) + 0.5) * config.cell_mm - config.half_width_mm


def _spread(
    key: Key, cell: Array, weight: Array, deal: _Deal, n_layers: int, config: CloudCalibration
) -> _Places:
    """Move points to nearby free cells until no two of a layer share one.

    In every try each point without a cell of its own asks for one. A free cell goes, for good, to
    the most energetic point that asks for it. The neighbourhood in which points ask grows from try
    to try, by whole rings, so that no direction is preferred.

    Args:
        key: Where in its neighbourhood a point begins.
        cell: Indices along x and y, (s, 2).
        weight: Energies, (s,).
        deal: Their layers.
        n_layers: Number of layers.
        config: See there.
    """
    n_side = config.n_side
    offsets, sizes = (jnp.asarray(a) for a in _neighbourhoods(config.n_tries, n_side))
    start = jax.random.uniform(key, weight.shape)
    turns = jnp.asarray(np.arange(config.n_tries) * _GOLDEN % 1.0, start.dtype)
    dtype = jnp.uint16 if len(weight) < 2**16 else jnp.uint32  # half the memory where it is enough
    rank = jnp.arange(1, len(weight) + 1, dtype=dtype)
    priority = jnp.zeros_like(rank).at[jnp.argsort(weight)].set(rank)

    def one_try(k: Array, places: _Places) -> _Places:
        fraction = (start + turns[k]) % 1.0
        index = 1 + (fraction * (sizes[k] - 1)).astype(jnp.int32)
        offset = offsets[jnp.minimum(index, sizes[k] - 1)]
        asks = (places.address < 0) & deal.is_real
        x, y = (_reflect(cell[:, axis] + offset[:, axis], n_side) for axis in (0, 1))
        wanted = jnp.where(asks, (deal.layer * n_side + x) * n_side + y, 0)
        asks &= places.owner[wanted] == 0
        owner = places.owner.at[wanted].max(jnp.where(asks, priority, 0))
        has_won = asks & (owner[wanted] == priority)
        return _Places(owner, jnp.where(has_won, wanted, places.address))

    nobody = jnp.zeros(n_layers * n_side**2, dtype)
    places = _Places(nobody, jnp.full(weight.shape, -1, jnp.int32))
    return jax.lax.fori_loop(0, config.n_tries, one_try, places)


def _step_aside(
    places: _Places, target: Array, is_inside: Array, way: Array, weight: Array, missed: Array
) -> _Places:
    """Let points step into free neighbouring cells, all to one side, until the centre is right.

    Those nearest to the border of their cell go first, as they would if the shower were shifted:
    bisection finds the largest shift that does not carry the centre too far. No two points step
    into one cell, because all step by the same vector.

    Args:
        places: Where the points are.
        target: Address of each point's neighbouring cell, (s,).
        is_inside: Whether that cell exists, (s,).
        way: Of each point to the border of its cell, in cells, (s,).
        weight: Share of each point in the energy, (s,).
        missed: Distance of the weighted mean from where it should be, in cells.
    """
    can_step = is_inside & (places.owner[jnp.where(is_inside, target, 0)] == 0) & (weight > 0.0)
    gain = jnp.where(can_step & (weight <= missed), weight, 0.0)

    def halve(_: Array, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = 0.5 * (low + high)
        is_enough = jnp.where(way < middle, gain, 0.0).sum() > missed
        return jnp.where(is_enough, low, middle), jnp.where(is_enough, middle, high)

    shift, _ = jax.lax.fori_loop(0, _N_HALVES, halve, (jnp.zeros_like(missed), 1.0 + 0.0 * missed))
    steps = (way < shift) & (gain > 0.0)
    old = jnp.where(steps, places.address, len(places.owner))
    new = jnp.where(steps, target, len(places.owner))
    moving = places.owner.at[old].get(mode="fill", fill_value=0)
    owner = places.owner.at[old].set(0, mode="drop").at[new].set(moving, mode="drop")
    return _Places(owner, jnp.where(steps, target, places.address))


def _reflect(index: Array, n_side: int) -> Array:
    """Reflect what lies behind either edge of the grid, by at most its width, back into it."""
    index = jnp.maximum(index, -1 - index)
    return jnp.minimum(index, 2 * n_side - 1 - index)


@functools.cache
def _neighbourhoods(n_tries: int, n_side: int) -> tuple[np.ndarray, np.ndarray]:
    """Offsets (m, 2) in the order of their distance, and how many of them each try may use.

    The first try uses the point's own cell alone. Each size is a number of whole rings of equal
    distance; a ring is never cut.
    """
    reach = np.arange(1 - n_side, n_side)
    offsets = np.stack(np.meshgrid(reach, reach, indexing="ij"), axis=-1).reshape(-1, 2)
    distance = (offsets**2).sum(axis=1)
    order = np.argsort(distance, kind="stable")
    rings = np.flatnonzero(np.diff(distance[order], append=-1)) + 1
    largest = min(_LARGEST_NEIGHBOURHOOD, rings[-1])
    wanted = np.minimum(_GROWTH ** np.arange(n_tries), largest)
    sizes = rings[np.searchsorted(rings, wanted)]
    return offsets[order][: sizes[-1]].astype(np.int32), sizes.astype(np.int32)
