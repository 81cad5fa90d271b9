"""Ensembles of the families on vectors, as a recipe names them."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array

from jaxcalo.errors import InputError
from jaxcalo.experiment.vector_families import (
    DiffusionFamily,
    Family,
    VectorFamily,
    WholeDataFamily,
)
from jaxcalo.experiment.vector_nets import EventShape
from jaxcalo.families import (
    Encode,
    Features,
    PhysicsTerm,
    Repulsion,
    denoised_events,
    draw_member,
    drawn_events,
    ensemble,
    with_member,
)
from jaxcalo.nets import member_params
from jaxcalo.typing import Key, Params


@dataclasses.dataclass(frozen=True)
class RepulsiveEnsemble:
    """Members of their own weights, pushed apart while they learn.

    Diffusion's are compared by the events they denoise, at random noise levels; the others by the
    events they draw from equal noise, which a masked autoregressive flow is slow to do.

    Attributes:
        n_members: How many, at least 2; training takes so many times as long.
        repulsion: How they are pushed; None: they differ by their start and noise alone.

    Raises:
        InputError: Less than two members.
    """

    n_members: int = 5
    repulsion: Repulsion | None = dataclasses.field(default_factory=Repulsion)

    def __post_init__(self) -> None:
        _check_number(self.n_members)

    def build(
        self,
        family: VectorFamily,
        shape: EventShape,
        encode: Encode,
        n_steps: int,
        terms: Sequence[PhysicsTerm],
    ) -> Family:
        """Build the ensemble of a family's models; the held-out numbers are means over members.

        Raises:
            InputError: A family that cannot be such an ensemble.
        """
        self.check(family)
        one = family.build(shape, encode, n_steps, terms)
        if isinstance(family, DiffusionFamily):
            respond = denoised_events(family.net(shape), family.diffusion, encode)
        else:
            respond = drawn_events(one.model, encode)

        @jax.jit
        def evaluate(key: Key, params: Params, data: object) -> dict[str, Array]:
            found = jax.lax.map(lambda own: one.evaluate(key, own, data), params)
            return jax.tree.map(lambda values: jnp.mean(values, axis=0), found)

        return Family(ensemble(one.model, self.n_members, self.repulsion, respond), evaluate)

    def member(self, params: Params, m: int) -> Params:
        """The parameters of member m: those of a single model."""
        return jax.tree.map(lambda leaf: leaf[m], params)

    def check(self, family: VectorFamily) -> None:
        """Raise InputError for a family that cannot be such an ensemble."""
        _require_gradients(self, family)


@dataclasses.dataclass(frozen=True)
class MaskedEnsemble:
    """Members in the weights of one diffusion network, each without some of its hidden units.

    It trains and samples as fast as one model.

    Attributes:
        n_members: How many, at least 2.
        drop: Share of the hidden units that each leaves out, in (0, 1).

    Raises:
        InputError: Less than two members, or a share outside (0, 1).
    """

    n_members: int = 5
    drop: float = 0.3

    def __post_init__(self) -> None:
        _check_number(self.n_members)
        if not 0.0 < self.drop < 1.0:
            raise InputError(
                f"MaskedEnsemble: expected drop between 0 and 1, found {self.drop}; choose 0.3, say"
            )

    def build(
        self,
        family: VectorFamily,
        shape: EventShape,
        encode: Encode,
        n_steps: int,
        terms: Sequence[PhysicsTerm],
    ) -> Family:
        """Build the model that is told the member in training, and draws it in sampling.

        Raises:
            InputError: A family that cannot be such an ensemble.
        """
        family = self.check(family)
        net = family.member_net(shape, self.n_members, self.drop)
        known = [term._replace(features=_without_number(term.features)) for term in terms]
        told = family.build_with(net, shape, with_member(encode, self.n_members), n_steps, known)
        return Family(draw_member(told.model, self.n_members), told.evaluate)

    def member(self, params: Params, m: int) -> Params:
        """The parameters of member m: those of a single model."""
        return member_params(params, m, self.n_members, self.drop)

    def check(self, family: VectorFamily) -> DiffusionFamily:
        """The family; InputError if it cannot be such an ensemble."""
        _require_gradients(self, family)
        if not isinstance(family, DiffusionFamily):
            raise InputError(
                "MaskedEnsemble: expected DiffusionFamily, whose network can be masked, found "
                f"{type(family).__name__}; choose RepulsiveEnsemble"
            )
        dropout = family.diffusion.condition_dropout
        if dropout > 0.0:
            raise InputError(
                "MaskedEnsemble: expected condition_dropout 0, for conditions say whose mask "
                f"holds, found {dropout}; choose 0 or RepulsiveEnsemble"
            )
        return family


Ensemble = RepulsiveEnsemble | MaskedEnsemble


def build_family(
    family: VectorFamily,
    config: Ensemble | None,
    shape: EventShape,
    encode: Encode,
    n_steps: int,
    terms: Sequence[PhysicsTerm] = (),
) -> Family:
    """Build the model of a family, or an ensemble of it.

    Args:
        family: The family.
        config: The ensemble; None for a single model.
        shape: Of a standardised event.
        encode: (key, datum) -> (event, condition).
        n_steps: Steps of the training.
        terms: Losses from physics.

    Raises:
        InputError: The family does not fit the events, or cannot be such an ensemble.
    """
    if config is None:
        return family.build(shape, encode, n_steps, terms)
    return config.build(family, shape, encode, n_steps, terms)


def _without_number(features: Features) -> Features:
    """Features that do not see the number of the member, the last of the condition."""
    return lambda event, cond: features(event, cond[:-1])


def _require_gradients(config: Ensemble, family: VectorFamily) -> None:
    if isinstance(family, WholeDataFamily):
        raise InputError(
            f"{type(config).__name__}: expected a family that learns by gradients, found "
            f"{type(family).__name__}, whose members would be equal; leave the ensemble out"
        )


def _check_number(n_members: int) -> None:
    if n_members < 2:
        raise InputError(f"ensemble: expected at least 2 members, found {n_members}; choose 5, say")
