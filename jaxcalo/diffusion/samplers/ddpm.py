"""Ancestral sampling: each step draws from the model's Gaussian p(x_s | x_t).

Source: Ho et al. 2020 (arXiv:2006.11239), algorithm 2.
"""

from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp

from jaxcalo.diffusion.kernels import p_transition, randn
from jaxcalo.diffusion.parametrizations import DenoiserFn, VarianceDenoiserFn, fix_variance
from jaxcalo.diffusion.samplers.base import EventState, Sampler
from jaxcalo.diffusion.schedules import NoiseSchedule
from jaxcalo.errors import InputError


@dataclass(frozen=True)
class LearnedVarianceDdpm:
    """Ancestral sampling with the variance that the denoiser gives.

    x_s = mean + sqrt(variance) z,  (mean, variance) of `kernels.p_transition`; the step that ends
    at s = 0 returns the mean.

    Source: Nichol and Dhariwal 2021 (arXiv:2102.09672), section 3.1.
    """

    def n_evaluations(self, n_steps: int) -> int:
        """Return the number of evaluations of the denoiser."""
        return n_steps

    def __call__(self, schedule: NoiseSchedule, denoiser: VarianceDenoiserFn) -> Sampler:
        """Make the sampler."""

        def init(x_T, cond):  # noqa: ARG001
            return EventState(x_T)

        def step(state, key, t, s, cond):
            x_0_hat, fraction = denoiser(state.x, t, cond)
            back = p_transition(schedule, x_0_hat, state.x, s, t, fraction)
            spread = jnp.where(s > 0, jnp.sqrt(back.variance), 0)
            return EventState(back.mean + spread * randn(key, state.x.shape, state.x.dtype))

        return Sampler(init, step)


@dataclass(frozen=True)
class Ddpm:
    """Ancestral sampling with a fixed variance.

    Args:
        variance: "posterior" is btilde, exact for data that are one point; "beta" is the variance
            of the forward step, exact for standard normal data.

    Raises:
        InputError: if variance is neither.

    Source: Ho et al. 2020 (arXiv:2006.11239), section 3.2.
    """

    variance: Literal["posterior", "beta"] = "posterior"

    def __post_init__(self):
        if self.variance not in ("posterior", "beta"):
            raise InputError(
                "Ddpm: expected variance 'posterior' or 'beta', found "
                f"{self.variance!r}; choose one of them."
            )

    def n_evaluations(self, n_steps: int) -> int:
        """Return the number of evaluations of the denoiser."""
        return n_steps

    def __call__(self, schedule: NoiseSchedule, denoiser: DenoiserFn) -> Sampler:
        """Make the sampler."""
        fraction = 1.0 if self.variance == "beta" else 0.0
        return LearnedVarianceDdpm()(schedule, fix_variance(denoiser, fraction))
