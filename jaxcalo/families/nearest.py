"""Nearest neighbour: the training event whose condition is closest.

The baseline that every model has to beat. Its events are exact, and there are no others: outputs
are discrete, and what an event's condition determines is that of the neighbour's.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxcalo.errors import InputError
from jaxcalo.families.base import Encode, GenerativeModel
from jaxcalo.families.process import event_keys
from jaxcalo.training import Algorithm, Batch, Metrics, TrainState
from jaxcalo.typing import Cond, Event, Key, Params

_ROUNDING = 1e-6  # a width below this fraction of the values is rounding of 32-bit numbers


@dataclasses.dataclass(frozen=True)
class NearestNeighbour:
    """Which events may be returned.

    Attributes:
        n_neighbours: One of so many nearest is drawn, all equally likely; equally distant events
            share the last places.

    Raises:
        InputError: No neighbour.
    """

    n_neighbours: int = 1

    def __post_init__(self) -> None:
        if self.n_neighbours < 1:
            raise InputError(
                f"n_neighbours: expected at least 1, found {self.n_neighbours}; choose 1"
            )


def nearest(config: NearestNeighbour, *, encode: Encode) -> GenerativeModel:
    """Make the generative model.

    The parameters are {"event" (m, n), "cond" (m, c), "weight" (c,)}: the batch that it is
    initialised with, which should be the whole data set, and one over the standard deviation of
    each condition, 0 for one that is the same for all. A step learns nothing. Without conditions
    all events are equally near.

    Args:
        config: Which events may be returned.
        encode: (key, datum) -> (event, condition).

    Raises:
        InputError: On initialisation, fewer events than neighbours.
    """

    def init(key: Key, batch: Batch) -> TrainState:
        if len(batch.index) < config.n_neighbours:
            raise InputError(
                f"n_neighbours: expected at most the {len(batch.index)} events of the batch, found "
                f"{config.n_neighbours}; make the batch the whole data set"
            )
        event, cond = jax.vmap(encode)(event_keys(key, batch), batch.data)
        width = jnp.std(cond, axis=0)
        # A condition that is the same for all tells nothing; what is left of it is rounding.
        tells = width > _ROUNDING * jnp.max(jnp.abs(cond), axis=0)
        weight = jnp.where(tells, 1.0 / jnp.where(tells, width, 1.0), 0.0)
        params = {"event": event, "cond": cond, "weight": weight}
        return TrainState(jnp.zeros((), jnp.int32), params, jax.tree.map(jnp.copy, params), ())

    def step(_key: Key, state: TrainState, _batch: Batch) -> tuple[TrainState, Metrics]:
        return state._replace(step=state.step + 1), {"loss": jnp.zeros(())}

    def sample(key: Key, params: Params, cond: Cond) -> Event:
        return params["event"][_draw(key, _distance(params, cond), config.n_neighbours)]

    return GenerativeModel(Algorithm(init, step), sample)


def evaluate_nearest(encode: Encode) -> Callable[[Key, Params, Any], dict[str, Array]]:
    """How far the neighbours of held-out events are.

    Returns:
        (key, params, data with leading axis) -> {"condition_distance"}: the mean distance of a
        condition to the nearest of the training events, in standard deviations.
    """

    @jax.jit
    def evaluate(key: Key, params: Params, data: Any) -> dict[str, Array]:
        keys = jax.random.split(key, jax.tree.leaves(data)[0].shape[0])
        _, conds = jax.vmap(encode)(keys, data)
        smallest = lax.map(lambda cond: jnp.min(_distance(params, cond)), conds)
        return {"condition_distance": jnp.mean(jnp.sqrt(smallest))}

    return evaluate


def _distance(params: Params, cond: Cond) -> Array:
    """Squared distances to all training events, (m,), in standard deviations.

    From the differences themselves: equal conditions are at distance 0, equal pairs equally far.
    """
    return jnp.sum(((params["cond"] - cond) * params["weight"]) ** 2, axis=1)


def _draw(key: Key, distance: Array, n_neighbours: int) -> Array:
    """Index of one of the nearest; those at the largest distance share what is left of k places."""
    last = -lax.top_k(-distance, n_neighbours)[0][-1]
    closer, equal = distance < last, distance == last
    share = (n_neighbours - jnp.sum(closer)) / jnp.sum(equal)
    total = jnp.cumsum(jnp.where(closer, 1.0, jnp.where(equal, share, 0.0)))
    # Below the last total also after rounding: an event without a share must not be found.
    drawn = jnp.minimum(jax.random.uniform(key) * total[-1], jnp.nextafter(total[-1], 0.0))
    return jnp.argmax(total > drawn)
