"""Training losses and the variational bound, for one event; the mean over a batch is the caller's.

The bound is that of a chain on a grid of times, in nats per component:

    -log p(x_0) <= KL(q(x_1 | x_0) || N(0, prior_std^2))              prior, L_T
                   + sum E KL(q(x_s | x_t, x_0) || p(x_s | x_t))      transitions, s > 0
                   - E log N(x_0; x_0_hat(x_t), sigma_t^2 / alpha_t^2)    decoder, L_0

The last step of the grid, from its smallest t > 0 to the data, is the decoder: the posterior's
variance vanishes there and cannot be that of a model. What stands in its place is the width of x_0
given x_t alone, which is exact when the noise at that t is finer than any structure in the data.

Source: Ho et al. 2020 (arXiv:2006.11239), eq. 5; Kingma et al. 2021 (arXiv:2107.00630), eq. 11.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcalo.diffusion.kernels import Gaussian, kl_divergence, q_sample
from jaxcalo.diffusion.parametrizations import (
    Parametrization,
    VarianceDenoiserFn,
    split_variance_output,
)
from jaxcalo.diffusion.schedules import NoiseSchedule, prior_std
from jaxcalo.diffusion.time_grids import Times
from jaxcalo.diffusion.weightings import Snr, Weighting
from jaxcalo.typing import Cond, Event, Key, Scalar


def denoising_loss(
    parametrization: Parametrization,
    weighting: Weighting,
    schedule: NoiseSchedule,
    x_0: Event,
    x_t: Event,
    t: Scalar,
    output: Event,
) -> Scalar:
    """Return the weighted squared error of the denoised event, from the network's output F.

    w |x_0_hat - x_0|^2 = w c_out^2 |F - target|^2,  target = (x_0 - c_skip x_t) / c_out,
    averaged over the components; w c_out^2 is one exponential of a sum of logarithms.

    Args:
        parametrization: what F predicts.
        weighting: w as a function of log_snr.
        schedule: the noise schedule.
        x_0: one event.
        x_t: the event noised by `q_sample`.
        t: its time.
        output: F, the network's answer to (c_in x_t, c_noise, cond).

    Returns:
        The loss.

    Source: Ho et al. 2020 (arXiv:2006.11239), eq. 14; Karras et al. 2022 (arXiv:2206.00364), eq. 8.
    """
    c = parametrization.coefficients(schedule.alpha(t), schedule.sigma(t))
    target = (x_0 - c.c_skip * x_t) / c.c_out
    log_scale = weighting.log_weight(schedule.log_snr(t)) + 2 * jnp.log(jnp.abs(c.c_out))
    return jnp.exp(log_scale) * jnp.mean((output - target) ** 2)


def hybrid_loss(
    parametrization: Parametrization,
    schedule: NoiseSchedule,
    x_0: Event,
    x_t: Event,
    t: Scalar,
    output: Event,
    *,
    n_steps: int,
    vlb_weight: float = 1e-3,
) -> Scalar:
    """Return L_simple + vlb_weight L_vlb, which trains the reverse variance beside the mean.

    L_vlb is estimated by the transition t - 1/n_steps <- t times n_steps. The mean is held fixed in
    it, so that it trains the variance alone. The transitions with t < 1/n_steps are shortened to
    end at t = 0; L_0 has no variance to learn.

    Args:
        parametrization: what the first half of the output predicts.
        schedule: the noise schedule.
        x_0: one event (n,).
        x_t: the event noised by `q_sample`.
        t: its time, uniform on [0, 1].
        output: (2 n,): F, then the logits of the variance fraction.
        n_steps: the length of the chain in the bound.
        vlb_weight: the paper's lambda.

    Returns:
        The loss, averaged over the components.

    Source: Nichol and Dhariwal 2021 (arXiv:2102.09672), eq. 16 and section 3.1.
    """
    prediction, fraction = split_variance_output(output)
    simple = denoising_loss(parametrization, Snr(), schedule, x_0, x_t, t, prediction)
    c = parametrization.coefficients(schedule.alpha(t), schedule.sigma(t))
    x_0_hat = jax.lax.stop_gradient(c.c_skip * x_t + c.c_out * prediction)
    s = jnp.maximum(t - 1 / n_steps, 0)
    transition = transition_kl(schedule, x_0, x_0_hat, fraction, s, t)
    return simple + vlb_weight * n_steps * transition


def transition_kl(
    schedule: NoiseSchedule,
    x_0: Event,
    x_0_hat: Event,
    variance_fraction: Event,
    s: Scalar,
    t: Scalar,
) -> Scalar:
    """Return KL(q(x_s | x_t, x_0) || p(x_s | x_t)) in nats per component.

    (1/2) mean [r - 1 - log r + r (SNR_s - SNR_t) (x_0 - x_0_hat)^2],
    log r = v log((1 + SNR_t) / (1 + SNR_s)): `kl_divergence(q_posterior, p_transition)` with x_t
    and the common factor of the two variances cancelled by hand, hence finite at s = t too.

    Args:
        schedule: the noise schedule.
        x_0: one event.
        x_0_hat: its denoised estimate.
        variance_fraction: v of `p_transition`, one number or one a component.
        s: the earlier time.
        t: the later time.

    Returns:
        The divergence.
    """
    log_snr_s, log_snr_t = schedule.log_snr(s), schedule.log_snr(t)
    snr_difference = -jnp.expm1(log_snr_t - log_snr_s) * jnp.exp(log_snr_s)
    narrowing = jax.nn.softplus(log_snr_t) - jax.nn.softplus(log_snr_s)
    log_ratio = variance_fraction * narrowing
    terms = jnp.expm1(log_ratio) - log_ratio
    terms += jnp.exp(log_ratio) * snr_difference * (x_0 - x_0_hat) ** 2
    return 0.5 * jnp.mean(terms)


class VlbTerms(NamedTuple):
    """The terms of the variational bound, in nats per component."""

    prior: Scalar
    transitions: Float[Array, " n_steps-1"]
    decoder: Scalar

    @property
    def total(self) -> Scalar:
        """Return the bound on -log p(x_0)."""
        return self.prior + jnp.sum(self.transitions) + self.decoder


def vlb_terms(
    key: Key,
    schedule: NoiseSchedule,
    denoiser: VarianceDenoiserFn,
    x_0: Event,
    times: Times,
    cond: Cond,
) -> VlbTerms:
    """Return every term of the variational bound, with one noise sample a step.

    Args:
        key: one typed key.
        schedule: the noise schedule.
        denoiser: gives x_0_hat and the variance fraction; `fix_variance` makes one of a plain
            denoiser.
        x_0: one event.
        times: the grid (n_steps + 1,) from 1 to 0.
        cond: its conditions.

    Returns:
        The terms; `.total` is the bound. Divide by log 2 for bits.
    """
    end_key, key = jax.random.split(key)
    index = jnp.arange(len(times) - 2)
    transitions = _transitions(key, schedule, denoiser, x_0, times, cond, index)
    decoder = _decoder(end_key, schedule, denoiser, x_0, times[-2], cond)
    return VlbTerms(_prior(schedule, x_0, times[0]), transitions, decoder)


def estimate_vlb(
    key: Key,
    schedule: NoiseSchedule,
    denoiser: VarianceDenoiserFn,
    x_0: Event,
    times: Times,
    cond: Cond,
    *,
    n_samples: int,
) -> Scalar:
    """Return an unbiased estimate of the variational bound from a few transitions of the grid.

    One transition is drawn from each of n_samples equal parts of the chain, so that each has the
    same chance; prior and decoder are always there.

    Args:
        key: one typed key.
        schedule: the noise schedule.
        denoiser: as in `vlb_terms`; it is evaluated n_samples + 1 times.
        x_0: one event.
        times: the grid (n_steps + 1,) from 1 to 0.
        cond: its conditions.
        n_samples: the number of transitions.

    Returns:
        The bound in nats per component.
    """
    end_key, index_key, key = jax.random.split(key, 3)
    n_transitions = len(times) - 2
    u = (jnp.arange(n_samples) + jax.random.uniform(index_key, (n_samples,))) / n_samples
    # u may round up to 1
    index = jnp.minimum((u * n_transitions).astype(int), n_transitions - 1)
    transitions = _transitions(key, schedule, denoiser, x_0, times, cond, index)
    decoder = _decoder(end_key, schedule, denoiser, x_0, times[-2], cond)
    return _prior(schedule, x_0, times[0]) + n_transitions * jnp.mean(transitions) + decoder


def _transitions(key, schedule, denoiser, x_0, times, cond, index):
    def body(_, step):
        step_key, t, s = step
        x_t, _ = q_sample(step_key, schedule, x_0, t)
        x_0_hat, fraction = denoiser(x_t, t, cond)
        return None, transition_kl(schedule, x_0, x_0_hat, fraction, s, t)

    steps = (jax.random.split(key, len(index)), times[index], times[index + 1])
    return jax.lax.scan(body, None, steps)[1]


def _prior(schedule: NoiseSchedule, x_0: Event, t: Scalar) -> Scalar:
    end = Gaussian(schedule.alpha(t) * x_0, jnp.full_like(x_0, schedule.sigma(t) ** 2))
    start = Gaussian(jnp.zeros_like(x_0), jnp.full_like(x_0, prior_std(schedule) ** 2))
    return kl_divergence(end, start) / x_0.size


def _decoder(key, schedule, denoiser, x_0, t, cond):
    x_t, _ = q_sample(key, schedule, x_0, t)
    x_0_hat, _ = denoiser(x_t, t, cond)
    log_snr = schedule.log_snr(t)
    squares = jnp.exp(log_snr) * (x_0 - x_0_hat) ** 2
    return 0.5 * jnp.mean(math.log(2 * math.pi) - log_snr + squares)
