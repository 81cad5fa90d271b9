"""Losses from physics: chosen quantities of generated events must be distributed as in real ones.

    E(p, q) = 2 E|X - Y| - E|X - X'| - E|Y - Y'| = 2 int (F_p(x) - F_q(x))^2 dx >= 0           (1)

with X, X' ~ p (real) and Y, Y' ~ q (generated) independent, F the distribution functions: the
energy distance, 0 only where p = q. A quantity is an observable (an invariant mass) or a regressor
trained beforehand (`surrogate_features`); training with such terms is called prioritised.

Sources: Szekely and Rizzo 2013 (doi:10.1016/j.jspi.2013.03.018), the energy distance; Gretton et
al. 2012 (JMLR 13, 723), eq. 3, the unbiased estimate.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxcalo.errors import InputError
from jaxcalo.training import AXIS, Metrics
from jaxcalo.typing import Cond, Conds, Event, Events, Scalar

# Of one standardised event: (event, cond) -> (k,) quantities in any unit, differentiable.
Features = Callable[[Event, Cond], Array]

_ROUNDING = 1e-6  # a spread below this fraction of the values is rounding of 32-bit numbers


class PhysicsTerm(NamedTuple):
    """A term of a loss.

    Attributes:
        name: Stands in the metrics as physics_NAME.
        features: Quantities (k,) of one event; each one's distribution is compared.
        weight: Of their mean energy distance in the loss; 0 only measures it.
    """

    name: str
    features: Features
    weight: float


def physics_loss(
    terms: Sequence[PhysicsTerm],
    real: Events,
    generated: Events,
    conds: Conds,
    *,
    generated_conds: Conds | None = None,
    axis_name: str | None = AXIS,
) -> tuple[Scalar, Metrics]:
    """The sum of the terms, for this device's part of a batch.

    sum_terms weight mean_k E_k,   E_k by (1) in units of the real standard deviation of feature k

    Averaged over the devices it is the term of the whole batch, and so is its gradient, however
    many devices share it: each compares its events with those of all. No gradient passes between
    devices. It is no mean over events: events taken one by one have none.

    Args:
        terms: The terms; none give 0 and no metrics.
        real: Standardised events, (b, n).
        generated: (g, n), through which the gradient flows.
        conds: Conditions of the real events, (b, c).
        generated_conds: Of the generated ones, (g, c); None where they are the same, one by one.
        axis_name: Name of the devices' axis, as in a training step; None outside one.

    Returns:
        The loss, and {"physics_NAME": mean energy distance without its weight}.

    Raises:
        InputError: A batch of one event, names that are not different, or a weight that is
            negative or not finite.
    """
    _check(terms, min(len(real), len(generated)))
    generated_conds = conds if generated_conds is None else generated_conds
    loss, metrics = jnp.zeros(()), {}
    for term in terms:
        of_real = jax.vmap(term.features)(real, conds)
        of_generated = jax.vmap(term.features)(generated, generated_conds)
        distance = jnp.mean(standardised_distance(of_real, of_generated, axis_name=axis_name))
        loss += term.weight * distance
        metrics[f"physics_{term.name}"] = distance
    return loss, metrics


def standardised_distance(real: Array, generated: Array, *, axis_name: str | None = None) -> Array:
    """The energy distance of each column, in units of the real column's standard deviation.

    A column without spread among the real events keeps its own unit.

    Args:
        real: (n, k).
        generated: (m, k).
        axis_name: As in `physics_loss`.

    Returns:
        (k,).
    """
    known = _gather(real, axis_name)
    mean, spread = jnp.mean(known, axis=0), jnp.std(known, axis=0)
    constant = spread <= _ROUNDING * jnp.max(jnp.abs(known), axis=0)
    scale = jnp.where(constant, 1.0, spread)
    columns = ((lax.stop_gradient(real) - mean) / scale, (generated - mean) / scale)
    return jax.vmap(lambda x, y: energy_distance(x, y, axis_name=axis_name), 1)(*columns)


def energy_distance(real: Array, generated: Array, *, axis_name: str | None = None) -> Scalar:
    """Estimate the energy distance (1) of two samples of numbers without bias.

    Its mean over independent samples is exact: 0 for equal distributions, so that a single estimate
    may be negative. It is homogeneous of degree one in all numbers and so the sum of each number
    times the slope there, which the ranks give: n log n operations for n^2 differences.

    Args:
        real: (n,) numbers, n at least 2 over all devices.
        generated: (m,) numbers, m at least 2 over all devices.
        axis_name: As in `physics_loss`: the mean over the devices is then the estimate from the
            numbers of all.

    Returns:
        The estimate, in the unit of the numbers.
    """
    all_real, all_generated = _gather(real, axis_name), _gather(generated, axis_name)
    n, m = len(all_real), len(all_generated)
    own_real, own_generated = lax.stop_gradient((real, generated))
    to_real, to_generated = _signs(own_generated, all_real), _signs(own_generated, all_generated)
    slope_generated = 2.0 / (n * m) * to_real - 2.0 / (m * (m - 1)) * to_generated
    to_real, to_generated = _signs(own_real, all_real), _signs(own_real, all_generated)
    slope_real = 2.0 / (n * m) * to_generated - 2.0 / (n * (n - 1)) * to_real
    n_devices = n // len(real)
    return n_devices * (jnp.sum(generated * slope_generated) + jnp.sum(real * slope_real))


def _signs(values: Array, points: Array) -> Array:
    """The sum over the points of sign(value - point), for each value; 0 where they are equal."""
    points = jnp.sort(points)
    below, up_to = (jnp.searchsorted(points, values, side=side) for side in ("left", "right"))
    return (below + up_to - len(points)).astype(values.dtype)


def _gather(values: Array, axis_name: str | None) -> Array:
    """The values of all devices, constants to the gradient."""
    values = lax.stop_gradient(values)
    return values if axis_name is None else lax.all_gather(values, axis_name, tiled=True)


def _check(terms: Sequence[PhysicsTerm], n_events: int) -> None:
    names = [term.name for term in terms]
    if len(set(names)) < len(names):
        raise InputError(
            f"physics terms: expected different names, found {', '.join(names)}; rename one"
        )
    for term in terms:
        if not (math.isfinite(term.weight) and term.weight >= 0.0):
            raise InputError(
                f"physics term {term.name}: expected a finite weight of at least 0, found "
                f"{term.weight}; choose 1, say"
            )
    if terms and n_events < 2:
        raise InputError(
            "physics terms: expected at least 2 events of a batch on every device, found "
            f"{n_events}; increase --data.batch-size"
        )
