"""Monotonic maps of one number, whose parameters a network computes: what flows are made of.

Raw parameters 0 are the identity in each of them, so that a new flow is the identity.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from jaxcalo.nets.splines import inverse_spline, n_spline_parameters, spline


class ElementMap(NamedTuple):
    """A map of each component of a vector, given raw parameters of each.

    Attributes:
        forward: (components (b, k), raw parameters (b, k, p)) -> (changed components, log
            derivatives), both (b, k).
        inverse: Its inverse, with the inverse's log derivatives.
        n_parameters: p.
    """

    forward: Callable[[Array, Array], tuple[Array, Array]]
    inverse: Callable[[Array, Array], tuple[Array, Array]]
    n_parameters: int


def additive() -> ElementMap:
    """Shifts: x + t with t = raw_0.

    Source: Dinh et al., arXiv:1410.8516, section 3.2.
    """
    return ElementMap(
        lambda x, raw: (x + raw[..., 0], jnp.zeros_like(x)),
        lambda z, raw: (z - raw[..., 0], jnp.zeros_like(z)),
        1,
    )


def affine(max_log_scale: float) -> ElementMap:
    """Scales and shifts: x exp(s) + t with s = m tanh(raw_0 / m), t = raw_1.

    Args:
        max_log_scale: m, the largest |s|: wilder scales of a young flow could not be inverted.

    Source: Dinh et al., arXiv:1605.08803, section 3.2.
    """

    def log_scale(raw: Array) -> Array:
        return max_log_scale * jnp.tanh(raw[..., 0] / max_log_scale)

    def forward(x: Array, raw: Array) -> tuple[Array, Array]:
        s = log_scale(raw)
        return x * jnp.exp(s) + raw[..., 1], s

    def inverse(z: Array, raw: Array) -> tuple[Array, Array]:
        s = log_scale(raw)
        return (z - raw[..., 1]) * jnp.exp(-s), -s

    return ElementMap(forward, inverse, 2)


def bent(n_bins: int, bound: float) -> ElementMap:
    """A rational-quadratic spline of n_bins pieces on [-bound, bound], the identity outside.

    Source: Durkan et al., arXiv:1906.04032.
    """
    return ElementMap(
        lambda x, raw: spline(x, raw, bound),
        lambda z, raw: inverse_spline(z, raw, bound),
        n_spline_parameters(n_bins),
    )
