"""Ensembles: several models of one kind, whose differences say how far a surrogate can be trusted.

Where the data decide, the members agree; what they do not say, every member fills in its own way.
Two kinds:

* `ensemble` trains members of their own weights. Beside the loss each step pushes the members'
  answers apart (1), with a rate that falls to zero: they end as good as they can be, at different
  places.

      P = mean_{m < m'} exp(-|r_m - r_m'|^2 / (2 width^2)),    params_m -= rate dP/dparams_m     (1)

  with r_m the answers of member m, | |^2 the mean over them.
* `with_member` trains one network of fixed dropout masks (`MemberMLP`): the last component of a
  condition is the number of the member whose mask holds, in training and in sampling.

Sources: D'Angelo and Fortuin 2021 (arXiv:2106.11642), repulsion in the space of answers; Durasov et
al. 2021 (arXiv:2012.08334), fixed masks.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax

from jaxcalo.errors import InputError
from jaxcalo.families.base import Encode, GenerativeModel
from jaxcalo.training import AXIS, Algorithm, Batch, Metrics, TrainState
from jaxcalo.typing import Cond, Event, Key, Params

# (key, parameters of one member, batch) -> its answers (b, k) of order one, row i of event i:
# generated or denoised events, features of them. Equal keys for all members; row i draws from
# fold_in(key, batch.index_i) alone (`event_keys`).
Respond = Callable[[Key, Params, Batch], Array]


@dataclasses.dataclass(frozen=True)
class Repulsion:
    """How members are pushed apart.

    Attributes:
        rate: Length of a push in units of its gradient, at the first step.
        n_steps: Steps after which nothing pushes any more; the rate falls to it linearly.
        width: Root mean square difference of answers beyond which members let go of each other.

    Raises:
        InputError: Numbers that are not positive.
    """

    rate: float = 0.1
    n_steps: int = 1000
    width: float = 0.5

    def __post_init__(self) -> None:
        if not (self.rate > 0.0 and self.n_steps > 0 and self.width > 0.0):
            raise InputError(
                "repulsion: expected rate, n_steps and width above 0, found "
                f"{self.rate}, {self.n_steps} and {self.width}; use None for no repulsion"
            )


def ensemble(
    model: GenerativeModel, n_members: int, repulsion: Repulsion | None, respond: Respond
) -> GenerativeModel:
    """Train members side by side, each from its own start and with its own noise.

    Parameters, averages, optimizers and targets are the model's with a leading axis of members. A
    sampled event is of a member drawn at random; all members compute it, so it costs n_members as
    much: generate from `member` where it matters. The metrics are means over the members, and
    `member_difference`: the root mean square difference of two members' answers, while there is
    repulsion.

    Args:
        model: What each member is.
        n_members: How many.
        repulsion: None for none; the members then differ by their start and noise alone.
        respond: The answers that are pushed apart.

    Raises:
        InputError: Less than two members.
    """
    _check_members(n_members)
    own = model.algorithm

    def init(key: Key, batch: Batch) -> TrainState:
        states = jax.vmap(own.init, (0, None))(jax.random.split(key, n_members), batch)
        return states._replace(step=states.step[0])

    def step(key: Key, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        member_key, push_key = jax.random.split(key)
        keys = jax.random.split(member_key, n_members)
        axes = TrainState(None, 0, 0, 0, 0)  # pyright: ignore[reportArgumentType]
        step_members = jax.vmap(own.step, (0, axes, None), (axes, 0))
        after, metrics = step_members(keys, state, batch)
        metrics = jax.tree.map(lambda values: jnp.mean(values, axis=0), metrics)
        if repulsion is None:
            return after, metrics
        rate = repulsion.rate * jnp.maximum(0.0, 1.0 - state.step / repulsion.n_steps)
        push_key = jax.random.fold_in(push_key, state.step)
        width = repulsion.width
        params, difference = lax.cond(
            rate > 0.0,
            lambda: _push(push_key, after.params, batch, respond, width, rate),
            lambda: (after.params, jnp.zeros(())),
        )
        return after._replace(params=params), metrics | {"member_difference": difference}

    def sample(key: Key, params: Params, cond: Cond) -> Event:
        member_key, event_key = jax.random.split(key)
        events = jax.vmap(model.sample, (None, 0, None))(event_key, params, cond)
        return events[jax.random.randint(member_key, (), 0, n_members)]

    return GenerativeModel(Algorithm(init, step), sample, one_by_one=model.one_by_one)


def member(model: GenerativeModel, m: int) -> GenerativeModel:
    """One member of an ensemble, to sample from: its parameters are those of the ensemble.

    Equal keys give all members equal noise: their events differ by what they learned alone.

    Args:
        model: What each member is, as given to `ensemble`.
        m: Number of the member, from 0.

    Raises:
        InputError: A negative number.
    """
    _check_number(m)

    def of_member(params: Params) -> Params:
        return jax.tree.map(lambda leaf: leaf[m], params)

    def sample(key: Key, params: Params, cond: Cond) -> Event:
        return model.sample(key, of_member(params), cond)

    density = model.log_prob
    if density is None:
        return model._replace(sample=sample)
    return model._replace(
        sample=sample,
        log_prob=lambda key, params, event, cond: density(key, of_member(params), event, cond),
    )


def with_member(encode: Encode, n_members: int) -> Encode:
    """Append to each condition the number of a member drawn at random, which learns the event.

    The network reads it (`MemberMLP`); it is no place for a condition that is dropped
    (classifier-free guidance), or looked up by its neighbours.

    Args:
        encode: Without members.
        n_members: How many the network has.
    """
    _check_members(n_members)

    def encode_for_member(key: Key, datum: Any) -> tuple[Event, Cond]:
        encode_key, member_key = jax.random.split(key)
        event, cond = encode(encode_key, datum)
        return event, _numbered(cond, jax.random.randint(member_key, (), 0, n_members))

    return encode_for_member


def draw_member(model: GenerativeModel, n_members: int) -> GenerativeModel:
    """A model trained `with_member`, of conditions without the number: each event's is drawn."""
    _check_members(n_members)

    def sample(key: Key, params: Params, cond: Cond) -> Event:
        member_key, event_key = jax.random.split(key)
        number = jax.random.randint(member_key, (), 0, n_members)
        return model.sample(event_key, params, _numbered(cond, number))

    return model._replace(sample=sample, log_prob=None)


def fix_member(model: GenerativeModel, m: int) -> GenerativeModel:
    """A model trained `with_member`, of conditions without the number: member m, from 0.

    Raises:
        InputError: A negative number.
    """
    _check_number(m)

    def sample(key: Key, params: Params, cond: Cond) -> Event:
        return model.sample(key, params, _numbered(cond, jnp.asarray(m)))

    return model._replace(sample=sample, log_prob=None)


def _push(
    key: Key, params: Params, batch: Batch, respond: Respond, width: float, rate: Array
) -> tuple[Params, Array]:
    """One step down the gradient of (1), and the members' root mean square difference.

    The kernel's slope needs the differences over all devices; as a constant it leaves a loss that
    is a mean over events, whose gradients may be averaged.
    """

    def pressure(params: Params) -> tuple[Array, Array]:
        answers = jax.vmap(respond, (None, 0, None))(key, params, batch)
        first, second = jnp.triu_indices(len(answers), 1)
        squares = (answers[first] - answers[second]) ** 2
        squares = jnp.mean(squares.reshape(len(first), -1), axis=1)
        everywhere = lax.pmean(lax.stop_gradient(squares), AXIS)
        kernel = jnp.exp(-everywhere / (2.0 * width**2))
        return -jnp.mean(kernel * squares) / (2.0 * width**2), jnp.sqrt(jnp.mean(everywhere))

    gradient, difference = jax.grad(pressure, has_aux=True)(params)
    gradient = lax.pmean(gradient, AXIS)
    updates = jax.tree.map(lambda g: -rate * g, gradient)
    return optax.apply_updates(params, updates), difference


def _numbered(cond: Cond, number: Array) -> Cond:
    return jnp.append(cond, number.astype(jnp.float32))


def _check_members(n_members: int) -> None:
    if n_members < 2:
        raise InputError(f"ensemble: expected at least 2 members, found {n_members}; choose 5, say")


def _check_number(m: int) -> None:
    if m < 0:
        raise InputError(f"ensemble: expected a member's number from 0, found {m}; choose 0, say")
