"""Columns made standard normal one by one: increasing piecewise linear maps through quantiles.

z_j = T_j(x_j),    T_j(q_j(Phi(k))) = k,    k = -3.0, -2.8 ... 3.0,    q_j: quantiles of column j

A model that has learned no more than independent N(0, 1) has every column's distribution right.
Outside, T goes straight on. Its slope gives the tails their weight: with x beyond the last
quantile q, mean(x - q) of the data is mean(x - q) of the map of N(0, 1); but no event of the data
is more than 6 standard deviations away, and T at most 20 times as steep as the chord from the
middle. The fit is for the host; the rest is jax, of one vector.
"""

import math

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcalo.typing import Event

_INNER = np.linspace(-3.0, 3.0, 31)
_KNOTS = np.concatenate([[-4.0], _INNER, [4.0]])
N_KNOTS = len(_KNOTS)
_SHARES = np.array([0.5 * math.erfc(-k / math.sqrt(2.0)) for k in _KNOTS])
# Knots that quantiles share, of a column that never varies, stay apart.
_SMALLEST_GAP = 1e-4
_LAST = _INNER[-1]
# E[z - 3 | z > 3] of a standard normal z
_MEAN_EXCESS = math.exp(-0.5 * _LAST**2) / math.sqrt(2.0 * math.pi) / _SHARES[1] - _LAST
_MOST_EXCESS = 3.0  # standard deviations beyond the last quantile, of any event of the data
_STEEPEST = 20.0


def fit_quantiles(columns: np.ndarray) -> np.ndarray:
    """Measure where the maps bend.

    Args:
        columns: (n, n_components), n at least 1.

    Returns:
        (n_components, N_KNOTS) float32, increasing along the knots.
    """
    inner = np.quantile(columns, _SHARES[1:-1], axis=0).T
    inner += _SMALLEST_GAP * np.arange(-15, 16)
    middle = inner[:, 15]
    low = inner[:, 0] - _width(inner[:, 0] - columns, middle - inner[:, 0])
    high = inner[:, -1] + _width(columns - inner[:, -1], inner[:, -1] - middle)
    return np.column_stack([low, inner, high]).astype(np.float32)


def quantiles_of_uniform(low: float, high: float) -> np.ndarray:
    """Where the map of a column bends that is uniform from low to high, (N_KNOTS,) float32."""
    return (low + (high - low) * _SHARES).astype(np.float32)


def no_quantiles(n_components: int) -> np.ndarray:
    """The identity, (n_components, N_KNOTS) float32."""
    return np.tile(_KNOTS, (n_components, 1)).astype(np.float32)


def to_normal(knots: Array, x: Event) -> Event:
    """X -> z, of one vector (n_components,)."""
    return _through(x, jnp.asarray(knots), _normal_knots(knots))


def from_normal(knots: Array, z: Event) -> Event:
    """Z -> x, of one vector (n_components,): the inverse of `to_normal`."""
    return _through(z, _normal_knots(knots), jnp.asarray(knots))


def _width(beyond: np.ndarray, half: np.ndarray) -> np.ndarray:
    """What one unit beyond the last quantiles covers, from x - q (n, k) and the half (3) (k,)."""
    excess = np.maximum(beyond, 0.0)
    mean = excess.sum(axis=0) / np.maximum((excess > 0.0).sum(axis=0), 1)
    widths = mean / _MEAN_EXCESS, excess.max(axis=0) / _MOST_EXCESS, half / _LAST / _STEEPEST
    return np.max(widths, axis=0)


def _normal_knots(knots: Array) -> Array:
    return jnp.broadcast_to(jnp.asarray(_KNOTS, jnp.float32), knots.shape)


def _through(x: Event, knots: Array, values: Array) -> Event:
    """Piecewise linear through (knots, values), both increasing along axis 1."""
    # Sums of products with 0 and 1 instead of indices, which are slow on accelerators.
    piece = jnp.sum(x[:, None] >= knots[:, 1:-1], axis=1)
    chosen = piece[:, None] == jnp.arange(N_KNOTS - 1)

    def of_piece(numbers: Array) -> Array:
        return jnp.sum(jnp.where(chosen, numbers, 0.0), axis=1)

    start, width = of_piece(knots[:, :-1]), of_piece(jnp.diff(knots, axis=1))
    first, rise = of_piece(values[:, :-1]), of_piece(jnp.diff(values, axis=1))
    return first + rise * ((x - start) / width)
