"""What a family brings to the training loop: two pure functions.

`step` is a per-device function: it sees this device's part of the batch and names the devices' axis
`AXIS`. The loss is local; gradients and metrics are averaged over the devices explicitly, outside
it. A pmean inside the loss would give wrong gradients without a word.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax

from jaxcalo.training.sharding import AXIS
from jaxcalo.typing import Key, Params, Scalar


class Ratio(NamedTuple):
    """A metric averaged as sum over count: bins may be empty in one batch, or on one device."""

    total: Array
    count: Array

    def ratio(self) -> np.ndarray:
        """Total over count, NaN where nothing was counted."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.total) / np.asarray(self.count)


Metrics = dict[str, Array | Ratio]


class Batch(NamedTuple):
    """Events with their place in the global batch, from which their randomness comes.

    Attributes:
        index: Place of each event in the global batch, shape (b,), so that a device's events
            draw the same noise however many devices share the batch.
        data: A pytree of arrays with leading axis b.
    """

    index: Array | np.ndarray
    data: Any


class TrainState(NamedTuple):
    """Everything that a step changes.

    Attributes:
        step: Batches done, int32.
        params: What is trained.
        ema: Its moving average, which is what samples.
        optimizer: The state of the optax transformation.
        target: Other parameters that the loss sees: a teacher, a slower copy; () if there are none.
    """

    step: Array
    params: Params
    ema: Params
    optimizer: Any
    target: Params = ()


class Algorithm(NamedTuple):
    """Pure functions: init(key, batch) -> state; step(key, state, batch) -> (state, metrics)."""

    init: Callable[[Key, Batch], TrainState]
    step: Callable[[Key, TrainState, Batch], tuple[TrainState, Metrics]]


LossFn = Callable[[Key, Params, Batch], tuple[Scalar, Metrics]]
TargetLossFn = Callable[[Key, Params, Batch, TrainState], tuple[Scalar, Metrics]]


class Target(NamedTuple):
    """Parameters that the loss sees beside those it trains.

    Attributes:
        init: (initial parameters) -> target.
        update: (state after a step, with the target before it) -> target.
    """

    init: Callable[[Params], Params]
    update: Callable[[TrainState], Params]


def minimise(
    init_params: Callable[[Key, Batch], Params],
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    ema_decay: float,
) -> Algorithm:
    """Gradient descent on one loss, with an exponential moving average of the parameters.

    ema <- d ema + (1 - d) params,    d = min(ema_decay, (1 + step) / (10 + step))

    The growing d forgets the random initial parameters (as in TensorFlow's
    ExponentialMovingAverage).

    Args:
        init_params: (key, batch) -> parameters.
        loss_fn: (key, params, batch) -> (mean loss over this device's events, metrics to average).
        optimizer: Any optax transformation.
        ema_decay: The average's final decay per step, in [0, 1).
    """
    nothing = Target(lambda _params: (), lambda _state: ())
    return minimise_towards(
        nothing,
        init_params,
        lambda key, params, batch, _state: loss_fn(key, params, batch),
        optimizer,
        ema_decay,
    )


def minimise_towards(
    target: Target,
    init_params: Callable[[Key, Batch], Params],
    loss_fn: TargetLossFn,
    optimizer: optax.GradientTransformation,
    ema_decay: float,
) -> Algorithm:
    """`minimise` for a loss that also sees the state: its step, its average and its target.

    The gradient is that of the second argument alone.

    Args:
        target: The parameters beside those that are trained.
        init_params: As in `minimise`.
        loss_fn: (key, params, batch, state before the step) -> (loss, metrics).
        optimizer: As in `minimise`.
        ema_decay: As in `minimise`.
    """

    def init(key: Key, batch: Batch) -> TrainState:
        params = init_params(key, batch)
        ema, other = jax.tree.map(jnp.copy, (params, target.init(params)))
        return TrainState(jnp.zeros((), jnp.int32), params, ema, optimizer.init(params), other)

    def step(key: Key, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        step_key = jax.random.fold_in(key, state.step)
        value_and_grad = jax.value_and_grad(loss_fn, argnums=1, has_aux=True)
        (loss, metrics), grads = value_and_grad(step_key, state.params, batch, state)
        loss, metrics, grads = lax.pmean((loss, metrics, grads), AXIS)
        updates, optimizer_state = optimizer.update(grads, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        decay = jnp.minimum(ema_decay, (1.0 + state.step) / (10.0 + state.step))
        ema = jax.tree.map(lambda e, p: decay * e + (1.0 - decay) * p, state.ema, params)
        metrics = metrics | {"loss": loss, "gradient_norm": optax.tree.norm(grads)}
        after = TrainState(state.step + 1, params, ema, optimizer_state, state.target)
        return after._replace(target=target.update(after)), metrics

    return Algorithm(init, step)
