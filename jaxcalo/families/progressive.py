"""Progressive distillation: the number of DDIM steps is halved, stage by stage.

Source: Salimans and Ho 2022 (arXiv:2202.00512); CaloScore v2, arXiv:2308.03847, section 4.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jaxcalo.diffusion import guided
from jaxcalo.diffusion.progressive import student_times, two_step_target
from jaxcalo.diffusion.time_grids import Searched
from jaxcalo.errors import InputError
from jaxcalo.families.base import Encode, GenerativeModel, Net
from jaxcalo.families.process import (
    Diffusion,
    denoise,
    event_noise_pairs,
    plain_denoiser,
    require_plain,
    spread_levels,
    starting_from,
)
from jaxcalo.families.sampling import Sampling, check_student_guidance, draw
from jaxcalo.training import Batch, Metrics, Target, TrainState, minimise_towards
from jaxcalo.typing import Cond, Event, Key, Params, Scalar


@dataclasses.dataclass(frozen=True)
class ProgressiveDistillation:
    """Halve the steps from `first_steps` to `last_steps`, the stages equally long.

    Attributes:
        first_steps: DDIM steps of the teacher, on the sampling grid.
        last_steps: Steps of the last student: `first_steps` over a power of two.

    Raises:
        InputError: The numbers are not so related.
    """

    first_steps: int = 16
    last_steps: int = 1

    def __post_init__(self) -> None:
        ratio = self.first_steps / max(self.last_steps, 1)
        if self.last_steps < 1 or ratio < 2 or not math.log2(ratio).is_integer():
            raise InputError(
                "progressive distillation: expected first_steps = last_steps times 2, 4, 8 ..., "
                f"found {self.first_steps} and {self.last_steps}; choose 16 and 1, say."
            )

    @property
    def n_stages(self) -> int:
        """How often the number of steps is halved."""
        return round(math.log2(self.first_steps / self.last_steps))


def progressive(
    net: Net,
    config: Diffusion,
    method: ProgressiveDistillation,
    sampling: Sampling,
    optimizer: optax.GradientTransformation,
    *,
    encode: Encode,
    n_components: int,
    ema_decay: float,
    n_steps: int,
    teacher: Params | None = None,
    teacher_guidance: float = 1.0,
) -> GenerativeModel:
    """Make the generative model.

    In stage i = 0, 1, ... the student has first_steps / 2^(i + 1) steps and its teacher twice as
    many; at the end of a stage the student's average becomes the teacher.

    Args:
        net: The network, the teacher's too.
        config: The teacher's process.
        method: From how many steps to how many.
        sampling: How it samples; its grid is the training's, its sampler should be `Ddim()` and its
            n_steps those of the last student.
        optimizer: The optax transformation; its learning rate should restart with each stage.
        encode: (key, datum) -> (event, condition).
        n_components: Length n of an event.
        ema_decay: Decay of the parameters' average per step.
        n_steps: Batches of the whole training.
        teacher: The first teacher's parameters; None where nothing is trained.
        teacher_guidance: The guidance scale of the first teacher's denoiser; its students have
            learned it.

    Raises:
        InputError: The model has a learned variance, or guidance that the student or its teacher
            does not know; the grid has one number of steps only; a stage would have no batch.
    """
    require_plain(config, "progressive distillation")
    check_student_guidance(config, sampling, teacher_guidance)
    if isinstance(sampling.grid, Searched):
        raise InputError(
            "progressive distillation: expected a grid for any number of steps, found a searched "
            "one; choose UniformLogSnr, say."
        )
    if n_steps < method.n_stages:
        raise InputError(
            f"progressive distillation: expected a batch or more for each of its {method.n_stages} "
            f"stages, found {n_steps} in all; raise --training.n-steps"
        )
    schedule = config.schedule

    def sample_event(key: Key, params: Params, cond: Cond) -> Event:
        return draw(key, net, config, sampling, n_components, params, cond)

    def stage(step: Array) -> Array:
        return jnp.minimum(step * method.n_stages // n_steps, method.n_stages - 1)

    def loss_fn(
        key: Key, params: Params, batch: Batch, state: TrainState
    ) -> tuple[Scalar, Metrics]:
        level_key, event_key = jax.random.split(key)
        x_0, eps, cond = event_noise_pairs(event_key, config, encode, batch)
        times = sampling.grid(schedule, method.first_steps)
        now = stage(state.step)
        plain = plain_denoiser(net, state.target, config)

        def teach(u: Scalar, x_0: Event, eps: Event, cond: Cond) -> tuple[Event, Scalar, Event]:
            t, middle, s = student_times(times, u, 2 ** (now + 1))
            x_t = schedule.alpha(t) * x_0 + schedule.sigma(t) * eps
            denoiser = plain
            if teacher_guidance != 1.0:
                denoiser = guided(plain, jnp.where(now == 0, teacher_guidance, 1.0))
            return x_t, t, two_step_target(schedule, denoiser, x_t, t, middle, s, cond)

        x_t, t, wanted = jax.vmap(teach)(spread_levels(level_key, batch), x_0, eps, cond)
        answer = denoise(net, config, params, x_t, t, cond)
        weight = jnp.exp(config.weighting.log_weight(schedule.log_snr(t)))
        return jnp.mean(weight * jnp.mean((answer - wanted) ** 2, axis=-1)), {}

    def next_teacher(state: TrainState) -> Params:
        is_new = stage(state.step) > stage(state.step - 1)
        return jax.tree.map(lambda e, t: jnp.where(is_new, e, t), state.ema, state.target)

    target = Target(lambda params: params, next_teacher)
    algorithm = minimise_towards(
        target, starting_from(teacher, net, config, encode), loss_fn, optimizer, ema_decay
    )
    return GenerativeModel(algorithm, sample_event)
