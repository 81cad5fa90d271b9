"""DDIM: the family from the deterministic flow (eta = 0) to ancestral sampling (eta = 1).

Source: Song, Meng and Ermon 2021 (arXiv:2010.02502), eqs. 12 and 16.
"""

from dataclasses import dataclass

import jax.numpy as jnp

from jaxcalo.diffusion.kernels import randn
from jaxcalo.diffusion.parametrizations import DenoiserFn
from jaxcalo.diffusion.samplers.base import EventState, Sampler
from jaxcalo.diffusion.schedules import NoiseSchedule
from jaxcalo.errors import InputError


@dataclass(frozen=True)
class Ddim:
    """DDIM over any grid of times.

    x_s = alpha_s x_0_hat + sigma_s k eps_hat + eta sigma_s sqrt(-expm1(h)) z,
    k^2 = 1 + eta^2 expm1(h), h = log_snr(t) - log_snr(s); with eps_hat written out and no
    difference left to cancel:
    x_s = k (sigma_s / sigma_t) x_t - alpha_s expm1(h / 2 + log k) x_0_hat + noise.
    The step that ends at s = 0 adds no noise; eta = 0 draws none at all.

    Args:
        eta: the share of the posterior's noise; 0 integrates the probability-flow equation (order
            1), 1 is `Ddpm("posterior")`.

    Raises:
        InputError: if eta is outside [0, 1].
    """

    eta: float = 0.0

    def __post_init__(self):
        if not 0 <= self.eta <= 1:
            raise InputError(f"Ddim: expected eta in [0, 1], found {self.eta}; choose one in it.")

    def n_evaluations(self, n_steps: int) -> int:
        """Return the number of evaluations of the denoiser."""
        return n_steps

    def __call__(self, schedule: NoiseSchedule, denoiser: DenoiserFn) -> Sampler:
        """Make the sampler."""

        def init(x_T, cond):  # noqa: ARG001
            return EventState(x_T)

        def step(state, key, t, s, cond):
            x_t, x_0_hat = state.x, denoiser(state.x, t, cond)
            h = schedule.log_snr(t) - schedule.log_snr(s)
            sigma_s = schedule.sigma(s)
            log_k = 0.5 * jnp.log1p(self.eta**2 * jnp.expm1(h))
            x_s = jnp.exp(log_k) * sigma_s / schedule.sigma(t) * x_t
            x_s -= schedule.alpha(s) * jnp.expm1(h / 2 + log_k) * x_0_hat
            if self.eta > 0:
                spread = jnp.where(s > 0, self.eta * sigma_s * jnp.sqrt(-jnp.expm1(h)), 0)
                x_s += spread * randn(key, x_t.shape, x_t.dtype)
            return EventState(x_s)

        return Sampler(init, step)
