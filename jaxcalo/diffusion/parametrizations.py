"""What the network predicts: four numbers between its output F and the denoised event.

    x_0_hat = c_skip x_t + c_out F(c_in x_t, c_noise)

so that its regression target is (x_0 - c_skip x_t) / c_out. Samplers, losses and guidance see only
the denoiser (x_t, t, cond) -> x_0_hat and never ask which parametrization made it.

All are written for any (alpha, sigma). Inputs are scaled to unit variance for data of unit variance
(of sigma_data for `EDM`), and c_noise = log(sigma / alpha) / 4 for all, so that a network may be
retrained under another parametrization without a change.

Source: Karras et al. 2022 (arXiv:2206.00364), table 1 and appendix B.6.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp

from jaxcalo.diffusion.schedules import NoiseSchedule
from jaxcalo.typing import Cond, Conds, Event, Events, Params, Scalar

DenoiserFn = Callable[[Event, Scalar, Cond], Event]
"""(x_t, t, cond) -> x_0_hat, for one event."""

VarianceDenoiserFn = Callable[[Event, Scalar, Cond], tuple[Event, Event]]
"""(x_t, t, cond) -> (x_0_hat, variance fraction in [0, 1]), for one event."""

NetFn = Callable[[Params, Events, Scalar, Conds], Events]
"""(params, x (b, n), c_noise (b,), cond (b, c)) -> F (b, n), for a batch."""


class Coefficients(NamedTuple):
    """The four numbers of x_0_hat = c_skip x_t + c_out F(c_in x_t, c_noise)."""

    c_skip: Scalar
    c_out: Scalar
    c_in: Scalar
    c_noise: Scalar


class Parametrization(Protocol):
    """A choice of what the network predicts."""

    def coefficients(self, alpha: Scalar, sigma: Scalar) -> Coefficients:
        """Return the four numbers at the noise level (alpha > 0, sigma > 0)."""
        ...


@dataclass(frozen=True)
class EpsPrediction:
    """F predicts the noise: x_0 = (x_t - sigma F) / alpha.

    Source: Ho et al. 2020 (arXiv:2006.11239), eq. 11.
    """

    def coefficients(self, alpha: Scalar, sigma: Scalar) -> Coefficients:
        """Return the four numbers."""
        return Coefficients(1 / alpha, -sigma / alpha, _c_in(alpha, sigma), _c_noise(alpha, sigma))


@dataclass(frozen=True)
class X0Prediction:
    """F predicts the event itself: x_0 = F."""

    def coefficients(self, alpha: Scalar, sigma: Scalar) -> Coefficients:
        """Return the four numbers."""
        one = jnp.ones_like(alpha)
        return Coefficients(0 * one, one, _c_in(alpha, sigma), _c_noise(alpha, sigma))


@dataclass(frozen=True)
class VPrediction:
    """F predicts v = alpha eps - sigma x_0: x_0 = (alpha x_t - sigma F) / (alpha^2 + sigma^2).

    Source: Salimans and Ho 2022 (arXiv:2202.00512), section 4.
    """

    def coefficients(self, alpha: Scalar, sigma: Scalar) -> Coefficients:
        """Return the four numbers."""
        total = alpha**2 + sigma**2
        return Coefficients(
            alpha / total, -sigma / total, _c_in(alpha, sigma), _c_noise(alpha, sigma)
        )


@dataclass(frozen=True)
class ScorePrediction:
    """F predicts the score, the gradient of log q(x_t): x_0 = (x_t + sigma^2 F) / alpha.

    Source: Song et al. 2021 (arXiv:2011.13456), eq. 7.
    """

    def coefficients(self, alpha: Scalar, sigma: Scalar) -> Coefficients:
        """Return the four numbers."""
        c_in, c_noise = _c_in(alpha, sigma), _c_noise(alpha, sigma)
        return Coefficients(1 / alpha, sigma**2 / alpha, c_in, c_noise)


@dataclass(frozen=True)
class EDM:
    """F has input and target of unit variance at every noise level.

    With y = x_t / alpha and noise k = sigma / alpha:
    x_0 = sigma_data^2 / (k^2 + sigma_data^2) y + k sigma_data / sqrt(k^2 + sigma_data^2) F,
    c_in = 1 / sqrt(k^2 + sigma_data^2) on y. With sigma_data = 1 and preserved variance, F = -v.

    Args:
        sigma_data: standard deviation of the preprocessed events; 1 because they are standardised.

    Source: Karras et al. 2022 (arXiv:2206.00364), table 1.
    """

    sigma_data: float = 1.0

    def coefficients(self, alpha: Scalar, sigma: Scalar) -> Coefficients:
        """Return the four numbers, multiplied out so that they act on x_t."""
        total = sigma**2 + (self.sigma_data * alpha) ** 2
        return Coefficients(
            c_skip=self.sigma_data**2 * alpha / total,
            c_out=sigma * self.sigma_data / jnp.sqrt(total),
            c_in=1 / jnp.sqrt(total),
            c_noise=_c_noise(alpha, sigma),
        )


def _c_in(alpha: Scalar, sigma: Scalar) -> Scalar:
    return 1 / jnp.sqrt(alpha**2 + sigma**2)


def _c_noise(alpha: Scalar, sigma: Scalar) -> Scalar:
    return jnp.log(sigma / alpha) / 4


def make_denoiser(
    net_fn: NetFn, params: Params, schedule: NoiseSchedule, parametrization: Parametrization
) -> DenoiserFn:
    """Make the denoiser of one event from a batch-first network.

    Args:
        net_fn: net_fn(params, x (b, n), c_noise (b,), cond (b, c)) -> F (b, n).
        params: the network's parameters.
        schedule: the schedule the network was trained with.
        parametrization: the parametrization it was trained with.

    Returns:
        The function (x_t, t, cond) -> x_0_hat.
    """

    def denoise(x_t: Event, t: Scalar, cond: Cond) -> Event:
        c, output = _evaluate(net_fn, params, schedule, parametrization, x_t, t, cond)
        return c.c_skip * x_t + c.c_out * output

    return denoise


def make_variance_denoiser(
    net_fn: NetFn, params: Params, schedule: NoiseSchedule, parametrization: Parametrization
) -> VarianceDenoiserFn:
    """Make the denoiser of one event from a network that also learned the reverse variance.

    Args:
        net_fn: as in `make_denoiser`, with an output (b, 2 n): F, then the logits of the fraction.
        params: the network's parameters.
        schedule: the schedule the network was trained with.
        parametrization: the parametrization it was trained with.

    Returns:
        The function (x_t, t, cond) -> (x_0_hat, fraction); `kernels.p_transition` says what the
        fraction is.

    Source: Nichol and Dhariwal 2021 (arXiv:2102.09672), section 3.1.
    """

    def denoise(x_t: Event, t: Scalar, cond: Cond) -> tuple[Event, Event]:
        c, output = _evaluate(net_fn, params, schedule, parametrization, x_t, t, cond)
        prediction, fraction = split_variance_output(output)
        return c.c_skip * x_t + c.c_out * prediction, fraction

    return denoise


def split_variance_output(output: Event) -> tuple[Event, Event]:
    """Split the (2 n,) output of a network with learned variance into F and the fraction."""
    prediction, logits = jnp.split(output, 2)
    return prediction, jax.nn.sigmoid(logits)


def fix_variance(denoiser: DenoiserFn, variance_fraction: float) -> VarianceDenoiserFn:
    """Give a plain denoiser a fixed variance fraction: 0 is the posterior's variance, 1 is beta."""

    def denoise(x_t: Event, t: Scalar, cond: Cond) -> tuple[Event, Event]:
        x_0_hat = denoiser(x_t, t, cond)
        return x_0_hat, jnp.asarray(variance_fraction, x_0_hat.dtype)

    return denoise


def _evaluate(net_fn, params, schedule, parametrization, x_t, t, cond):
    c = parametrization.coefficients(schedule.alpha(t), schedule.sigma(t))
    output = net_fn(params, (c.c_in * x_t)[None], c.c_noise[None], cond[None])[0]
    return c, output


def eps_from_x_0(x_0: Event, x_t: Event, alpha: Scalar, sigma: Scalar) -> Event:
    """Return eps = (x_t - alpha x_0) / sigma."""
    return (x_t - alpha * x_0) / sigma


def x_0_from_eps(eps: Event, x_t: Event, alpha: Scalar, sigma: Scalar) -> Event:
    """Return x_0 = (x_t - sigma eps) / alpha."""
    return (x_t - sigma * eps) / alpha


def score_from_x_0(x_0: Event, x_t: Event, alpha: Scalar, sigma: Scalar) -> Event:
    """Return the score (alpha x_0 - x_t) / sigma^2, which is -eps / sigma."""
    return (alpha * x_0 - x_t) / sigma**2


def x_0_from_score(score: Event, x_t: Event, alpha: Scalar, sigma: Scalar) -> Event:
    """Return x_0 = (x_t + sigma^2 score) / alpha."""
    return (x_t + sigma**2 * score) / alpha
