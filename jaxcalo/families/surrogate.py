"""A surrogate regressor: a quantity without gradient, or too slow, as a term of a loss.

A network learns the quantity from real events beforehand. It need not be good: the term compares
its answers to generated events with its own answers to real ones, not with the quantity, and so
what it has wrong cancels: equal distributions of events have equal distributions of answers.

Source: the idea of prioritised training with a weak regressor, in which the error of the regressor
is common to both samples.
"""

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax

from jaxcalo.errors import InputError
from jaxcalo.families.physics import Features
from jaxcalo.families.vector_net import VectorNet
from jaxcalo.typing import Cond, Conds, Event, Events, Key, Params

_BATCH = 256
_LEARNING_RATE = 3e-3  # chosen: at the start, falling to 0 by a cosine


def train_surrogate(
    key: Key, net: VectorNet, events: Events, conds: Conds, quantities: Array, *, n_steps: int
) -> Params:
    """Train a regressor by least squares with Adam, on one device.

    Args:
        key: One typed key.
        net: (b, n) events and (b, c) conditions to (b, k) answers.
        events: Real standardised events, (m, n).
        conds: Their conditions, (m, c).
        quantities: What to learn, (m, k), in any unit; it is standardised first.
        n_steps: Batches of 256.

    Returns:
        Parameters; the answers are standardised quantities.

    Raises:
        InputError: Quantities that are not finite, or of other events.
    """
    quantities = jnp.asarray(quantities)
    if quantities.ndim != 2 or len(quantities) != len(events):
        raise InputError(
            f"surrogate: expected quantities ({len(events)}, k) of {len(events)} events, found "
            f"shape {quantities.shape}; give one row an event"
        )
    if not bool(jnp.isfinite(quantities).all()):
        raise InputError(
            "surrogate: expected finite quantities, found some that are not; "
            "leave out the events that have none"
        )
    spread = jnp.std(quantities, axis=0)
    targets = (quantities - jnp.mean(quantities, axis=0)) / jnp.where(spread > 0.0, spread, 1.0)
    optimizer = optax.adam(optax.cosine_decay_schedule(_LEARNING_RATE, n_steps))

    data = (jnp.asarray(events), jnp.asarray(conds), targets)

    def loss(params: Params, events: Events, conds: Conds, targets: Array) -> Array:
        return jnp.mean((net.apply(params, events, conds) - targets) ** 2)

    @jax.jit
    def train(key: Key, data: tuple[Events, Conds, Array]) -> Params:
        def step(state: tuple[Params, optax.OptState], key: Key) -> tuple[tuple, None]:
            params, moments = state
            rows = jax.random.randint(key, (min(_BATCH, len(targets)),), 0, len(targets))
            gradient = jax.grad(loss)(params, *(array[rows] for array in data))
            updates, moments = optimizer.update(gradient, moments, params)
            return (optax.apply_updates(params, updates), moments), None

        init_key, step_key = jax.random.split(key)
        params = net.init(init_key, data[0][:1], data[1][:1])
        keys = jax.random.split(step_key, n_steps)
        return lax.scan(step, (params, optimizer.init(params)), keys)[0][0]

    return train(key, data)


def surrogate_features(net: VectorNet, params: Params) -> Features:
    """The answers of a trained regressor as quantities of a `PhysicsTerm`.

    Args:
        net: As in `train_surrogate`.
        params: Trained; constants from now on.
    """

    def features(event: Event, cond: Cond) -> Array:
        return net.apply(params, event[None], cond[None])[0]

    return features
