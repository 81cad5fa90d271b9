"""Normalizing flows as a family: maximum likelihood, exact.

loss = -log p(event | cond) + physics terms of events drawn at the same conditions
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jaxcalo.diffusion import randn
from jaxcalo.families.base import Encode, GenerativeModel
from jaxcalo.families.physics import PhysicsTerm, physics_loss
from jaxcalo.families.process import event_keys
from jaxcalo.training import Batch, Metrics, minimise
from jaxcalo.typing import Cond, Conds, Event, Events, Key, Params, Scalar

_LOG_TWO_PI = 1.8378770664093453
_DRAWS = 1  # folded into a step's key for the noise of the physics terms


class Flow(Protocol):
    """An invertible network between data and N(0, 1), batch first: a Linen module with two methods.

    to_noise(x (b, n), cond (b, c)) -> z (b, n) and log |det dz/dx| (b,); from_noise(z, cond) is its
    inverse and returns x alone. Initialised through to_noise.
    """

    def init(self, key: Key, x: Events, cond: Conds, /) -> Params:
        """Random parameters."""
        ...

    def apply(self, params: Params, x: Events, cond: Conds, /, *, method: str) -> Any:
        """Evaluate the method."""
        ...


def flow(
    net: Flow,
    optimizer: optax.GradientTransformation,
    *,
    encode: Encode,
    n_components: int,
    ema_decay: float,
    terms: Sequence[PhysicsTerm] = (),
) -> GenerativeModel:
    """Make the generative model.

    It minimises -log p(event | condition), in nats. A new model is N(0, 1) whatever the condition.

    Args:
        net: The flow, of n_components numbers: couplings or autoregressive.
        optimizer: The optax transformation.
        encode: (key, datum) -> (event, condition).
        n_components: Length n of an event.
        ema_decay: Decay of the parameters' average per step.
        terms: Losses from physics, of one drawn event for each of the batch: the flow is evaluated
            in both directions then, which for an autoregressive one takes n_components times as
            long.
    """

    def init_params(key: Key, batch: Batch) -> Params:
        event, cond = jax.eval_shape(encode, key, jax.tree.map(lambda x: x[0], batch.data))
        return net.init(key, jnp.zeros((1, *event.shape)), jnp.zeros((1, *cond.shape)))

    def loss_fn(key: Key, params: Params, batch: Batch) -> tuple[Scalar, Metrics]:
        events, conds = jax.vmap(encode)(event_keys(key, batch), batch.data)
        loss = -jnp.mean(_log_density(net, params, events, conds))
        if not terms:
            return loss, {}
        keys = event_keys(jax.random.fold_in(key, _DRAWS), batch)
        noise = jax.vmap(lambda key: randn(key, (n_components,)))(keys)
        drawn = net.apply(params, noise, conds, method="from_noise")
        physics, metrics = physics_loss(terms, events, drawn, conds)
        return loss + physics, metrics | {"loss_likelihood": loss}

    def sample_event(key: Key, params: Params, cond: Cond) -> Event:
        z = randn(key, (1, n_components))
        return net.apply(params, z, cond[None], method="from_noise")[0]

    def log_prob(_key: Key, params: Params, event: Event, cond: Cond) -> Scalar:
        return _log_density(net, params, event[None], cond[None])[0]

    algorithm = minimise(init_params, loss_fn, optimizer, ema_decay)
    return GenerativeModel(algorithm, sample_event, log_prob)


def evaluate_flow(net: Flow, encode: Encode) -> Callable[[Key, Params, Any], dict[str, Array]]:
    """The held-out loss.

    Returns:
        (key, params, data with leading axis) -> {"validation_loss"}: the mean of
        -log p(event | condition) of the standardised event, in nats.
    """

    @jax.jit
    def evaluate(key: Key, params: Params, data: Any) -> dict[str, Array]:
        n = jax.tree.leaves(data)[0].shape[0]
        events, conds = jax.vmap(encode)(jax.random.split(key, n), data)
        return {"validation_loss": -jnp.mean(_log_density(net, params, events, conds))}

    return evaluate


def _log_density(net: Flow, params: Params, events: Events, conds: Conds) -> Array:
    """Log p(event | condition) in nats, (b,)."""
    z, log_det = net.apply(params, events, conds, method="to_noise")
    return jnp.asarray(log_det) - 0.5 * jnp.sum(z**2 + _LOG_TWO_PI, axis=-1)
