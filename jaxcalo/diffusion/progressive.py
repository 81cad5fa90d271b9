"""Progressive distillation: a student learns to do in one DDIM step what its teacher does in two.

With h = (log_snr_s - log_snr_t) / 2, a DDIM step from t to s that believes in x_0 is

    x_s = (sigma_s / sigma_t) x_t - alpha_s expm1(-h) x_0.

Two steps, h_1 with the answer D_1 and h_2 with D_2, are one step of h = h_1 + h_2 with

    x_0 = (e^(-h_2) expm1(-h_1) D_1 + expm1(-h_2) D_2) / expm1(-h),

a weighted mean of the two answers, in which nothing cancels.

Source: Salimans and Ho 2022 (arXiv:2202.00512), algorithm 2 and appendix G.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcalo.diffusion.parametrizations import DenoiserFn
from jaxcalo.diffusion.samplers.ddim import Ddim
from jaxcalo.diffusion.schedules import NoiseSchedule
from jaxcalo.diffusion.time_grids import Times
from jaxcalo.typing import Cond, Event, Scalar


def two_step_target(
    schedule: NoiseSchedule,
    teacher: DenoiserFn,
    x_t: Event,
    t: Scalar,
    middle: Scalar,
    s: Scalar,
    cond: Cond,
) -> Event:
    """Return the x_0 whose one DDIM step from t to s equals the teacher's two, over the middle.

    Args:
        schedule: the noise schedule.
        teacher: the denoiser with twice the steps; evaluated at t and at the middle.
        x_t: the noised event.
        t: its time.
        middle: the time between two steps of the teacher, s < middle < t.
        s: the time where the student's step ends.
        cond: its conditions.
    """
    first = teacher(x_t, t, cond)
    sampler = Ddim()(schedule, lambda _x_t, _t, _cond: first)
    x_middle = sampler.step(sampler.init(x_t, cond), None, t, middle, cond).x
    second = teacher(x_middle, middle, cond)
    h_1, h_2 = jnp.diff(schedule.log_snr(jnp.stack([t, middle, s]))) / 2
    weights = jnp.exp(-h_2) * jnp.expm1(-h_1), jnp.expm1(-h_2)
    return (weights[0] * first + weights[1] * second) / jnp.expm1(-h_1 - h_2)


def student_times(teacher_times: Times, u: Scalar, stride: Scalar) -> tuple[Scalar, Scalar, Scalar]:
    """Return t, middle and s of the student's step that u in [0, 1) falls in.

    Args:
        teacher_times: the grid (n + 1,) of the first teacher, from 1 to 0.
        u: which step.
        stride: how many steps of that grid one of the student's spans, an even divisor of n; it may
            grow from stage to stage without a new program.
    """
    n_steps = (len(teacher_times) - 1) // stride
    start = stride * jnp.minimum((u * n_steps).astype(jnp.int32), n_steps - 1)
    at: Float[Array, " n+1"] = jnp.asarray(teacher_times)
    return at[start], at[start + stride // 2], at[start + stride]
