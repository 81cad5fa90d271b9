"""Mean flow: few-step showers without a teacher, by the average velocity of straight paths.

Sources: Geng et al. 2025 (arXiv:2505.13447) and (arXiv:2512.02012).
"""

import dataclasses
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jaxcalo.diffusion import RectifiedFlow, prior_std, randn, sample
from jaxcalo.diffusion.mean_flow import AverageVelocityFn, compound_velocity, interval_features
from jaxcalo.diffusion.noise_levels import LogitNormalTime
from jaxcalo.diffusion.samplers import MeanVelocity
from jaxcalo.errors import InputError
from jaxcalo.families.base import Encode, GenerativeModel, Net
from jaxcalo.families.process import (
    Diffusion,
    event_keys,
    event_noise_pairs,
    initialiser,
    noised,
    require_plain,
    spread_levels,
    with_flag,
)
from jaxcalo.families.sampling import Sampling
from jaxcalo.training import Batch, Metrics, minimise
from jaxcalo.typing import Cond, Conds, Event, Events, Key, Params, Scalar

# Keeps the weight of an event that is already fitted finite; a hundredth of a squared width.
_WEIGHT_OFFSET = 1e-2


@dataclasses.dataclass(frozen=True)
class MeanFlow:
    """Learn the average velocity.

    Attributes:
        interval_share: Share of the events that train on a stretch; the others on its limit, the
            velocity at a point.
        times: Distribution of both ends of a stretch.
        weight_power: Each event's loss is divided by (itself + 0.01) to this power, without
            gradient; 0 is the mean square.
    """

    interval_share: float = 0.5
    times: LogitNormalTime = dataclasses.field(default_factory=lambda: LogitNormalTime(-0.4, 1.0))
    weight_power: float = 1.0


def mean_flow(
    net: Net,
    config: Diffusion,
    method: MeanFlow,
    sampling: Sampling,
    optimizer: optax.GradientTransformation,
    *,
    encode: Encode,
    n_components: int,
    ema_decay: float,
) -> GenerativeModel:
    """Make the generative model.

    Args:
        net: The network; its answer is the average velocity.
        config: The process; its schedule must be the straight path.
        method: How it learns.
        sampling: How it samples; `MeanVelocity` with any number of steps.
        optimizer: The optax transformation.
        encode: (key, datum) -> (event, condition).
        n_components: Length n of an event.
        ema_decay: Decay of the parameters' average per step.

    Raises:
        InputError: Another schedule, another sampler, or a learned variance.
    """
    schedule = config.schedule
    require_plain(config, "mean flow")
    if not isinstance(schedule, RectifiedFlow) or not isinstance(sampling.sampler, MeanVelocity):
        raise InputError(
            "mean flow: expected the schedule RectifiedFlow and the sampler MeanVelocity, found "
            f"{type(schedule).__name__} and {type(sampling.sampler).__name__}; choose them."
        )

    average = partial(_average, net, config)

    def init_params(key: Key, batch: Batch) -> Params:
        def with_interval(key: Key, datum: object) -> tuple[Event, Cond]:
            event, cond = encode(key, datum)
            return event, jnp.append(cond, interval_features(jnp.zeros(()), jnp.ones(())))

        return initialiser(net, config, with_interval)(key, batch)

    def loss_fn(key: Key, params: Params, batch: Batch) -> tuple[Scalar, Metrics]:
        level_key, event_key, stretch_key = jax.random.split(key, 3)
        x_0, eps, cond = event_noise_pairs(event_key, config, encode, batch)
        keys = event_keys(stretch_key, batch)
        s, t = jax.vmap(partial(_stretch, method, schedule))(keys, spread_levels(level_key, batch))
        x_t = noised(config, x_0, eps, t)
        frozen = average(jax.lax.stop_gradient(params), cond)
        found = compound_velocity(
            average(params, cond), frozen, x_t, schedule.sigma(s), schedule.sigma(t)
        )
        squares = jnp.mean((found - (eps - x_0)) ** 2, axis=-1)
        weight = (jax.lax.stop_gradient(squares) + _WEIGHT_OFFSET) ** -method.weight_power
        return jnp.mean(weight * squares), {"velocity_error": jnp.mean(squares)}

    def one(params: Params) -> AverageVelocityFn:
        def of_event(x_t: Event, s: Scalar, t: Scalar, cond: Cond) -> Event:
            ends = schedule.sigma(s)[None], schedule.sigma(t)[None]
            return average(params, cond[None])(x_t[None], *ends)[0]

        return of_event

    def sample_event(key: Key, params: Params, cond: Cond) -> Event:
        start_key, chain_key = jax.random.split(key)
        x_T = prior_std(schedule) * randn(start_key, (n_components,))
        sampler = MeanVelocity()(schedule, one(params))
        times = sampling.grid(schedule, sampling.n_steps)
        return sample(chain_key, sampler, x_T, times, with_flag(config, cond))

    return GenerativeModel(minimise(init_params, loss_fn, optimizer, ema_decay), sample_event)


def _average(
    net: Net, config: Diffusion, params: Params, cond: Conds
) -> Callable[[Events, Array, Array], Events]:
    """(x_t, tau_s, tau_t) -> u of a batch."""

    def of_batch(x_t: Events, tau_s: Array, tau_t: Array) -> Events:
        c = config.parametrization.coefficients(1 - tau_t, tau_t)
        given = jnp.append(cond, jax.vmap(interval_features)(tau_s, tau_t), axis=1)
        return net.apply(params, c.c_in[:, None] * x_t, c.c_noise, given)

    return of_batch


def _stretch(
    method: MeanFlow, schedule: RectifiedFlow, key: Key, u: Scalar
) -> tuple[Scalar, Scalar]:
    """The two ends s <= t of what an event trains on, equal for a point."""
    time_key, which_key = jax.random.split(key)
    first = method.times(u, schedule)
    second = method.times(jax.random.uniform(time_key), schedule)
    is_point = jax.random.uniform(which_key) >= method.interval_share
    t = jnp.where(is_point, first, jnp.maximum(first, second))
    return jnp.where(is_point, t, jnp.minimum(first, second)), t
