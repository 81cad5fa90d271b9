"""Two players in one step: a critic learns to tell generated from real, a generator to pass.

    critic      minimises  L_c(D(x), D(G(z))) + penalty(D)
    generator   minimises  L_g(D(G(z))) + what the game wants further

The data may be vectors, images or padded clouds: only the four functions of `Game` know. Spectral
normalisation is not offered: it needs a state in every layer, and the penalties bound the critic's
slope as well.

Sources: Goodfellow et al. 2014 (arXiv:1406.2661); Mao et al. 2017 (arXiv:1611.04076), least
squares; Arjovsky et al. 2017 (arXiv:1701.07875) and Gulrajani et al. 2017 (arXiv:1704.00028),
Wasserstein; Mescheder et al. 2018 (arXiv:1801.04406), R1; Karras et al. 2020 (arXiv:1912.04958),
section 3.1, a penalty only every few steps.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax

from jaxcalo.errors import InputError
from jaxcalo.training.algorithm import Algorithm, Batch, Metrics, Ratio, TrainState
from jaxcalo.training.sharding import AXIS
from jaxcalo.typing import Key, Params, Scalar

# The two-sided penalty's norm has no gradient at 0, where a critic of zeros starts: its square is
# kept this far away.
_SMALLEST_SQUARE = 1e-12


class Game(NamedTuple):
    """What the players are, for this device's part of a batch.

    Attributes:
        init: (key, batch) -> {"generator": parameters, "critic": parameters}.
        encode: (key, batch) -> (real, context): the preprocessed events, an array (b, ...), and
            what both players see beside them (conditions, masks), any pytree.
        generate: (key, generator's parameters, index (b,), context) -> events like `real`. Event i
            draws from fold_in(key, index_i) alone, so that a step does not depend on the devices.
        criticise: (critic's parameters, events like `real`, context) -> (b,), large for real. Each
            number depends on its own event alone (no batch normalisation): the penalties take the
            gradient of their sum.
        further: (real, generated, context) -> what the generator minimises beside its loss, and
            metrics; None for nothing.
    """

    init: Callable[[Key, Batch], Params]
    encode: Callable[[Key, Batch], tuple[Array, Any]]
    generate: Callable[[Key, Params, Array, Any], Array]
    criticise: Callable[[Params, Array, Any], Array]
    further: Callable[[Array, Array, Any], tuple[Scalar, Metrics]] | None = None


@dataclasses.dataclass(frozen=True)
class LeastSquares:
    """L_c = 1/2 [(D(x) - 1)^2 + D(G)^2],  L_g = 1/2 (D(G) - 1)^2.

    Source: Mao et al. 2017 (arXiv:1611.04076), eq. 9.
    """

    def critic(self, real: Array, generated: Array) -> Array:
        """The critic's loss of its outputs (b,), one for each event."""
        return 0.5 * ((real - 1.0) ** 2 + generated**2)

    def generator(self, generated: Array) -> Array:
        """The generator's, of the critic's outputs (b,)."""
        return 0.5 * (generated - 1.0) ** 2


@dataclasses.dataclass(frozen=True)
class NonSaturating:
    """L_c = softplus(-D(x)) + softplus(D(G)),  L_g = softplus(-D(G)); D is a logit.

    Source: Goodfellow et al. 2014 (arXiv:1406.2661), section 3.
    """

    def critic(self, real: Array, generated: Array) -> Array:
        """The critic's loss of its outputs (b,), one for each event."""
        return jax.nn.softplus(-real) + jax.nn.softplus(generated)

    def generator(self, generated: Array) -> Array:
        """The generator's, of the critic's outputs (b,)."""
        return jax.nn.softplus(-generated)


@dataclasses.dataclass(frozen=True)
class Wasserstein:
    """L_c = D(G) - D(x),  L_g = -D(G); needs a penalty, best `TwoSided`, and n_critic of some.

    Source: Arjovsky et al. 2017 (arXiv:1701.07875), algorithm 1.
    """

    def critic(self, real: Array, generated: Array) -> Array:
        """The critic's loss of its outputs (b,), one for each event."""
        return generated - real

    def generator(self, generated: Array) -> Array:
        """The generator's, of the critic's outputs (b,)."""
        return -generated


@dataclasses.dataclass(frozen=True)
class R1:
    """weight / 2 |grad_x D(x)|^2 on real events: no slope where the data are.

    Attributes:
        weight: Its weight in the critic's loss.
        every: Critic updates between two that have it, which then count it so many times.

    Raises:
        InputError: A negative weight, or every below 1.

    Source: Mescheder et al. 2018 (arXiv:1801.04406), eq. 9.
    """

    weight: float = 1.0
    every: int = 1

    def __post_init__(self) -> None:
        _check_penalty("R1", self.weight, self.every)

    def __call__(
        self,
        _key: Key,
        _index: Array,
        score: Callable[[Array], Array],
        real: Array,
        _generated: Array,
    ) -> Scalar:
        """The mean over the events of 1/2 |grad|^2; `score` is the critic, (b, ...) -> (b,)."""
        return 0.5 * jnp.mean(_squared_slopes(score, real))


@dataclasses.dataclass(frozen=True)
class TwoSided:
    """weight (|grad D| - 1)^2 at random places between real and generated events.

    Attributes:
        weight: Its weight in the critic's loss.
        every: Critic updates between two that have it, which then count it so many times.

    Raises:
        InputError: A negative weight, or every below 1.

    Source: Gulrajani et al. 2017 (arXiv:1704.00028), eq. 3.
    """

    weight: float = 10.0
    every: int = 1

    def __post_init__(self) -> None:
        _check_penalty("TwoSided", self.weight, self.every)

    def __call__(
        self,
        key: Key,
        index: Array,
        score: Callable[[Array], Array],
        real: Array,
        generated: Array,
    ) -> Scalar:
        """The mean over the events of (|grad| - 1)^2; `score` is the critic, (b, ...) -> (b,)."""
        share = jax.vmap(lambda i: jax.random.uniform(jax.random.fold_in(key, i)))(index)
        share = share.reshape(-1, *(1,) * (real.ndim - 1))
        squares = _squared_slopes(score, share * real + (1.0 - share) * generated)
        return jnp.mean((jnp.sqrt(squares + _SMALLEST_SQUARE) - 1.0) ** 2)


@dataclasses.dataclass(frozen=True)
class Adversarial:
    """How the two players learn.

    Attributes:
        loss: What each minimises.
        penalty: On the critic's slope; None for none.
        n_critic: Updates of the critic before each of the generator, on the same real events.

    Raises:
        InputError: n_critic is below 1.
    """

    loss: LeastSquares | NonSaturating | Wasserstein = dataclasses.field(
        default_factory=LeastSquares
    )
    penalty: R1 | TwoSided | None = dataclasses.field(default_factory=R1)
    n_critic: int = 1

    def __post_init__(self) -> None:
        if self.n_critic < 1:
            raise InputError(f"n_critic: expected at least 1, found {self.n_critic}; choose 1")


def adversarial(
    game: Game,
    config: Adversarial,
    optimizer_generator: optax.GradientTransformation,
    optimizer_critic: optax.GradientTransformation,
    ema_decay: float,
) -> Algorithm:
    """Updates of the critic, then one of the generator, in each step.

    ema <- d ema + (1 - d) params,    d = min(ema_decay, (1 + step) / (10 + step))

    of both players, once a step: params, ema and optimizer are {"generator": ..., "critic": ...}.
    The generator's average samples; the critic's judges it on held-out events.

    The metrics: `loss` (the generator's, all of it), `critic_loss` (with the penalty),
    `gradient_norm` and `critic_gradient_norm`, `critic_real` and `critic_generated` (the critic's
    mean outputs), `gradient_penalty` (without its weight), and those of the game's `further`. Those
    of the critic are means over its updates.

    Args:
        game: The players.
        config: Their losses.
        optimizer_generator: The generator's optax transformation.
        optimizer_critic: The critic's, which makes n_critic updates a step.
        ema_decay: The averages' final decay per step, in [0, 1).
    """
    optimizers = {"generator": optimizer_generator, "critic": optimizer_critic}
    critic_loss, generator_loss = _critic_loss(game, config), _generator_loss(game, config)

    def init(key: Key, batch: Batch) -> TrainState:
        params = game.init(key, batch)
        ema = jax.tree.map(jnp.copy, params)
        states = {name: o.init(params[name]) for name, o in optimizers.items()}
        return TrainState(jnp.zeros((), jnp.int32), params, ema, states)

    def update(
        state: TrainState, name: str, loss_fn: Callable[[Params], tuple[Scalar, Metrics]]
    ) -> tuple[TrainState, Scalar, Scalar, Metrics]:
        """One player's step: (state, loss, norm of the gradient, metrics)."""
        (loss, metrics), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.params[name])
        loss, metrics, grads = lax.pmean((loss, metrics, grads), AXIS)
        updates, own = optimizers[name].update(grads, state.optimizer[name], state.params[name])
        params = state.params | {name: optax.apply_updates(state.params[name], updates)}
        state = state._replace(params=params, optimizer=state.optimizer | {name: own})
        return state, loss, optax.tree.norm(grads), metrics

    def step(key: Key, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        step_key = jax.random.fold_in(key, state.step)
        encode_key, generator_key, *critic_keys = jax.random.split(step_key, 2 + config.n_critic)
        real, context = game.encode(encode_key, batch)
        index, of_updates = jnp.asarray(batch.index), []
        for i, critic_key in enumerate(critic_keys):
            noise_key, penalty_key = jax.random.split(critic_key)
            generated = game.generate(noise_key, state.params["generator"], index, context)
            n_before = config.n_critic * state.step + i
            play = critic_loss(penalty_key, n_before, index, real, generated, context)
            state, loss, norm, metrics = update(state, "critic", play)
            of_updates.append(metrics | {"critic_loss": loss, "critic_gradient_norm": norm})
        play = generator_loss(generator_key, state.params["critic"], index, real, context)
        state, loss, norm, further = update(state, "generator", play)
        decay = jnp.minimum(ema_decay, (1.0 + state.step) / (10.0 + state.step))
        ema = jax.tree.map(lambda e, p: decay * e + (1.0 - decay) * p, state.ema, state.params)
        metrics = jax.tree.map(lambda *values: sum(values) / len(values), *of_updates)
        metrics = metrics | further | {"loss": loss, "gradient_norm": norm}
        return state._replace(step=state.step + 1, ema=ema), metrics

    return Algorithm(init, step)


def _critic_loss(
    game: Game, config: Adversarial
) -> Callable[..., Callable[[Params], tuple[Scalar, Metrics]]]:
    def of_events(
        key: Key, n_before: Array, index: Array, real: Array, generated: Array, context: Any
    ) -> Callable[[Params], tuple[Scalar, Metrics]]:
        def loss_fn(params: Params) -> tuple[Scalar, Metrics]:
            def score(events: Array) -> Array:
                return game.criticise(params, events, context)

            of_real, of_generated = score(real), score(generated)
            loss = jnp.mean(config.loss.critic(of_real, of_generated))
            metrics: Metrics = {
                "critic_real": jnp.mean(of_real),
                "critic_generated": jnp.mean(of_generated),
            }
            penalty = config.penalty
            if penalty is None:
                return loss, metrics
            due = n_before % penalty.every == 0
            size = lax.cond(
                due,
                lambda: penalty(key, index, score, real, generated),
                lambda: jnp.zeros((), loss.dtype),
            )
            metrics["gradient_penalty"] = Ratio(size, due.astype(loss.dtype))
            return loss + penalty.weight * penalty.every * size, metrics

        return loss_fn

    return of_events


def _generator_loss(
    game: Game, config: Adversarial
) -> Callable[..., Callable[[Params], tuple[Scalar, Metrics]]]:
    def of_events(
        key: Key, critic: Params, index: Array, real: Array, context: Any
    ) -> Callable[[Params], tuple[Scalar, Metrics]]:
        def loss_fn(params: Params) -> tuple[Scalar, Metrics]:
            generated = game.generate(key, params, index, context)
            loss = jnp.mean(config.loss.generator(game.criticise(critic, generated, context)))
            if game.further is None:
                return loss, {}
            further, metrics = game.further(real, generated, context)
            return loss + further, metrics

        return loss_fn

    return of_events


def _squared_slopes(score: Callable[[Array], Array], events: Array) -> Array:
    """|grad_x D|^2 of each event, (b,)."""
    slopes = jax.grad(lambda x: jnp.sum(score(x)))(events)
    return jnp.sum(slopes**2, axis=tuple(range(1, events.ndim)))


def _check_penalty(name: str, weight: float, every: int) -> None:
    if not (weight >= 0.0 and every >= 1):
        raise InputError(
            f"{name}: expected a weight of at least 0 and every of at least 1, "
            f"found {weight} and {every}; use penalty None for none"
        )
