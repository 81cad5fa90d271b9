"""Toy point clouds from formulas, for tests: shaped like photons in the ILD, not their physics."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ndtri

from jaxcalo.data.point_cloud import Clouds
from jaxcalo.errors import InputError
from jaxcalo.typing import Key

# Chosen to look like the showers of photons in 30 layers of tungsten and silicon.
_ENERGY_MEV = (1e4, 9e4)
_DEPTH = 24.0  # radiation lengths covered by the layers
_SCALE = 0.5  # b, per radiation length
_CRITICAL_ENERGY_MEV = 10.0
_RADIUS_MM = 10.0
_CELL_MM = 2.5
_THRESHOLD_MEV = 0.01
_POINT_MEV = 0.5
_BLOCK = 128  # showers drawn at once


def toy_clouds(key: Key, n_showers: int, *, n_layers: int = 30, mean_points: float = 100) -> Clouds:
    """Draw toy clouds on a square grid of 2.5 mm, at most one point a cell.

    A shower of energy E, uniform from 10 to 90 GeV, throws N points; those in one cell are summed:

        N = max(1, floor(m + sqrt(m) z + u)),  m = mean_points E / 50 GeV,  z ~ N(0, 1), u ~ U(0, 1)
        p(layer) ~ (b t)^(a - 1) exp(-b t),    (a - 1) / b = log(E / E_c),  t at the layer's middle
        p(r) ~ r exp(-r / R)                   about a slightly moved axis
        E_point = 0.01 MeV + 0.5 MeV log(u)^2

    Cells are centred at odd multiples of 1.25 mm; the points of a shower are sorted by layer, y and
    x. One key a shower, so that the first showers do not depend on how many are drawn.

    Args:
        key: decides everything.
        n_showers: how many.
        n_layers: number of layers.
        mean_points: mean number of points, before those of one cell are summed.

    Returns:
        n_showers clouds; each has one point or more.

    Raises:
        InputError: no shower, layer or point is asked for.

    Source: profile, Longo and Sestili, Nucl. Instrum. Meth. 128 (1975) 283.
    """
    if n_showers < 1 or n_layers < 1 or not 0 < mean_points < math.inf:
        raise InputError(
            "expected 1 shower or more, 1 layer or more and a positive mean number of points, found"
            f" {n_showers} showers, {n_layers} layers, {mean_points} points"
        )
    # nine standard deviations above the largest mean, and room for the six numbers of a shower
    largest = mean_points * _ENERGY_MEV[1] / (sum(_ENERGY_MEV) / 2)
    n_slots = math.ceil(largest + 9 * math.sqrt(largest) + 6)
    blocks = [_draw(key, first, n_slots) for first in range(0, n_showers, _BLOCK)]
    uniform = np.concatenate(blocks)[:n_showers]
    of_shower, of_points = uniform[:, 0, :6].T.astype(np.float64), uniform[:, 1:].swapaxes(0, 1)
    low, high = _ENERGY_MEV
    incident = low + (high - low) * of_shower[0]
    mean = 2 * mean_points * incident / (low + high)
    number = np.floor(mean + np.sqrt(mean) * ndtri(of_shower[1]) + of_shower[2])
    number = np.clip(number, 1, n_slots).astype(np.int32)
    axis = 0.2 * _RADIUS_MM * ndtri(of_shower[3:5])
    cells, energy = _points(of_points, incident, axis, n_layers)
    return _one_point_a_cell(incident, number, cells, energy)


@partial(jax.jit, static_argnames="n_slots")
def _draw(key: Key, first: int, n_slots: int) -> jax.Array:
    """Return uniform numbers (_BLOCK, 6, n_slots), none 0, of the showers from `first` on.

    All that is compiled is in here, and it is the same for any number of showers.
    """
    keys = jax.vmap(partial(jax.random.fold_in, key))(first + jnp.arange(_BLOCK))
    return jax.vmap(lambda key: jax.random.uniform(key, (6, n_slots), minval=1e-7))(keys)


def _points(
    uniform: np.ndarray, incident: np.ndarray, axis: np.ndarray, n_layers: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the points' cells (layer, y, x), (3, n, n_slots) int64, and energies (n, n_slots).

    Made of 5 uniform numbers a point, incident energies (n,) in MeV and axes (2, n) in mm.
    """
    depth = _SCALE * _DEPTH * (np.arange(n_layers) + 0.5) / n_layers
    peak = _SCALE * np.log(incident / _CRITICAL_ENERGY_MEV)
    profile = np.exp(peak[:, None] * np.log(depth) - depth)
    below = np.cumsum(profile, axis=1) / profile.sum(axis=1, keepdims=True)
    layer = sum((uniform[0] > edge[:, None]).astype(np.int64) for edge in below[:, :-1].T)
    layer = np.broadcast_to(layer, uniform[0].shape)

    radius, azimuth = -_RADIUS_MM * np.log(uniform[1] * uniform[2]), 2 * np.pi * uniform[3]
    x, y = axis[:, :, None] + radius * np.stack([np.cos(azimuth), np.sin(azimuth)])
    cells = np.stack([layer, np.floor(y / _CELL_MM), np.floor(x / _CELL_MM)]).astype(np.int64)
    return cells, _THRESHOLD_MEV + _POINT_MEV * np.log(uniform[4]) ** 2


def _one_point_a_cell(
    incident: np.ndarray, number: np.ndarray, cells: np.ndarray, energy: np.ndarray
) -> Clouds:
    """Return the clouds of the slots that are used, those of one cell summed."""
    used = np.arange(energy.shape[1]) < number[:, None]
    shower = np.repeat(np.arange(len(number)), number)
    layer, y, x = cells[:, used]
    # radii are below 2^9 cells, since no uniform number is below 1e-7
    code = ((shower * (layer.max() + 1) + layer) * 1024 + y + 512) * 1024 + x + 512
    _, first, which = np.unique(code, return_index=True, return_inverse=True)
    total = np.bincount(which, weights=energy[used])
    columns = [(x[first] + 0.5) * _CELL_MM, (y[first] + 0.5) * _CELL_MM, layer[first], total]
    n_points = np.bincount(shower[first], minlength=len(number)).astype(np.int32)
    return Clouds(
        incident.astype(np.float32), np.stack(columns, axis=1, dtype=np.float32), n_points
    )
