"""From configuration to functions: encoding, family and physics of four-lepton events."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jaxcalo.data import LeptonEvents
from jaxcalo.experiment.ensemble_config import build_family
from jaxcalo.experiment.lepton_config import LeptonExperiment, LeptonTerms
from jaxcalo.experiment.vector_nets import EventShape
from jaxcalo.families import GenerativeModel, PhysicsTerm
from jaxcalo.preprocess import LeptonConstants, LeptonTransform, lepton_transform
from jaxcalo.typing import Cond, Event, Key, Params, Scalar

# GeV^2. A mass has no gradient at 0, and sparse events may have negative squares.
_SMALLEST_SQUARE = 1e-6


class BuiltLeptons(NamedTuple):
    """What an experiment on four-lepton events trains.

    Attributes:
        model: The generative model of standardised events.
        evaluate: (key, averaged parameters, events) -> held-out numbers.
        physical: The model of physical events: sample(key, params, raw (1,)) -> (4, 5), rows of
            pdg, E, px, py, pz in GeV; raw is the number of the flavour class, negative to draw it.
    """

    model: GenerativeModel
    evaluate: Callable[[Key, Params, Any], dict[str, Array]]
    physical: GenerativeModel


def build_leptons(experiment: LeptonExperiment, constants: LeptonConstants) -> BuiltLeptons:
    """Build what an experiment trains.

    Args:
        experiment: the configuration.
        constants: the fitted encoding.

    Raises:
        InputError: the family does not fit the events.
    """
    transform = lepton_transform(experiment.encoding, constants)

    def encode(key: Key, event: LeptonEvents) -> tuple[Event, Cond]:
        turn_key, key = jax.random.split(key)
        momentum = jnp.asarray(event.momentum_gev, jnp.float32)
        if experiment.data.turned:
            momentum = turned(turn_key, momentum)
        return transform.forward(key, jnp.asarray(event.pdg), momentum)

    family = build_family(
        experiment.family,
        experiment.ensemble,
        EventShape(transform.n_components),
        encode,
        experiment.training.n_steps,
        _terms(experiment.terms, transform),
    )
    return BuiltLeptons(family.model, family.evaluate, _in_gev(family.model, transform))


def turned(key: Key, momentum_gev: Array) -> Array:
    """An equally likely event: turned about the beam, and by half a turn about an axis across it.

    The latter exchanges the beams. Both are rotations, no reflections: equal beams without
    polarisation know nothing else.

    Args:
        key: draws the angle, and whether the beams are exchanged.
        momentum_gev: (k, 4) E, px, py, pz.
    """
    angle_key, side_key = jax.random.split(key)
    angle = jax.random.uniform(angle_key, (), maxval=2.0 * jnp.pi)
    side = jnp.where(jax.random.bernoulli(side_key), 1.0, -1.0)
    energy, px, py, pz = momentum_gev.T
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.stack([energy, cos * px - sin * py, side * (sin * px + cos * py), side * pz], axis=1)


def _terms(config: LeptonTerms, transform: LeptonTransform) -> list[PhysicsTerm]:
    def of(observable: Callable[[Array], Scalar]) -> Callable[[Event, Cond], Array]:
        def features(event: Event, cond: Cond) -> Array:
            _, momentum = transform.inverse(event, cond)
            return observable(jnp.sum(momentum, axis=0))[None]

        return features

    weights = {"mass": (_mass, config.mass), "pt": (_pt, config.pt)}
    return [
        PhysicsTerm(name, of(observable), weight)
        for name, (observable, weight) in weights.items()
        if weight > 0.0
    ]


def _mass(total: Array) -> Scalar:
    """Invariant mass of (E, px, py, pz) in GeV."""
    energy, momentum = total[0], jnp.sqrt(jnp.sum(total[1:] ** 2) + _SMALLEST_SQUARE)
    return jnp.sqrt(jnp.maximum((energy - momentum) * (energy + momentum), _SMALLEST_SQUARE))


def _pt(total: Array) -> Scalar:
    """Transverse momentum of (E, px, py, pz) in GeV."""
    return jnp.sqrt(total[1] ** 2 + total[2] ** 2 + _SMALLEST_SQUARE)


def _in_gev(model: GenerativeModel, transform: LeptonTransform) -> GenerativeModel:
    def sample(key: Key, params: Params, raw: Cond) -> Array:
        flavour_key, event_key = jax.random.split(key)
        drawn = transform.draw_condition(flavour_key)
        asked = jax.nn.one_hot(raw[0].astype(jnp.int32), transform.n_conditions)
        cond = jnp.where(raw[0] < 0, drawn, asked)
        pdg, momentum = transform.inverse(model.sample(event_key, params, cond), cond)
        return jnp.concatenate([pdg[:, None].astype(momentum.dtype), momentum], axis=1)

    return model._replace(sample=sample, log_prob=None)
