"""The Gaussian kernels of the diffusion chain: forward, one step, and the two ways back.

With h = log_snr(t) - log_snr(s) < 0 for s < t, every difference that would cancel is an expm1:

    q(x_t | x_0)      = N(alpha_t x_0, sigma_t^2)
    q(x_t | x_s)      = N((alpha_t / alpha_s) x_s, -expm1(h) sigma_t^2)
    q(x_s | x_t, x_0) = N(e^h (alpha_s / alpha_t) x_t - expm1(h) alpha_s x_0, -expm1(h) sigma_s^2)

Source: Ho et al. 2020 (arXiv:2006.11239), eqs. 2, 4, 6, 7; the form in log_snr is that of Kingma et
al. 2021 (arXiv:2107.00630), appendix A.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, DTypeLike

from jaxcalo.diffusion.schedules import NoiseSchedule
from jaxcalo.typing import Event, Key, Scalar


class Gaussian(NamedTuple):
    """A normal distribution with independent components; variance broadcasts against mean."""

    mean: Array
    variance: Array


def randn(key: Key, shape: tuple[int, ...], dtype: DTypeLike = float) -> Array:
    """Return standard normal noise: the values of `jax.random.normal`, drawn flat, then reshaped.

    The index arithmetic of an N-d draw takes seconds to compile on CPU; a flat draw does not.
    """
    return jax.random.normal(key, (math.prod(shape),), dtype).reshape(shape)


def q_sample(key: Key, schedule: NoiseSchedule, x_0: Event, t: Scalar) -> tuple[Event, Event]:
    """Noise an event: x_t = alpha_t x_0 + sigma_t eps.

    Args:
        key: one typed key.
        schedule: the noise schedule.
        x_0: one event.
        t: the time.

    Returns:
        x_t and the eps within it.

    Source: Ho et al. 2020 (arXiv:2006.11239), eq. 4.
    """
    eps = randn(key, x_0.shape, x_0.dtype)
    return schedule.alpha(t) * x_0 + schedule.sigma(t) * eps, eps


def q_transition(schedule: NoiseSchedule, s: Scalar, t: Scalar) -> tuple[Scalar, Scalar]:
    """Return (alpha_ts, variance) of the forward step x_t = alpha_ts x_s + sqrt(variance) eps.

    alpha_ts = alpha_t / alpha_s; variance = -expm1(h) sigma_t^2, which is DDPM's beta,
    1 - alpha_ts^2, where variance is preserved.

    Source: Ho et al. 2020 (arXiv:2006.11239), eq. 2.
    """
    h = schedule.log_snr(t) - schedule.log_snr(s)
    return schedule.alpha(t) / schedule.alpha(s), -jnp.expm1(h) * schedule.sigma(t) ** 2


def q_step(key: Key, schedule: NoiseSchedule, x_s: Event, s: Scalar, t: Scalar) -> Event:
    """Draw x_t ~ q(x_t | x_s), one step of the forward chain from s to t > s."""
    alpha_ts, variance = q_transition(schedule, s, t)
    return alpha_ts * x_s + jnp.sqrt(variance) * randn(key, x_s.shape, x_s.dtype)


def q_posterior(schedule: NoiseSchedule, x_0: Event, x_t: Event, s: Scalar, t: Scalar) -> Gaussian:
    """Return q(x_s | x_t, x_0) for s < t, the step back when the data are known.

    Source: Ho et al. 2020 (arXiv:2006.11239), eqs. 6 and 7.
    """
    h = schedule.log_snr(t) - schedule.log_snr(s)
    alpha_s = schedule.alpha(s)
    mean = jnp.exp(h) * alpha_s / schedule.alpha(t) * x_t - jnp.expm1(h) * alpha_s * x_0
    return Gaussian(mean, -jnp.expm1(h) * schedule.sigma(s) ** 2)


def p_transition(
    schedule: NoiseSchedule,
    x_0_hat: Event,
    x_t: Event,
    s: Scalar,
    t: Scalar,
    variance_fraction: Event | float,
) -> Gaussian:
    """Return the model's step back p(x_s | x_t): the posterior's mean at x_0_hat, and a variance.

    log variance = v log(beta) + (1 - v) log(btilde), where btilde = -expm1(h) sigma_s^2 is the
    variance of the posterior and beta = btilde (1 + SNR_s) / (1 + SNR_t): the lower and the upper
    bound on the variance of the true reverse step for data of unit variance. Where variance is
    preserved, beta = -expm1(h) sigma_t^2, the variance of the forward step.

    Args:
        schedule: the noise schedule.
        x_0_hat: the denoiser's answer at (x_t, t).
        x_t: the noised event.
        s: the time to go to.
        t: the time of x_t, above s.
        variance_fraction: v in [0, 1], one number or one a component.

    Returns:
        The Gaussian, with the shape of v in its variance.

    Source: Ho et al. 2020 (arXiv:2006.11239), section 3.2; Nichol and Dhariwal 2021
    (arXiv:2102.09672), eq. 15.
    """
    posterior = q_posterior(schedule, x_0_hat, x_t, s, t)
    widening = jax.nn.softplus(schedule.log_snr(s)) - jax.nn.softplus(schedule.log_snr(t))
    return posterior._replace(variance=posterior.variance * jnp.exp(variance_fraction * widening))


def kl_divergence(p: Gaussian, q: Gaussian) -> Scalar:
    """Return KL(p || q) in nats, summed over the components.

    (1/2) sum [r - 1 - log r + (mean_p - mean_q)^2 / variance_q],  r = variance_p / variance_q.
    """
    ratio = p.variance / q.variance
    terms = ratio - 1 - jnp.log(ratio) + (p.mean - q.mean) ** 2 / q.variance
    return 0.5 * jnp.sum(terms)
