"""The reverse stochastic differential equation in steps of Euler and Maruyama.

Source: Song et al. 2021 (arXiv:2011.13456), eq. 6 and appendix D.
"""

from dataclasses import dataclass

import jax.numpy as jnp

from jaxcalo.diffusion.kernels import randn
from jaxcalo.diffusion.parametrizations import DenoiserFn
from jaxcalo.diffusion.probability_flow import reverse_drift, sde
from jaxcalo.diffusion.samplers.base import EventState, Sampler
from jaxcalo.diffusion.schedules import NoiseSchedule


@dataclass(frozen=True)
class ReverseSde:
    """Euler and Maruyama's method in time.

    x_s = x_t + (s - t) (f x_t - g^2 score) + g sqrt(t - s) z,  from dx = f x dt + g dw forward; the
    step that ends at s = 0 adds no noise.

    Explicit in time, so a step must be short against 1 / f and 1 / g^2, which near t = 1 are small
    for schedules that end with little signal. `Ddpm` and `DpmSolver(eta=1)` integrate the same
    equation with its linear part exact and need far fewer steps; this one is the plain reference.

    Source: Song et al. 2021 (arXiv:2011.13456), eq. 6.
    """

    def n_evaluations(self, n_steps: int) -> int:
        """Return the number of evaluations of the denoiser."""
        return n_steps

    def __call__(self, schedule: NoiseSchedule, denoiser: DenoiserFn) -> Sampler:
        """Make the sampler."""

        def init(x_T, cond):  # noqa: ARG001
            return EventState(x_T)

        def step(state, key, t, s, cond):
            x_t = state.x
            x_0_hat = denoiser(x_t, t, cond)
            _, g_squared = sde(schedule, t)
            x_s = x_t + (s - t) * reverse_drift(schedule, x_0_hat, x_t, t)
            spread = jnp.where(s > 0, jnp.sqrt(g_squared * (t - s)), 0)
            return EventState(x_s + spread * randn(key, x_t.shape, x_t.dtype))

        return Sampler(init, step)
