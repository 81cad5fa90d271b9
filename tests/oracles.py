"""Data whose diffusion is known in closed form."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
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
        log_snr_s, log_snr_t = schedule.log_snr(s), schedule.log_snr(t)
        one_minus_r = -jnp.expm1(log_snr_t - log_snr_s)
        sigma_s, sigma_t = schedule.sigma(s), schedule.sigma(t)
        variance_0 = self.std**2 * sigma_t**2 / self.marginal(schedule, t).variance
        excess = one_minus_r * schedule.alpha(s) ** 2 * variance_0 / sigma_s**2
        return jnp.log1p(excess) / (jax.nn.softplus(log_snr_s) - jax.nn.softplus(log_snr_t))

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


@dataclass(frozen=True)
class MixtureOracle:
    """Normal components of one covariance: x_0 ~ sum_k weights_k N(means_k, covariance).

    One component makes a correlated Gaussian. In the eigenbasis of the covariance, with the
    eigenvalues l, the noised component is N(alpha mean, alpha^2 l + sigma^2), still diagonal.

    Args:
        weights: (k,) numbers above zero that sum to one.
        means: (k, n).
        covariance: (n, n), positive definite.
    """

    weights: np.ndarray
    means: np.ndarray
    covariance: np.ndarray

    def _eigen(self, x):
        """Eigenvalues (n,), basis (n, n) in columns, and the means (k, n) in that basis."""
        values, basis = np.linalg.eigh(np.asarray(self.covariance, np.float64))
        means = np.asarray(self.means, np.float64) @ basis
        return (jnp.asarray(a, x.dtype) for a in (values, basis, means))

    def _log_terms(self, x, alpha, sigma):
        """log(weight_k) + log q(x | component k), for one event: (k,)."""
        values, basis, means = self._eigen(x)
        variance = alpha**2 * values + sigma**2
        squares = (x @ basis - alpha * means) ** 2 / variance
        logs = -0.5 * jnp.sum(squares + jnp.log(2 * jnp.pi * variance), axis=-1)
        return jnp.log(jnp.asarray(self.weights, x.dtype)) + logs

    def log_marginal(self, schedule, x_t, t):
        """log q(x_t) in nats, of one event (n,)."""
        return jax.nn.logsumexp(self._log_terms(x_t, schedule.alpha(t), schedule.sigma(t)))

    def log_density(self, x_0):
        """log p(x_0) in nats, of one event (n,)."""
        return jax.nn.logsumexp(self._log_terms(x_0, 1.0, 0.0))

    def denoiser(self, schedule):
        """E[x_0 | x_t]: the components' own answers, weighted by how likely each made x_t."""

        def denoise(x_t, t, cond):
            alpha, sigma = schedule.alpha(t), schedule.sigma(t)
            values, basis, means = self._eigen(x_t)
            gain = alpha * values / (alpha**2 * values + sigma**2)
            answers = means + gain * (x_t @ basis - alpha * means)
            share = jax.nn.softmax(self._log_terms(x_t, alpha, sigma))
            return basis @ (share @ answers)

        return denoise

    def sample(self, key, n_events):
        """Draw events (n_events, n)."""
        component_key, noise_key = jax.random.split(key)
        weights, means = jnp.asarray(self.weights), jnp.asarray(self.means)
        component = jax.random.categorical(component_key, jnp.log(weights), shape=(n_events,))
        factor = jnp.asarray(np.linalg.cholesky(self.covariance), means.dtype)
        return means[component] + randn(noise_key, (n_events, means.shape[1])) @ factor.T
