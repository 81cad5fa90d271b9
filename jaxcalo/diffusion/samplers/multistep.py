"""What multistep methods share: past evaluations, and the exact integral of their interpolation.

With lambda = log_snr / 2, h = lambda_s - lambda_t > 0 and u = (lambda - lambda_t) / h, the
probability-flow equation is solved by

    x_s = (sigma_s / sigma_t) x_t + alpha_s int_0^h e^(v - h) D dv,   v = h u,

so a method is a polynomial P(u) in place of the denoiser's answer D along the path. The integrals

    w_j(h) = int_0^h e^(v - h) u^j dv,   w_0 = -expm1(-h),   w_j = 1 - (j / h) w_(j-1)

are j! h phi_(j+1)(-h) in the notation of exponential integrators.

Source: Lu et al. 2022 (arXiv:2206.00927), proposition 3.1; (arXiv:2211.01095), eq. 8.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp

from jaxcalo.typing import Event, Scalar


class Past(NamedTuple):
    """Past evaluations, the latest first.

    Attributes:
        x_0_hats: the denoiser's answers; zeros where there was no evaluation yet.
        log_snrs: where they were made; zeros likewise.
        count: the number of evaluations made so far, which may exceed those that are kept.
    """

    x_0_hats: tuple[Event, ...]
    log_snrs: tuple[Scalar, ...]
    count: Scalar


def no_past(x_T: Event, size: int) -> Past:
    """Return a past of `size` places without an evaluation."""
    place = jnp.zeros((), x_T.dtype)
    return Past((jnp.zeros_like(x_T),) * size, (place,) * size, jnp.zeros((), jnp.int32))


def remember(past: Past, x_0_hat: Event, log_snr: Scalar) -> Past:
    """Put a new evaluation first and drop the oldest."""
    size = len(past.x_0_hats)
    return Past((x_0_hat, *past.x_0_hats)[:size], (log_snr, *past.log_snrs)[:size], past.count + 1)


def earlier(past: Past) -> Past:
    """Return the past as it was before the latest evaluation."""
    return Past(past.x_0_hats[1:], past.log_snrs[1:], past.count - 1)


def past_nodes(past: Past, log_snr: Scalar, h: Scalar) -> list[Scalar]:
    """Return the u < 0 of the past evaluations, seen from log_snr in units of h.

    A place without an evaluation stands one unit before its successor: the nodes are always apart,
    so that no quotient of a place that does not count is infinite, nor its derivative.
    """
    nodes, node, later = [], 0.0, log_snr
    for i, at in enumerate(past.log_snrs):
        node = node - jnp.where(i < past.count, (later - at) / (2 * h), 1)
        nodes.append(node)
        later = at
    return nodes


def integrate(
    h: Scalar, nodes: Sequence[Scalar | float], x_0_hats: Sequence[Event], n_nodes: Scalar | int
) -> Event:
    """Return int_0^h e^(v - h) P(v / h) dv for the polynomial P through the first n_nodes nodes.

    A straight line (n_nodes = 2) has the weight w_0 / 2 in place of w_1, as both published methods
    have it; the two differ by O(h^2).

    Args:
        h: the length of the step, above zero.
        nodes: the places u of the evaluations, the first at 0, all different.
        x_0_hats: the evaluations there.
        n_nodes: how many of them count, at least 1.

    Source: Newton's divided differences.
    """
    weights = phi_weights(h, len(nodes))
    if len(nodes) > 1:
        weights[1] = jnp.where(n_nodes > 2, weights[1], weights[0] / 2)
    total = weights[0] * x_0_hats[0]
    differences, polynomial = list(x_0_hats), [1.0]
    for order in range(1, len(nodes)):
        differences = [
            (differences[i + 1] - differences[i]) / (nodes[i + order] - nodes[i])
            for i in range(len(differences) - 1)
        ]
        polynomial = [
            low - nodes[order - 1] * high
            for low, high in zip([0.0, *polynomial], [*polynomial, 0.0], strict=True)
        ]
        integral = sum(c * w for c, w in zip(polynomial, weights, strict=False))
        total = total + jnp.where(order < n_nodes, integral * differences[0], 0)
    return total


def phi_weights(h: Scalar, n_weights: int) -> list[Scalar]:
    """Return w_0(h) ... w_(n_weights - 1)(h), each to rounding for any h > 0.

    Above h = 1 the recursion of the module's docstring goes up. Below it would cancel, so there the
    last is summed, w_J = h J! sum_i (-h)^i / (i + J + 1)!, and w_(j-1) = (1 - w_j) h / j goes down.
    """
    last = n_weights - 1
    is_small = h < 1
    small, large = jnp.where(is_small, h, 1), jnp.where(is_small, 1, h)
    series = jnp.zeros_like(small)
    for i in reversed(range(18)):  # 1 / 18! is below the rounding of float64
        series = series * -small + math.factorial(last) / math.factorial(i + last + 1)
    down = [small * series]
    for j in range(last, 0, -1):
        down.insert(0, (1 - down[0]) * small / j)
    up = [-jnp.expm1(-large)]
    for j in range(1, n_weights):
        up.append(1 - j / large * up[-1])
    return [jnp.where(is_small, below, above) for below, above in zip(down, up, strict=True)]
