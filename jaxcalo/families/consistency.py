"""Consistency models: showers in one evaluation, distilled from a teacher or trained alone.

Sources: Song et al. 2023 (arXiv:2303.01469); CaloClouds II, arXiv:2309.05704, section 3.4
(distillation); Song and Dhariwal 2024 (arXiv:2310.14189) and Geng et al. 2024 (arXiv:2406.14548)
(training).
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jaxcalo.diffusion import Heun, guided
from jaxcalo.diffusion.consistency import (
    Neighbours,
    check_boundary,
    close_neighbours,
    consistency_distance,
    grid_path,
    n_intervals_at,
)
from jaxcalo.diffusion.noise_levels import LogNormalSigma
from jaxcalo.diffusion.time_grids import Times
from jaxcalo.errors import InputError
from jaxcalo.families.base import Encode, GenerativeModel, Net
from jaxcalo.families.cloud_mask import Mask, masked_net, mean_scale
from jaxcalo.families.process import (
    Diffusion,
    check_maskable,
    denoise,
    event_noise_pairs,
    noised,
    plain_denoiser,
    require_plain,
    spread_levels,
    starting_from,
)
from jaxcalo.families.sampling import Sampling, check_student_guidance, draw
from jaxcalo.training import Batch, Metrics, Target, TrainState, minimise_towards
from jaxcalo.typing import Cond, Conds, Event, Events, Key, Params, Scalar


@dataclasses.dataclass(frozen=True)
class ConsistencyDistillation:
    """Learn the paths of a trained teacher.

    Attributes:
        n_intervals: Intervals of the Karras grid. What the student answers at the noisy end it has
            to learn through all of them, one after the other.
        teacher_steps: Heun steps of the teacher over one interval: its path stays exact where the
            intervals are few.
        target_decay: Decay per step of the slower copy whose answer at the earlier point is the
            target; 0 takes the student itself.
        huber: Width of the pseudo-Huber distance; 0 is the mean square.

    Raises:
        InputError: No interval or step, or a decay outside [0, 1).
    """

    n_intervals: int = 18
    teacher_steps: int = 1
    target_decay: float = 0.0
    huber: float = 0.0

    def __post_init__(self) -> None:
        steps = min(self.n_intervals, self.teacher_steps)
        if not (steps >= 1 and 0.0 <= self.target_decay < 1.0):
            raise InputError(
                "consistency distillation: expected n_intervals and teacher_steps of 1 or more and "
                f"target_decay from 0 to below 1, found {self.n_intervals}, {self.teacher_steps} "
                f"and {self.target_decay}; choose 18, 1 and 0, say."
            )


@dataclasses.dataclass(frozen=True)
class ConsistencyTraining:
    """Learn without a teacher, from the same noise on the same event at two times.

    Attributes:
        first_intervals: Intervals at the start; the earlier point is one interval away.
        last_intervals: Intervals at the end, grown geometrically.
        huber: Width of the pseudo-Huber distance; 0 is the mean square.
        noise_levels: Distribution of the later point's noise level.
    """

    first_intervals: int = 10
    last_intervals: int = 160
    huber: float = 0.03
    noise_levels: LogNormalSigma = dataclasses.field(
        default_factory=lambda: LogNormalSigma(-1.1, 2.0)
    )


def consistency(
    net: Net,
    config: Diffusion,
    method: ConsistencyDistillation | ConsistencyTraining,
    sampling: Sampling,
    optimizer: optax.GradientTransformation,
    *,
    encode: Encode,
    n_components: int,
    ema_decay: float,
    n_steps: int,
    teacher: Params | None = None,
    teacher_guidance: float = 1.0,
    mask: Mask | None = None,
) -> GenerativeModel:
    """Make the generative model.

    Args:
        net: The network, the teacher's too.
        config: The process; of the teacher, if there is one.
        method: How it learns.
        sampling: How it samples; `Consistency` with any number of steps.
        optimizer: The optax transformation.
        encode: (key, datum) -> (event, condition).
        n_components: Length n of an event.
        ema_decay: Decay of the parameters' average per step.
        n_steps: Batches of the whole training.
        teacher: The teacher's parameters, where the student starts too; None for training alone,
            and where nothing is trained.
        teacher_guidance: The guidance scale of the teacher's denoiser.
        mask: Which components of an event are real; None: all. Padding then has no influence, and
            samples are zero there.

    Raises:
        InputError: A process whose denoiser cannot be a consistency function, or guidance that the
            student or its teacher does not know, or settings that padded events do not know.
    """
    check_maskable(config, mask)
    check_boundary(config.parametrization)
    require_plain(config, "consistency")
    check_student_guidance(config, sampling, teacher_guidance)
    net = masked_net(net, mask)
    if isinstance(method, ConsistencyDistillation):
        decay = method.target_decay
        pairs = _pairs_by_teacher(net, config, method, encode, teacher_guidance, mask)
    else:
        decay = 0.0
        pairs = _pairs_by_noise(config, method, encode, n_steps, mask)

    def distance(answer: Event, target: Event, cond: Cond) -> Scalar:
        # the square of this factor multiplies the mean square within the distance
        root = mean_scale(mask, cond, answer.shape[0]) ** 0.5
        return consistency_distance(root * answer, root * target, method.huber)

    def sample_event(key: Key, params: Params, cond: Cond) -> Event:
        return draw(key, net, config, sampling, n_components, params, cond, mask)

    def loss_fn(
        key: Key, params: Params, batch: Batch, state: TrainState
    ) -> tuple[Scalar, Metrics]:
        pair = pairs(key, batch, state)
        slow = state.target["student"] if decay > 0.0 else params
        target = denoise(net, config, slow, pair.earlier, pair.times.earlier, pair.cond)
        answer = denoise(net, config, params, pair.later, pair.times.later, pair.cond)
        distances = jax.vmap(distance)(answer, jax.lax.stop_gradient(target), pair.cond)
        return jnp.mean(pair.weight * distances), {}

    algorithm = minimise_towards(
        _target(isinstance(method, ConsistencyDistillation), decay),
        starting_from(teacher, net, config, encode),
        loss_fn,
        optimizer,
        ema_decay,
    )
    return GenerativeModel(algorithm, sample_event)


class _Pairs(NamedTuple):
    """Two points of one path for each event of a batch.

    Attributes:
        later: x_t, (b, n).
        earlier: x_r, (b, n).
        times: t and r, each (b,).
        cond: (b, c).
        weight: Of their distance in the loss, (b,).
    """

    later: Events
    earlier: Events
    times: Neighbours
    cond: Conds
    weight: Array


_MakePairs = Callable[[Key, Batch, TrainState], _Pairs]


def _pairs_by_teacher(
    net: Net,
    config: Diffusion,
    method: ConsistencyDistillation,
    encode: Encode,
    teacher_guidance: float,
    mask: Mask | None,
) -> _MakePairs:
    """The earlier point is where the teacher's Heun steps lead; the weight is the process's own.

    With weight 1 a student needs more than twice the batches, see experiments/README.md.
    """
    schedule = config.schedule

    def pairs(key: Key, batch: Batch, state: TrainState) -> _Pairs:
        level_key, event_key = jax.random.split(key)
        x_0, eps, cond = event_noise_pairs(event_key, config, encode, batch, mask)
        u = spread_levels(level_key, batch)
        n_intervals, n_steps = method.n_intervals, method.teacher_steps
        path = jax.vmap(lambda u: grid_path(schedule, u, n_intervals, n_steps))(u)
        times = Neighbours(path[:, 0], path[:, -1])
        denoiser = plain_denoiser(net, state.target["teacher"], config)
        if teacher_guidance != 1.0:
            denoiser = guided(denoiser, teacher_guidance)
        sampler = Heun()(schedule, denoiser)

        def walk(x_t: Event, path: Times, cond: Cond) -> Event:
            def step(x: Event, ends: tuple[Scalar, Scalar]) -> tuple[Event, None]:
                return sampler.step(sampler.init(x, cond), None, *ends, cond).x, None

            return jax.lax.scan(step, x_t, (path[:-1], path[1:]))[0]

        x_t = noised(config, x_0, eps, times.later)
        x_r = jax.vmap(walk)(x_t, path, cond)
        weight = jnp.exp(config.weighting.log_weight(schedule.log_snr(times.later)))
        return _Pairs(x_t, x_r, times, cond, weight)

    return pairs


def _pairs_by_noise(
    config: Diffusion,
    method: ConsistencyTraining,
    encode: Encode,
    n_steps: int,
    mask: Mask | None,
) -> _MakePairs:
    """Both points have the same noise; the weight is 1 / (k(t) - k(r)), k = sigma / alpha.

    Source: Song and Dhariwal 2024 (arXiv:2310.14189), eq. 3 and table 1.
    """
    schedule = config.schedule

    def pairs(key: Key, batch: Batch, state: TrainState) -> _Pairs:
        level_key, event_key = jax.random.split(key)
        x_0, eps, cond = event_noise_pairs(event_key, config, encode, batch, mask)
        n = n_intervals_at(state.step / n_steps, method.first_intervals, method.last_intervals)

        def of_event(u: Scalar) -> Neighbours:
            return close_neighbours(schedule, method.noise_levels(u, schedule), n)

        times = jax.vmap(of_event)(spread_levels(level_key, batch))
        later, earlier = (jnp.exp(-schedule.log_snr(t) / 2) for t in times)
        x_t, x_r = (noised(config, x_0, eps, t) for t in times)
        # Levels beyond the schedule's end are clipped to t = 0, where nothing is earlier.
        apart = later > earlier
        weight = jnp.where(apart, 1 / jnp.where(apart, later - earlier, 1.0), 0.0)
        return _Pairs(x_t, x_r, times, cond, weight)

    return pairs


def _target(distils: bool, decay: float) -> Target:
    """The frozen teacher, and the slower copy of the student."""

    def init(params: Params) -> Params:
        return {"teacher": params if distils else (), "student": params if decay > 0.0 else ()}

    def update(state: TrainState) -> Params:
        if decay == 0.0:
            return state.target
        slow = optax.incremental_update(state.params, state.target["student"], 1 - decay)
        return state.target | {"student": slow}

    return Target(init, update)
