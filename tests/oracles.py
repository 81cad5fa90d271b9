"""Data whose diffusion is known in closed form."""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array

from jaxcalo.diffusion.kernels import Gaussian, randn


@dataclass(frozen=True)
class GaussianOracle:
    """Independent normal components: x_0 ~ N(mean, std^2), each a number or one a component."""

    mean: Array | float
    std: Array | float

    def marginal(self, schedule, t) -> Gaussian:
        """q(x_t) = N(alpha mean, alpha^2 std^2 + sigma^2)."""
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        return Gaussian(alpha * self.mean, alpha**2 * self.std**2 + sigma**2)

    def denoiser(self, schedule):
        """E[x_0 | x_t] = mean + alpha std^2 (x_t - alpha mean) / (alpha^2 std^2 + sigma^2)."""

        def denoise(x_t, t, cond):
            marginal = self.marginal(schedule, t)
            gain = schedule.alpha(t) * self.std**2 / marginal.variance
            return self.mean + gain * (x_t - marginal.mean)

        return denoise

    def variance_fraction(self, schedule, s, t):
        """The v at which p_transition has the variance of the true reverse step, x_t to x_s.

        Var[x_s | x_t] = btilde + (alpha_s (1 - e^h))^2 Var[x_0 | x_t] by the law of total variance.
        """
        one_minus_r = -jnp.expm1(schedule.log_snr(t) - schedule.log_snr(s))
        sigma_s, sigma_t = schedule.sigma(s), schedule.sigma(t)
        variance_0 = self.std**2 * sigma_t**2 / self.marginal(schedule, t).variance
        excess = one_minus_r * schedule.alpha(s) ** 2 * variance_0 / sigma_s**2
        return jnp.log1p(excess) / (2 * jnp.log(sigma_t / sigma_s))

    def exact_reverse(self, schedule, times):
        """The variance denoiser of the exact reverse chain on one grid of times."""
        denoise = self.denoiser(schedule)

        def variance_denoise(x_t, t, cond):
            s = times[jnp.argmin(jnp.abs(times - t)) + 1]
            x_0_hat = denoise(x_t, t, cond)
            fraction = self.variance_fraction(schedule, s, t)
            return x_0_hat, jnp.broadcast_to(fraction, x_t.shape)

        return variance_denoise

    def flow(self, schedule, x_t, t, s):
        """The probability-flow equation's solution at s of the path through (x_t, t)."""
        start, end = self.marginal(schedule, t), self.marginal(schedule, s)
        return end.mean + jnp.sqrt(end.variance / start.variance) * (x_t - start.mean)

    def sample(self, key, shape):
        return self.mean + self.std * randn(key, shape)

    def negative_log_likelihood(self, x_0):
        """-log p(x_0) in nats per component."""
        z = (x_0 - self.mean) / self.std
        return jnp.mean(0.5 * z**2 + jnp.log(self.std) + 0.5 * jnp.log(2 * jnp.pi), axis=-1)
