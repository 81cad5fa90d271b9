"""The monotonic rational-quadratic spline: one number to one number, bent by 3 K - 1 parameters.

Between K + 1 knots (x_k, y_k) from (-B, -B) to (B, B), with slopes d_k at the knots, it is a ratio
of two quadratic polynomials; outside it is the identity. The outer slopes are 1, so the derivative
is continuous everywhere. Parameters 0 give the identity.

Source: Durkan et al., Neural spline flows, arXiv:1906.04032, section 3.1 and appendix A.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

# Of [-B, B], and of slope 1: a bin or a slope of zero could not be inverted. Durkan's own values.
_SMALLEST_BIN = 1e-3
_SMALLEST_SLOPE = 1e-3
_SLOPE_ONE = math.log(math.expm1(1.0 - _SMALLEST_SLOPE))


class _Bin(NamedTuple):
    """The piece that a number lies in, each of its shape: left end, size and the slopes there."""

    x: Array
    y: Array
    width: Array
    height: Array
    slope_left: Array
    slope_right: Array


def n_spline_parameters(n_bins: int) -> int:
    """K widths, K heights, K - 1 inner slopes."""
    return 3 * n_bins - 1


def spline(x: Array, raw: Array, bound: float) -> tuple[Array, Array]:
    """Evaluate the spline.

    y = y_k + h (s q^2 + d_k q (1 - q)) / (s + (d_k + d_{k+1} - 2 s) q (1 - q))

    with q = (x - x_k) / w in [0, 1] and s = h / w.

    Args:
        x: numbers, any shape.
        raw: unconstrained parameters of each, (*shape, 3 K - 1): widths, heights, inner slopes.
        bound: B, above 0.

    Returns:
        y and log dy/dx, of the shape of x.

    Source: arXiv:1906.04032, eqs. 4 and 5.
    """
    inside = jnp.abs(x) < bound
    within = jnp.clip(x, -bound, bound)
    piece = _bin(within, raw, bound, by_y=False)
    q = jnp.clip((within - piece.x) / piece.width, 0.0, 1.0)
    y, log_slope = _evaluate(piece, q)
    return jnp.where(inside, y, x), jnp.where(inside, log_slope, 0.0)


def inverse_spline(y: Array, raw: Array, bound: float) -> tuple[Array, Array]:
    """Undo `spline`.

    q is the root in [0, 1] of a q^2 + b q + c = 0, in the form 2 c / (-b - sqrt(b^2 - 4 a c)) that
    subtracts no two like numbers.

    Args:
        y: numbers, any shape.
        raw: as for `spline`.
        bound: as for `spline`.

    Returns:
        x and log dx/dy, of the shape of y.

    Source: arXiv:1906.04032, eqs. 6 to 8 and appendix A.3.
    """
    inside = jnp.abs(y) < bound
    within = jnp.clip(y, -bound, bound)
    piece = _bin(within, raw, bound, by_y=True)
    s = piece.height / piece.width
    rise = (within - piece.y) / piece.height
    bend = rise * (piece.slope_left + piece.slope_right - 2.0 * s)
    a = s - piece.slope_left + bend
    b = piece.slope_left - bend
    c = -s * rise
    # Never negative but for rounding.
    discriminant = jnp.maximum(b**2 - 4.0 * a * c, 0.0)
    q = jnp.clip(2.0 * c / (-b - jnp.sqrt(discriminant)), 0.0, 1.0)
    _, log_slope = _evaluate(piece, q)
    x = piece.x + piece.width * q
    return jnp.where(inside, x, y), jnp.where(inside, -log_slope, 0.0)


def _evaluate(piece: _Bin, q: Array) -> tuple[Array, Array]:
    """The spline and the log of its slope at the fraction q of a piece."""
    left, right, s = piece.slope_left, piece.slope_right, piece.height / piece.width
    mixed = q * (1.0 - q)
    below = s + (left + right - 2.0 * s) * mixed
    y = piece.y + piece.height * (s * q**2 + left * mixed) / below
    above = right * q**2 + 2.0 * s * mixed + left * (1.0 - q) ** 2
    return y, 2.0 * jnp.log(s) + jnp.log(above) - 2.0 * jnp.log(below)


def _bin(value: Array, raw: Array, bound: float, *, by_y: bool) -> _Bin:
    """Find the piece of each value, an x or a y."""
    n_bins = (raw.shape[-1] + 1) // 3
    width, x = _knots(raw[..., :n_bins], bound)
    height, y = _knots(raw[..., n_bins : 2 * n_bins], bound)
    slope = _SMALLEST_SLOPE + jax.nn.softplus(raw[..., 2 * n_bins :] + _SLOPE_ONE)
    outer = jnp.ones((*slope.shape[:-1], 1), slope.dtype)
    knots = y if by_y else x
    index = jnp.sum(value[..., None] >= knots[..., 1:], axis=-1)
    # One-hot sums: the gradient of a gather is a scatter, which is slow on a CPU.
    member = jax.nn.one_hot(index, n_bins, dtype=raw.dtype)

    def pick(values: Array) -> Array:
        return jnp.sum(member * values, axis=-1)

    left = pick(jnp.concatenate([outer, slope], axis=-1))
    right = pick(jnp.concatenate([slope, outer], axis=-1))
    return _Bin(pick(x), pick(y), pick(width), pick(height), left, right)


def _knots(raw: Array, bound: float) -> tuple[Array, Array]:
    """Sizes of the bins and their left ends; the sizes sum to 2 B."""
    n_bins = raw.shape[-1]
    share = _SMALLEST_BIN + (1.0 - _SMALLEST_BIN * n_bins) * jax.nn.softmax(raw, axis=-1)
    inner = jnp.cumsum(2.0 * bound * share[..., :-1], axis=-1) - bound
    end = jnp.full((*inner.shape[:-1], 1), bound, inner.dtype)
    left = jnp.concatenate([-end, inner], axis=-1)
    # Differences of the knots themselves, so that neighbouring bins meet to the last bit.
    return jnp.concatenate([inner, end], axis=-1) - left, left
