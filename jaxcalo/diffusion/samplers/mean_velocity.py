"""Sampling with an average velocity: each step, however long, is one evaluation.

Source: Geng et al. 2025 (arXiv:2505.13447), eq. 12.
"""

from dataclasses import dataclass

from jaxcalo.diffusion.mean_flow import AverageVelocityFn
from jaxcalo.diffusion.samplers.base import EventState, Sampler
from jaxcalo.diffusion.schedules import NoiseSchedule


@dataclass(frozen=True)
class MeanVelocity:
    """x_s = x_t - (sigma_t - sigma_s) u(x_t, s, t), on the straight path.

    In place of a denoiser it takes an average velocity (`mean_flow`).
    """

    def n_evaluations(self, n_steps: int) -> int:
        """Return the number of evaluations of the average velocity."""
        return n_steps

    def __call__(self, schedule: NoiseSchedule, average: AverageVelocityFn) -> Sampler:
        """Make the sampler."""

        def init(x_T, cond):  # noqa: ARG001
            return EventState(x_T)

        def step(state, key, t, s, cond):  # noqa: ARG001
            width = schedule.sigma(t) - schedule.sigma(s)
            return EventState(state.x - width * average(state.x, s, t, cond))

        return Sampler(init, step)
