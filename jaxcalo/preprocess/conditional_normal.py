"""A number made standard normal, given others that it depends on: a fitted monotonic map.

z = T((y - mean(f)) exp(-log_scale(f))),    f: features of the dependence

mean and log_scale are linear in the features, T is increasing and piecewise linear, through the
quantiles. Few constants, all from closed-form or convex fits: so little data suffice that a network
would learn by heart. `fit_normal_map` is for the host, in float64; the rest is jax, of one number.
"""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcalo.typing import Scalar

# Where T bends, in standard normal units: further out, 1757 showers hold no quantile worth a name.
_NORMAL_KNOTS = np.concatenate([[-3.0], np.linspace(-2.4, 2.4, 13), [3.0]])
_NORMAL_SHARES = np.array([0.5 * math.erfc(-k / math.sqrt(2.0)) for k in _NORMAL_KNOTS])
# Prior precision of every coefficient but the constants, in showers: features are of order one.
_RIDGE = 3.0
_N_NEWTON = 30
_NEWTON_STEP = 0.6  # damped: the first steps, from a constant scale, would go too far
_LARGEST_SQUARE = 20.0  # an outlier of 4.5 sigma says no more about the scale than this
# A number that never varies keeps a scale, and knots that quantiles share stay apart.
_SMALLEST_SCALE = 1e-3
_SMALLEST_GAP = 1e-4


class NormalMap(NamedTuple):
    """The constants of one map, or of several with a leading axis.

    Attributes:
        mean: (n_features,).
        log_scale: (n_features,).
        log_scale_range: Smallest and largest log scale at the fit, (2,): a polynomial is not to be
            believed further out.
        knots: Where T bends, (15,), increasing.
    """

    mean: np.ndarray | Array
    log_scale: np.ndarray | Array
    log_scale_range: np.ndarray | Array
    knots: np.ndarray | Array


def array_module(array: Array | np.ndarray) -> Any:
    """Numpy on the host, where a fit is in float64 and compiles nothing, jax.numpy elsewhere."""
    return np if isinstance(array, np.ndarray) else jnp


def quadratic(u: Any) -> Any:
    """1, all u_i, and all u_i u_j with i <= j: the features of one dependence (k,)."""
    i, j = np.triu_indices(u.shape[-1])
    xp = array_module(u)
    return xp.concatenate([xp.ones_like(u[..., :1]), u, u[..., i] * u[..., j]], axis=-1)


def no_normal_map(n_features: int) -> NormalMap:
    """The identity."""
    zero = np.zeros(n_features, np.float32)
    return NormalMap(zero, zero, np.zeros(2, np.float32), _NORMAL_KNOTS.astype(np.float32))


def fit_normal_map(
    features: np.ndarray, y: np.ndarray, *, symmetric: bool = False
) -> tuple[NormalMap, np.ndarray]:
    """Fit mean and scale by maximum likelihood under a normal law, then T to the quantiles.

    Args:
        features: (n, n_features), the first of them 1.
        y: (n,).
        symmetric: y and -y are equally likely: the mean is 0 and T is odd.

    Returns:
        The map, and the numbers z of the n showers.
    """
    n_features = features.shape[1]
    if not len(y):
        return no_normal_map(n_features), np.zeros(0)
    features, y = np.asarray(features, np.float64), np.asarray(y, np.float64)
    weight, mean = np.ones(len(y)), np.zeros(n_features)
    log_scale = np.zeros(n_features)
    for _ in range(2):  # the second time with the weights that the first one's scales give
        if not symmetric:
            mean = _least_squares(features, y, weight)
        residual = y - features @ mean
        log_scale = _fit_log_scale(features, residual)
        weight = np.exp(-2.0 * (features @ log_scale))
        weight = weight / np.mean(weight)
    predicted = features @ log_scale
    standard = residual * np.exp(-predicted)
    both = np.concatenate([standard, -standard]) if symmetric else standard
    knots = np.quantile(both, _NORMAL_SHARES)
    knots = np.maximum.accumulate(knots) + _SMALLEST_GAP * np.arange(-7, 8)
    log_range = np.array([predicted.min(), predicted.max()])
    constants = (mean, log_scale, log_range, knots)
    fitted = NormalMap(*(np.asarray(a, np.float32) for a in constants))
    return fitted, _through(standard, knots, _NORMAL_KNOTS)


def to_normal(normal_map: NormalMap, features: Array, y: Scalar) -> Scalar:
    """Y -> z, of one number."""
    mean, scale = _mean_and_scale(normal_map, features)
    return _through((y - mean) / scale, jnp.asarray(normal_map.knots), _normal_knots())


def from_normal(normal_map: NormalMap, features: Array, z: Scalar) -> Scalar:
    """Z -> y, of one number: the inverse of `to_normal`."""
    mean, scale = _mean_and_scale(normal_map, features)
    return mean + scale * _through(z, _normal_knots(), jnp.asarray(normal_map.knots))


def _mean_and_scale(normal_map: NormalMap, features: Array) -> tuple[Scalar, Scalar]:
    low, high = normal_map.log_scale_range
    # Sums of products instead of a matrix product, which accelerators round to bf16 or TF32.
    log_scale = jnp.sum(features * normal_map.log_scale)
    mean = jnp.sum(features * normal_map.mean)
    return mean, jnp.exp(jnp.clip(log_scale, low, high))


def _normal_knots() -> Array:
    return jnp.asarray(_NORMAL_KNOTS, jnp.float32)


def _through(x: Any, knots: Any, values: Any) -> Any:
    """Piecewise linear through (knots, values), both increasing; straight on outside."""
    piece = (x[..., None] >= knots[1:-1]).sum(axis=-1)
    slope = (values[1:] - values[:-1]) / (knots[1:] - knots[:-1])
    return values[piece] + slope[piece] * (x - knots[piece])


def _least_squares(features: np.ndarray, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted, with a prior of precision _RIDGE on every coefficient but the constant's."""
    weighted = features * weight[:, None]
    return np.linalg.solve(features.T @ weighted + _ridge(features), weighted.T @ y)


def _fit_log_scale(features: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """Maximum likelihood of N(0, exp(2 features w)) by Fisher scoring."""
    w = np.zeros(features.shape[1])
    w[0] = math.log(max(residual.std(), _SMALLEST_SCALE))
    ridge = _ridge(features)
    curvature = 2.0 * features.T @ features + ridge
    for _ in range(_N_NEWTON):
        square = (residual * np.exp(-(features @ w))) ** 2
        slope = features.T @ np.minimum(square - 1.0, _LARGEST_SQUARE) - ridge @ w
        w = w + _NEWTON_STEP * np.linalg.solve(curvature, slope)
    # The constant alone, so that a number that never varies keeps a scale.
    w[0] = max(w[0], math.log(_SMALLEST_SCALE))
    return w


def _ridge(features: np.ndarray) -> np.ndarray:
    ridge = _RIDGE * np.eye(features.shape[1])
    ridge[0, 0] = 1e-9  # the constant is free; not 0, so that one shower can be solved for
    return ridge
