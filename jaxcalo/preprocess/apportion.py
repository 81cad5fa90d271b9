"""Shares of a total: whole points, and energies above a threshold, of the layers of one shower."""

import jax
import jax.numpy as jnp
from jax import Array

from jaxcalo.typing import Scalar

# E_vis exceeds N thresholds by at least this part, so that there is energy to share out.
_SPARE = 1e-3
_N_BISECTIONS = 32  # more than a float32 can tell apart


def share_points(wanted: Array, total: Scalar) -> Array:
    """Whole numbers of points in proportion to what is wanted, of the sum asked for.

    n_l = floor(s wanted_l), s such that the sum is `total` (the divisor method of d'Hondt)

    If the sum of floor(wanted) is already `total`, they are floor(wanted).

    Args:
        wanted: (L,), at least 0.
        total: whole, at least 1.

    Returns:
        (L,) whole numbers as floats.
    """
    wanted = jnp.maximum(wanted, 1e-6)  # all may be 0
    largest = jnp.argmax(wanted)

    def halve(_: int, bracket: tuple[Scalar, Scalar]) -> tuple[Scalar, Scalar]:
        low, high = bracket
        middle = 0.5 * (low + high)
        fits = jnp.sum(jnp.floor(middle * wanted)) <= total
        return jnp.where(fits, middle, low), jnp.where(fits, high, middle)

    # At the upper end the largest alone gets more than all.
    bracket = jnp.zeros_like(total), (total + 2.0) / wanted[largest]
    scale, _ = jax.lax.fori_loop(0, _N_BISECTIONS, halve, bracket)
    n_points = jnp.floor(scale * wanted)
    # Two layers may reach their next point at scales that float32 cannot tell apart.
    return n_points.at[largest].add(total - jnp.sum(n_points))


def share_energy(
    wanted_mev: Array, n_points: Array, visible_mev: Scalar, threshold_mev: float
) -> Array:
    """Layer energies in proportion to what is wanted, of the sum asked for.

    No layer has less than the threshold for each of its points; what is missing is taken from the
    others' energies above that. A visible energy below N thresholds is raised to them.

    Args:
        wanted_mev: (L,), above 0 where there are points.
        n_points: (L,).
        visible_mev: the sum.
        threshold_mev: smallest energy of a point.
    """
    floor = threshold_mev * n_points
    visible = jnp.maximum(visible_mev, (1.0 + _SPARE) * jnp.sum(floor))
    above = jnp.maximum(wanted_mev * (visible / jnp.sum(wanted_mev)) - floor, 0.0)
    shared = floor + above * ((visible - jnp.sum(floor)) / jnp.sum(above))
    return jnp.where(n_points > 0, jnp.maximum(shared, floor), 0.0)
