"""Heun's method on the probability-flow equation, with noise that is added and removed on the way.

Source: Karras et al. 2022 (arXiv:2206.00364), algorithms 1 and 2.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxcalo.diffusion.kernels import randn
from jaxcalo.diffusion.parametrizations import DenoiserFn
from jaxcalo.diffusion.probability_flow import velocity
from jaxcalo.diffusion.samplers.base import EventState, Sampler
from jaxcalo.diffusion.samplers.euler import Coordinate, check_coordinate, euler_step
from jaxcalo.diffusion.schedules import NoiseSchedule
from jaxcalo.errors import InputError
from jaxcalo.typing import Event, Key, Scalar


@dataclass(frozen=True)
class Heun:
    """Heun's method, order 2: Euler's step, then the mean of the slopes at its two ends.

    With y = x / alpha, k = sigma / alpha and h = (log_snr(s) - log_snr(t)) / 2 the correction of
    Euler's x_s in k is (alpha_s / 2) expm1(h) (D(x_s, s) - D(x_t, t)). The step that ends at s = 0
    is Euler's, so that the denoiser is never asked where there is no noise.

    Churn first raises the noise of every step to k_hat = (1 + churn) k, at most k(1):
    y_hat = y + sqrt(k_hat^2 - k^2) churn_noise z.

    Args:
        coordinate: "noise_to_signal" is the paper's; "time" is the usual second order sampler of
            flow matching on `RectifiedFlow`.
        churn: the paper's gamma, in [0, sqrt(2) - 1]: S_churn / n_steps at every noise level. 0 is
            deterministic (algorithm 1).
        churn_noise: S_noise, the standard deviation of the added noise; slightly above 1 makes up
            for a network that removes too much.
        correct: False leaves Euler's step.

    Raises:
        InputError: if a setting is outside its range, or churn is asked for in time.

    Source: Karras et al. 2022 (arXiv:2206.00364), algorithms 1 and 2.
    """

    coordinate: Coordinate = "noise_to_signal"
    churn: float = 0.0
    churn_noise: float = 1.0
    correct: bool = True

    def __post_init__(self):
        check_coordinate("Heun", self.coordinate)
        if not 0 <= self.churn <= math.sqrt(2) - 1:
            raise InputError(
                f"Heun: expected churn in [0, sqrt(2) - 1], found {self.churn}; choose one in it."
            )
        if self.churn > 0 and self.coordinate == "time":
            raise InputError(
                f"Heun: expected churn 0 in coordinate 'time', found {self.churn}; "
                "choose coordinate 'noise_to_signal'."
            )
        if not self.churn_noise > 0:
            raise InputError(
                f"Heun: expected churn_noise > 0, found {self.churn_noise}; choose one near 1."
            )

    def n_evaluations(self, n_steps: int) -> int:
        """Return the number of evaluations of the denoiser."""
        return 2 * n_steps - 1 if self.correct else n_steps

    def __call__(self, schedule: NoiseSchedule, denoiser: DenoiserFn) -> Sampler:
        """Make the sampler."""

        def init(x_T, cond):  # noqa: ARG001
            return EventState(x_T)

        def step(state, key, t, s, cond):
            x_t = state.x
            if self.churn > 0:
                x_t, t = _add_noise(key, schedule, x_t, t, self.churn, self.churn_noise)
            x_0_hat = denoiser(x_t, t, cond)
            x_s = euler_step(schedule, self.coordinate, x_0_hat, x_t, t, s)

            def corrected():
                again = denoiser(x_s, s, cond)
                if self.coordinate == "time":
                    there = velocity(schedule, again, x_s, s)
                    return x_s + (s - t) / 2 * (there - velocity(schedule, x_0_hat, x_t, t))
                h = (schedule.log_snr(s) - schedule.log_snr(t)) / 2
                return x_s + schedule.alpha(s) / 2 * jnp.expm1(h) * (again - x_0_hat)

            if self.correct:
                # the times are common to a batch, so that vmap leaves a branch here: the
                # evaluation at s = 0 is not made
                x_s = jax.lax.cond(s > 0, corrected, lambda: x_s)
            return EventState(x_s)

        return Sampler(init, step)


def _add_noise(
    key: Key, schedule: NoiseSchedule, x_t: Event, t: Scalar, churn: float, churn_noise: float
) -> tuple[Event, Scalar]:
    """Return the event with more noise and its time, at most 1."""
    log_snr, end = schedule.log_snr(t), jnp.ones_like(t)
    wanted = jnp.maximum(log_snr - 2 * math.log1p(churn), schedule.log_snr(end))
    # the inverse rounds: at t = 1, where nothing can be added, it has to be 1
    t_hat = jnp.clip(schedule.inverse_log_snr(wanted), t, end)
    added = jnp.expm1(log_snr - schedule.log_snr(t_hat))  # k_hat^2 / k^2 - 1
    spread = schedule.sigma(t) * jnp.where(added > 0, jnp.sqrt(jnp.where(added > 0, added, 1)), 0)
    noise = churn_noise * spread * randn(key, x_t.shape, x_t.dtype)
    return schedule.alpha(t_hat) / schedule.alpha(t) * (x_t + noise), t_hat
