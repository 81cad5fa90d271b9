"""Invertible maps of one event, composed: voxels in MeV <-> the standardised vector a model learns.

Every Transform acts on ONE event, given the incident energy of its particle; `jax.vmap` adds the
batch. `inverse` undoes `forward` exactly on Monte Carlo showers and maps everything a model may
generate to physical showers (energies >= 0).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.scipy.special import expit, logit

from jaxcalo.typing import Event, Scalar


class Transform(NamedTuple):
    """A pair of pure functions (event, incident_energy_mev) -> event that undo each other."""

    forward: Callable[[Event, Scalar], Event]
    inverse: Callable[[Event, Scalar], Event]


def chain(*transforms: Transform) -> Transform:
    """Apply the transforms from left to right; the inverse runs from right to left."""

    def forward(event: Event, incident_energy_mev: Scalar) -> Event:
        for transform in transforms:
            event = transform.forward(event, incident_energy_mev)
        return event

    def inverse(event: Event, incident_energy_mev: Scalar) -> Event:
        for transform in reversed(transforms):
            event = transform.inverse(event, incident_energy_mev)
        return event

    return Transform(forward, inverse)


def scale_by_incident_energy(max_deposit: float) -> Transform:
    """Scale voxels by the incident energy.

    x = E_voxel / (max_deposit E_inc)

    Args:
        max_deposit: The largest deposit, in incident energies, that maps to 1 (CaloDiffusion: 2 for
            data sets 2 and 3, 3.1 for data set 1: the sampling fraction fluctuates above 1).

    Source: Amram and Pedro, arXiv:2308.03876, section III.
    """
    return Transform(
        lambda event, energy: event / (max_deposit * energy),
        lambda event, energy: event * (max_deposit * energy),
    )


def logit_scale(margin: float) -> Transform:
    """Take the logit of x in [0, 1], kept from the ends by a margin.

    y = logit(margin + (1 - 2 margin) x)

    Args:
        margin: Keeps the empty voxel finite: 0 maps to logit(margin).
    """
    return Transform(
        lambda event, _: logit(margin + (1.0 - 2.0 * margin) * event),
        lambda event, _: jnp.clip((expit(event) - margin) / (1.0 - 2.0 * margin), 0.0, 1.0),
    )


def hit_scale(threshold_mev: float, unit_mev: float, power: float, gap: float) -> Transform:
    """Set empty voxels at 0 and hits at gap + (E / unit)^power, in MeV.

    The power tames four decades of energy without the logarithm's fault, that a small error of a
    model becomes a large factor; the gap keeps an empty voxel and the smallest hit apart for a
    model that blurs both. The inverse cuts in the middle of the gap; a hit is never below
    threshold, and an empty voxel comes out negative, the less the nearer it was to a hit.

    Args:
        threshold_mev: the readout threshold, MeV.
        unit_mev: the energy that is 1 above the gap, MeV.
        power: above 0 and at most 1.
        gap: distance between an empty voxel and a hit of no energy.
    """
    cut = 0.5 * (gap + (threshold_mev / unit_mev) ** power)

    def forward(event: Event, _: Scalar) -> Event:
        return jnp.where(event > 0.0, gap + (event / unit_mev) ** power, 0.0)

    def inverse(event: Event, _: Scalar) -> Event:
        energy = unit_mev * jnp.maximum(event - gap, 0.0) ** (1.0 / power)
        return jnp.where(event < cut, event - cut, jnp.maximum(energy, threshold_mev))

    return Transform(forward, inverse)


def threshold(threshold_mev: float) -> Transform:
    """The readout threshold: voxels below it are empty.

    Args:
        threshold_mev: The smallest energy that a voxel reports, in MeV.
    """

    def cut(event: Event, _: Scalar) -> Event:
        return jnp.where(event < threshold_mev, 0.0, event)

    return Transform(cut, cut)


def standardise(mean: Array, std: Array) -> Transform:
    """Standardise component by component.

    y = (x - mean) / std

    Args:
        mean: Shape of the event.
        std: Shape of the event, positive.
    """
    return Transform(
        lambda event, _: (event - mean) / std,
        lambda event, _: event * std + mean,
    )


def scale_with_energy(power: Array, reference_mev: Array) -> Transform:
    """Multiply component i by (E_inc / reference)^power_i: fluctuations that fall with energy.

    Args:
        power: shape of the event; 1/2 for a quantity with the stochastic term of a calorimeter's
            resolution, 0 for no change.
        reference_mev: the energy at which nothing changes, MeV.
    """
    return Transform(
        lambda event, energy: event * (energy / reference_mev) ** power,
        lambda event, energy: event / (energy / reference_mev) ** power,
    )


def on_slice(transform: Transform, start: int, stop: int) -> Transform:
    """Apply a transform to the components [start, stop) only; it must keep their number."""

    def part(function: Callable[[Event, Scalar], Event]) -> Callable[[Event, Scalar], Event]:
        def apply(event: Event, energy: Scalar) -> Event:
            inside = function(event[start:stop], energy)
            return jnp.concatenate([event[:start], inside, event[stop:]])

        return apply

    return Transform(part(transform.forward), part(transform.inverse))
