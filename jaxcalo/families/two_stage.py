"""Two stages: first the layer energies, then the shape that has them.

p(event | cond) = p(head | cond) p(voxels | head, cond)

The head of an event (its first components) says the energies of the layers: a few numbers, which a
small network learns well. The shape stage sees them as conditions, one a layer, and need not learn
them. Each stage is a family of its own; both train in one step, each with its own optimizer, and
are sampled in one program.

Sources: Krause and Shih, arXiv:2106.05285 (layer energies first); Favaro et al., arXiv:2405.09629
(both stages by flow matching); Amram and Pedro, CaloDiffusion 2.0.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from jaxcalo.families.base import Encode, GenerativeModel
from jaxcalo.training import Algorithm, Batch, Metrics, TrainState
from jaxcalo.typing import Cond, Event, Events, Key, Params, Scalar

ENERGIES, SHAPES = "energies", "shapes"
_STAGES = (ENERGIES, SHAPES)

# (head (k,), condition) -> numbers of order one, one a layer, as the shape stage sees the head.
LayerCondition = Callable[[Array, Cond], Array]
Evaluate = Callable[[Key, Params, Events], dict[str, Array]]


def split_encode(
    encode: Encode, n_head: int, layer_condition: LayerCondition
) -> tuple[Encode, Encode]:
    """The two stages' parts of an encoding.

    Returns:
        datum -> (head, condition), and datum -> (voxels, [layer conditions, condition]).
    """

    def heads(key: Key, datum: object) -> tuple[Event, Cond]:
        event, cond = encode(key, datum)
        return event[:n_head], cond

    def shapes(key: Key, datum: object) -> tuple[Event, Cond]:
        event, cond = encode(key, datum)
        return event[n_head:], shape_condition(layer_condition, event[:n_head], cond)

    return heads, shapes


def shape_condition(layer_condition: LayerCondition, head: Event, cond: Cond) -> Cond:
    """[layer conditions, condition]: the order that `EventNet` expects."""
    return jnp.concatenate([layer_condition(head, cond), cond])


def two_stage(
    energies: GenerativeModel,
    shapes: GenerativeModel,
    *,
    n_head: int,
    layer_condition: LayerCondition,
) -> GenerativeModel:
    """Join two families, whose encodings are those of `split_encode`.

    Args:
        energies: Of heads.
        shapes: Of voxels, given heads; of any family.
        n_head: Components of the head.
        layer_condition: How the shape stage sees a head.

    Returns:
        The model of whole events; its parameters are {"energies": ..., "shapes": ...}.
    """

    def sample(key: Key, params: Params, cond: Cond) -> Event:
        head_key, shape_key = jax.random.split(key)
        head = energies.sample(head_key, params[ENERGIES], cond)
        given = shape_condition(layer_condition, head, cond)
        return jnp.concatenate([head, shapes.sample(shape_key, params[SHAPES], given)])

    algorithm = _side_by_side(energies.algorithm, shapes.algorithm)
    of_head, of_shape = energies.log_prob, shapes.log_prob
    if of_head is None or of_shape is None:
        return GenerativeModel(algorithm, sample)

    def log_prob(key: Key, params: Params, event: Event, cond: Cond) -> Scalar:
        head_key, shape_key = jax.random.split(key)
        head, voxels = event[:n_head], event[n_head:]
        given = shape_condition(layer_condition, head, cond)
        head_part = of_head(head_key, params[ENERGIES], head, cond)
        return head_part + of_shape(shape_key, params[SHAPES], voxels, given)

    return GenerativeModel(algorithm, sample, log_prob)


def frozen(model: GenerativeModel, params: Params) -> GenerativeModel:
    """The same model, of which training changes nothing: a student's energies are its teacher's."""

    def init(_key: Key, _batch: Batch) -> TrainState:
        own, ema = jax.tree.map(jnp.array, (params, params))
        return TrainState(jnp.zeros((), jnp.int32), own, ema, ())

    def step(_key: Key, state: TrainState, _batch: Batch) -> tuple[TrainState, Metrics]:
        nothing = jnp.zeros(())
        return state._replace(step=state.step + 1), {"loss": nothing, "gradient_norm": nothing}

    return model._replace(algorithm=Algorithm(init, step))


def evaluate_two_stage(
    evaluate_energies: Evaluate, evaluate_shapes: Evaluate, n_head: int, n_components: int
) -> Evaluate:
    """The held-out loss of each stage and of both, and the variational bound of the whole event."""
    share = n_head / n_components

    def evaluate(key: Key, params: Params, data: Events) -> dict[str, Array]:
        head_key, shape_key = jax.random.split(key)
        head = evaluate_energies(head_key, params[ENERGIES], data)
        shape = evaluate_shapes(shape_key, params[SHAPES], data)
        bound, loss = "vlb_nats_per_voxel", "validation_loss"
        return {
            loss: head[loss] + shape[loss],
            f"{loss}_{ENERGIES}": head[loss],
            f"{loss}_{SHAPES}": shape[loss],
            bound: share * head[bound] + (1.0 - share) * shape[bound],
        }

    return evaluate


def _side_by_side(energies: Algorithm, shapes: Algorithm) -> Algorithm:
    """Two algorithms in one step; everything but the count of steps is kept apart by name."""
    algorithms = dict(zip(_STAGES, (energies, shapes), strict=True))

    def join(states: dict[str, TrainState]) -> TrainState:
        columns = zip(*(state[1:] for state in states.values()), strict=True)
        return TrainState(
            states[SHAPES].step, *(dict(zip(_STAGES, column, strict=True)) for column in columns)
        )

    def init(key: Key, batch: Batch) -> TrainState:
        keys = dict(zip(_STAGES, jax.random.split(key), strict=True))
        return join({name: algorithms[name].init(keys[name], batch) for name in _STAGES})

    def step(key: Key, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        keys = dict(zip(_STAGES, jax.random.split(key), strict=True))
        states, metrics = {}, {}
        for name in _STAGES:
            own = TrainState(state.step, *(column[name] for column in state[1:]))
            states[name], metrics[name] = algorithms[name].step(keys[name], own, batch)
        head, shape = metrics[ENERGIES], metrics[SHAPES]
        losses = {f"loss_{name}": metrics[name]["loss"] for name in _STAGES}
        norm = jnp.hypot(head["gradient_norm"], shape["gradient_norm"])
        both = {"loss": head["loss"] + shape["loss"], "gradient_norm": norm}
        return join(states), shape | losses | both

    return Algorithm(init, step)
