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
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxcalo.families.base import Encode, GenerativeModel, NoiseMap
from jaxcalo.training import Algorithm, Batch, Metrics, TrainState
from jaxcalo.typing import Cond, Event, Key, Params, Scalar

ENERGIES, SHAPES = "energies", "shapes"

# (head (k,), condition) -> numbers of order one, one a layer, as the shape stage sees the head.
LayerCondition = Callable[[Array, Cond], Array]
# (key, averaged parameters, held-out data with a leading axis) -> numbers.
Evaluate = Callable[[Key, Params, Any], dict[str, Array]]


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

    algorithm = side_by_side({ENERGIES: energies.algorithm, SHAPES: shapes.algorithm})
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


def two_stage_noise(
    energies: NoiseMap | None, shapes: NoiseMap | None, layer_condition: LayerCondition
) -> NoiseMap | None:
    """`two_stage` as a function of its noise, the energies' first; None if a stage has none."""
    if energies is None or shapes is None:
        return None

    def event(noise: Array, params: Params, cond: Cond) -> Event:
        head = energies.event(noise[: energies.n_noise], params[ENERGIES], cond)
        given = shape_condition(layer_condition, head, cond)
        voxels = shapes.event(noise[energies.n_noise :], params[SHAPES], given)
        return jnp.concatenate([head, voxels])

    return NoiseMap(energies.n_noise + shapes.n_noise, event)


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

    def evaluate(key: Key, params: Params, data: Any) -> dict[str, Array]:
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


def side_by_side(algorithms: dict[str, Algorithm]) -> Algorithm:
    """Several algorithms in one step, each on its own parameters.

    Args:
        algorithms: By name. The parameters, averages, optimizers and targets are dictionaries of
            these names; the metrics are the last one's, with the sum of all losses as the loss and
            each part as loss_NAME.
    """
    *_, last = algorithms

    def join(states: dict[str, TrainState]) -> TrainState:
        columns = zip(*(state[1:] for state in states.values()), strict=True)
        return TrainState(
            states[last].step, *(dict(zip(algorithms, column, strict=True)) for column in columns)
        )

    def init(key: Key, batch: Batch) -> TrainState:
        keys = dict(zip(algorithms, jax.random.split(key, len(algorithms)), strict=True))
        return join({name: own.init(keys[name], batch) for name, own in algorithms.items()})

    def step(key: Key, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        keys = dict(zip(algorithms, jax.random.split(key, len(algorithms)), strict=True))
        states, metrics = {}, {}
        for name, algorithm in algorithms.items():
            own = TrainState(state.step, *(column[name] for column in state[1:]))
            states[name], metrics[name] = algorithm.step(keys[name], own, batch)
        losses = {f"loss_{name}": metrics[name]["loss"] for name in algorithms}
        norms = jnp.stack([metrics[name]["gradient_norm"] for name in algorithms])
        both = {"loss": sum(losses.values()), "gradient_norm": jnp.linalg.norm(norms)}
        return join(states), metrics[last] | losses | both

    return Algorithm(init, step)
