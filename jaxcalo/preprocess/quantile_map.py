"""Columns made standard normal one by one: increasing piecewise linear maps through quantiles.

z_j = T_j(x_j),    T_j(q_j(Phi(k))) = k,    k = -3.0, -2.8 ... 3.0,    q_j: quantiles of column j

A model that has learned no more than independent N(0, 1) has every column's distribution right.
Outside, T goes straight on, at most as steep as the chord from the middle: a lone event behind a
sharp edge is 5, not 15 standard deviations away. The fit is for the host; the rest is jax, of one
vector.
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
    low = inner[:, 0] - _width(inner[:, 1] - inner[:, 0], middle - inner[:, 0])
    high = inner[:, -1] + _width(inner[:, -1] - inner[:, -2], inner[:, -1] - middle)
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


def _width(last: np.ndarray, half: np.ndarray) -> np.ndarray:
    """What one unit beyond the inner knots covers, from the last gap (0.2) and the half (3)."""
    return np.maximum(last / 0.2, half / 3.0)


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
