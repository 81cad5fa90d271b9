"""Euler's method on the probability-flow equation, in time or in the noise-to-signal ratio.

Source: Song et al. 2021 (arXiv:2011.13456), eq. 13; Karras et al. 2022 (arXiv:2206.00364), eq. 3.
"""

from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp

from jaxcalo.diffusion.parametrizations import DenoiserFn
from jaxcalo.diffusion.probability_flow import velocity
from jaxcalo.diffusion.samplers.base import EventState, Sampler
from jaxcalo.diffusion.schedules import NoiseSchedule
from jaxcalo.errors import InputError
from jaxcalo.typing import Event, Scalar

Coordinate = Literal["time", "noise_to_signal"]


def check_coordinate(sampler: str, coordinate: str):
    """Raise InputError if the coordinate is not one of the two."""
    if coordinate not in ("time", "noise_to_signal"):
        raise InputError(
            f"{sampler}: expected coordinate 'time' or 'noise_to_signal', found {coordinate!r}; "
            "choose one of them."
        )


def euler_step(
    schedule: NoiseSchedule,
    coordinate: Coordinate,
    x_0_hat: Event,
    x_t: Event,
    t: Scalar,
    s: Scalar,
) -> Event:
    """Return x_s along the tangent of the path at x_t, straight in the coordinate.

    "time": x_s = x_t + (s - t) dx/dt. "noise_to_signal": with y = x / alpha and k = sigma / alpha,
    y_s = y_t + (k_s - k_t) (y_t - x_0_hat) / k_t, which is
    x_s = (sigma_s / sigma_t) x_t - alpha_s expm1(-h) x_0_hat, h = (log_snr(s) - log_snr(t)) / 2.

    Args:
        schedule: the noise schedule.
        coordinate: in which of the two the path is taken to be straight.
        x_0_hat: the denoiser's answer at (x_t, t).
        x_t: the event.
        t: its time.
        s: the time to go to, below t.
    """
    if coordinate == "time":
        return x_t + (s - t) * velocity(schedule, x_0_hat, x_t, t)
    h = (schedule.log_snr(s) - schedule.log_snr(t)) / 2
    return schedule.sigma(s) / schedule.sigma(t) * x_t - schedule.alpha(s) * jnp.expm1(-h) * x_0_hat


@dataclass(frozen=True)
class Euler:
    """Euler's method, order 1: see `euler_step`.

    Args:
        coordinate: "time" is the usual sampler of flow matching on `RectifiedFlow`;
            "noise_to_signal" is `Ddim(0)`.

    Raises:
        InputError: if coordinate is neither.
    """

    coordinate: Coordinate = "time"

    def __post_init__(self):
        check_coordinate("Euler", self.coordinate)

    def n_evaluations(self, n_steps: int) -> int:
        """Return the number of evaluations of the denoiser."""
        return n_steps

    def __call__(self, schedule: NoiseSchedule, denoiser: DenoiserFn) -> Sampler:
        """Make the sampler."""

        def init(x_T, cond):  # noqa: ARG001
            return EventState(x_T)

        def step(state, key, t, s, cond):  # noqa: ARG001
            x_0_hat = denoiser(state.x, t, cond)
            return EventState(euler_step(schedule, self.coordinate, x_0_hat, state.x, t, s))

        return Sampler(init, step)
