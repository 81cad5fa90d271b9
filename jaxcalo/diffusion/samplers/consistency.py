"""Sampling with a consistency function: to the data in one step, or back and forth in several.

Source: Song et al. 2023 (arXiv:2303.01469), algorithm 1.
"""

from dataclasses import dataclass

import jax.numpy as jnp

from jaxcalo.diffusion.kernels import randn
from jaxcalo.diffusion.parametrizations import DenoiserFn
from jaxcalo.diffusion.samplers.base import EventState, Sampler
from jaxcalo.diffusion.schedules import NoiseSchedule


@dataclass(frozen=True)
class Consistency:
    """Map to the data, noise again, and so on.

    x_0 = f(x_t, t),  x_s = alpha_s x_0 + sigma_s z for s > 0, and x_0 itself at s = 0.

    Here the denoiser must be a consistency function, which sends every point of a path of the
    probability flow to the path's end at t = 0. A plain denoiser sends it to the mean of all data
    that could have become x_t.

    Source: Song et al. 2023 (arXiv:2303.01469), algorithm 1.
    """

    def n_evaluations(self, n_steps: int) -> int:
        """Return the number of evaluations of the consistency function."""
        return n_steps

    def __call__(self, schedule: NoiseSchedule, denoiser: DenoiserFn) -> Sampler:
        """Make the sampler."""

        def init(x_T, cond):  # noqa: ARG001
            return EventState(x_T)

        def step(state, key, t, s, cond):
            x_0 = denoiser(state.x, t, cond)
            noise = randn(key, x_0.shape, x_0.dtype)
            x_s = schedule.alpha(s) * x_0 + schedule.sigma(s) * noise
            return EventState(jnp.where(s > 0, x_s, x_0))

        return Sampler(init, step)
