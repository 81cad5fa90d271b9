"""Noise schedules: how much signal and noise an event holds at time t in [0, 1].

    x_t = alpha(t) x_0 + sigma(t) eps,   eps ~ N(0, 1),   log_snr(t) = log(alpha^2 / sigma^2)

t = 0 is data, t = 1 is noise. log_snr is finite on the whole of [0, 1], so nothing downstream
divides by zero at an end.

Most schedules preserve variance, alpha^2 + sigma^2 = 1, so log_snr says everything: alpha^2 =
sigmoid(log_snr), sigma^2 = sigmoid(-log_snr). That is how they compute alpha and sigma, because
float32 keeps the small one of the two only in this form. But not all do (`VarianceExploding`,
`flow_matching.RectifiedFlow`): code that takes any schedule may not rely on it, and starts the way
back from noise of the width `prior_std`.

DDPM's alpha_bar is alpha^2. A DDPM with T steps is the schedule on the grid t_i = i / T, with
beta_i = 1 - (alpha(t_i) / alpha(t_{i-1}))^2.

Source: Ho et al. 2020 (arXiv:2006.11239); Kingma et al. 2021 (arXiv:2107.00630), section 3.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import jax
import jax.numpy as jnp

from jaxcalo.errors import InputError
from jaxcalo.typing import Scalar


class NoiseSchedule(Protocol):
    """Signal and noise as functions of time; every method is elementwise in its argument."""

    def alpha(self, t: Scalar) -> Scalar:
        """Return the factor of the data in x_t."""
        ...

    def sigma(self, t: Scalar) -> Scalar:
        """Return the standard deviation of the noise in x_t, above zero on [0, 1]."""
        ...

    def log_snr(self, t: Scalar) -> Scalar:
        """Return log(alpha^2 / sigma^2), finite and strictly decreasing on [0, 1]."""
        ...

    def inverse_log_snr(self, log_snr: Scalar) -> Scalar:
        """Return the time at which the schedule has this log_snr."""
        ...


def prior_std(schedule: NoiseSchedule) -> Scalar:
    """Return sqrt(alpha(1)^2 + sigma(1)^2), the width of x_1 for data of unit variance.

    x_1 ~ N(0, prior_std^2) is where generation starts: 1 where variance is preserved.
    """
    end = jnp.ones(())
    return jnp.sqrt(schedule.alpha(end) ** 2 + schedule.sigma(end) ** 2)


@jax.custom_jvp
def alpha_from_log_snr(log_snr: Scalar) -> Scalar:
    """Return alpha = sqrt(sigmoid(log_snr)) of a variance-preserving schedule."""
    return jnp.sqrt(jax.nn.sigmoid(log_snr))


@jax.custom_jvp
def sigma_from_log_snr(log_snr: Scalar) -> Scalar:
    """Return sigma = sqrt(sigmoid(-log_snr)) of a variance-preserving schedule."""
    return jnp.sqrt(jax.nn.sigmoid(-log_snr))


# d alpha = alpha sigma^2 / 2 and d sigma = -sigma alpha^2 / 2: JAX's own rule writes that sigma^2
# as 1 - sigmoid(log_snr), of which float32 keeps one digit at log_snr = 15.
alpha_from_log_snr.defjvps(lambda d, alpha, log_snr: alpha * jax.nn.sigmoid(-log_snr) / 2 * d)
sigma_from_log_snr.defjvps(lambda d, sigma, log_snr: -sigma * jax.nn.sigmoid(log_snr) / 2 * d)


@dataclass(frozen=True)
class Cosine:
    """The cosine schedule: alpha = cos(angle), sigma = sin(angle), the angle affine in t.

    angle(t) = (1 - t) angle_0 + t angle_1,  tan(angle_0) = exp(-log_snr_max / 2) and
    tan(angle_1) = exp(-log_snr_min / 2). The two bounds take the place of the offset and the
    clipped beta of the discrete form.

    Args:
        log_snr_min: log_snr at t = 1; -10 is chosen, it is where Ho's linear schedule ends.
        log_snr_max: log_snr at t = 0; 15 is chosen, it leaves noise of 6e-4 of the data's width.

    Raises:
        InputError: if log_snr_min is not below log_snr_max.

    Source: Nichol and Dhariwal 2021 (arXiv:2102.09672), eq. 17; the bounded continuous form is
    that of Hoogeboom et al. 2023 (arXiv:2301.11093), section 2.
    """

    log_snr_min: float = -10.0
    log_snr_max: float = 15.0

    def __post_init__(self):
        _check_bounds(self.log_snr_min, self.log_snr_max)

    def log_snr(self, t: Scalar) -> Scalar:
        """Return 2 log(sin(pi/2 - angle) / sin(angle)).

        Both angles are interpolated on their own, so that neither end loses digits to pi/2 - angle.
        """
        angle = (1 - t) * _angle(self.log_snr_max) + t * _angle(self.log_snr_min)
        complement = (1 - t) * _angle(-self.log_snr_max) + t * _angle(-self.log_snr_min)
        return 2 * jnp.log(jnp.sin(complement) / jnp.sin(angle))

    def inverse_log_snr(self, log_snr: Scalar) -> Scalar:
        """Return (angle - angle_0) / (angle_1 - angle_0) with angle = arctan(exp(-log_snr/2))."""
        angle_0, angle_1 = _angle(self.log_snr_max), _angle(self.log_snr_min)
        return (jnp.arctan(jnp.exp(-log_snr / 2)) - angle_0) / (angle_1 - angle_0)

    def alpha(self, t: Scalar) -> Scalar:
        """Return the factor of the data in x_t."""
        return alpha_from_log_snr(self.log_snr(t))

    def sigma(self, t: Scalar) -> Scalar:
        """Return the standard deviation of the noise in x_t."""
        return sigma_from_log_snr(self.log_snr(t))


@dataclass(frozen=True)
class Linear:
    """The linear schedule: the continuous limit of a beta that grows linearly with the step.

    alpha(t)^2 = exp(-B(u)),  B(u) = beta_min u + (beta_max - beta_min) u^2 / 2,
    u = u_0 + (1 - u_0) t. The offset u_0 (3e-6 by default) is where log_snr is log_snr_max; without
    it sigma(0) would be zero. T steps of the discrete chain have beta_i near
    (beta_min + (beta_max - beta_min) i / T) / T: the defaults are Ho's 1e-4 ... 0.02 at T = 1000.

    Args:
        beta_min: rate of noise at t = 0.
        beta_max: rate of noise at t = 1.
        log_snr_max: log_snr at t = 0; 15 is chosen, as in `Cosine`.

    Raises:
        InputError: if not 0 < beta_min < beta_max, or if log_snr_max is not reached on [0, 1].

    Source: Ho et al. 2020 (arXiv:2006.11239), section 4; Song et al. 2021 (arXiv:2011.13456),
    eq. 33.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0
    log_snr_max: float = 15.0

    def __post_init__(self):
        if not 0 < self.beta_min < self.beta_max:
            raise InputError(
                "Linear schedule: expected 0 < beta_min < beta_max, found "
                f"beta_min={self.beta_min}, beta_max={self.beta_max}; change one of them."
            )
        log_snr_min = -math.log(math.expm1((self.beta_min + self.beta_max) / 2))
        _check_bounds(log_snr_min, self.log_snr_max)

    @property
    def _offset(self) -> float:
        integral = math.log1p(math.exp(-self.log_snr_max))
        slope = self.beta_max - self.beta_min
        return 2 * integral / (self.beta_min + math.sqrt(self.beta_min**2 + 2 * slope * integral))

    def log_snr(self, t: Scalar) -> Scalar:
        """Return -log(exp(B) - 1)."""
        u = self._offset + (1 - self._offset) * t
        integral = self.beta_min * u + (self.beta_max - self.beta_min) * u**2 / 2
        return -jnp.log(jnp.expm1(integral))

    def inverse_log_snr(self, log_snr: Scalar) -> Scalar:
        """Return the root of the quadratic B(u) = log(1 + exp(-log_snr)), in its stable form."""
        integral = jax.nn.softplus(-log_snr)
        slope = self.beta_max - self.beta_min
        u = 2 * integral / (self.beta_min + jnp.sqrt(self.beta_min**2 + 2 * slope * integral))
        return (u - self._offset) / (1 - self._offset)

    def alpha(self, t: Scalar) -> Scalar:
        """Return the factor of the data in x_t."""
        return alpha_from_log_snr(self.log_snr(t))

    def sigma(self, t: Scalar) -> Scalar:
        """Return the standard deviation of the noise in x_t."""
        return sigma_from_log_snr(self.log_snr(t))


@dataclass(frozen=True)
class Sigmoid:
    """The sigmoid schedule: alpha^2 falls along a piece of the logistic curve.

    alpha(t)^2 = a_1 + (a_0 - a_1) f(t),
    f(t) = (S(end) - S(start + (end - start) t)) / (S(end) - S(start)),  S(x) = sigmoid(x / tau),
    with a_0 = sigmoid(log_snr_max) and a_1 = sigmoid(log_snr_min) in place of a clip. Differences
    of S are written as S(x) - S(y) = sinh((x - y) / 2) / (2 cosh(x / 2) cosh(y / 2)) (tau = 1),
    which cancels nothing.

    Args:
        start: argument of the logistic curve at t = 0.
        end: argument of the logistic curve at t = 1.
        tau: its temperature.
        log_snr_min: log_snr at t = 1; chosen, as in `Cosine`.
        log_snr_max: log_snr at t = 0; chosen, as in `Cosine`.

    Raises:
        InputError: if start is not below end, tau not above 0, or the bounds are not in order.

    Source: Jabri et al. 2022 (arXiv:2212.11972), appendix; Chen 2023 (arXiv:2301.10972).
    """

    start: float = -3.0
    end: float = 3.0
    tau: float = 1.0
    log_snr_min: float = -10.0
    log_snr_max: float = 15.0

    def __post_init__(self):
        _check_bounds(self.log_snr_min, self.log_snr_max)
        if not (self.start < self.end and self.tau > 0):
            raise InputError(
                "Sigmoid schedule: expected start < end and tau > 0, found "
                f"start={self.start}, end={self.end}, tau={self.tau}; change one of them."
            )

    @property
    def _ends(self) -> tuple[float, float]:
        return self.start / self.tau, self.end / self.tau

    def log_snr(self, t: Scalar) -> Scalar:
        """Return log(alpha^2) - log(sigma^2), each from its own cancellation-free difference."""
        start, end = self._ends
        width = end - start
        scale = jnp.cosh((start + width * t) / 2) * math.sinh(width / 2)
        falling = jnp.sinh((1 - t) * width / 2) * math.cosh(start / 2) / scale
        rising = jnp.sinh(t * width / 2) * math.cosh(end / 2) / scale
        a_0, a_1 = _sigmoid(self.log_snr_max), _sigmoid(self.log_snr_min)
        signal = a_1 + (a_0 - a_1) * falling
        noise = _sigmoid(-self.log_snr_max) + (a_0 - a_1) * rising
        return jnp.log(signal / noise)

    def inverse_log_snr(self, log_snr: Scalar) -> Scalar:
        """Return log((p + e^(w/2) q) / (p + e^(-w/2) q)) / w with w = (end - start) / tau.

        p = f cosh(end / 2) and q = (1 - f) cosh(start / 2), in units of tau.
        """
        start, end = self._ends
        half = (end - start) / 2
        p = (jax.nn.sigmoid(log_snr) - _sigmoid(self.log_snr_min)) * math.cosh(end / 2)
        q = (jax.nn.sigmoid(-log_snr) - _sigmoid(-self.log_snr_max)) * math.cosh(start / 2)
        return jnp.log1p(2 * math.sinh(half) * q / (p + math.exp(-half) * q)) / (2 * half)

    def alpha(self, t: Scalar) -> Scalar:
        """Return the factor of the data in x_t."""
        return alpha_from_log_snr(self.log_snr(t))

    def sigma(self, t: Scalar) -> Scalar:
        """Return the standard deviation of the noise in x_t."""
        return sigma_from_log_snr(self.log_snr(t))


@dataclass(frozen=True)
class VarianceExploding:
    """The variance-exploding schedule: the data stay as they are and the noise grows over them.

    alpha = 1,  sigma(t) = sigma_min^(1 - t) sigma_max^t.

    Args:
        sigma_min: noise at t = 0; 1e-3 is chosen, half the paper's, because the events are
            standardised to width 1 and the paper's data to 0.5.
        sigma_max: noise at t = 1; 80 is the paper's.

    Raises:
        InputError: if not 0 < sigma_min < sigma_max.

    Source: Song et al. 2021 (arXiv:2011.13456), eq. 31; Karras et al. 2022 (arXiv:2206.00364),
    table 1.
    """

    sigma_min: float = 1e-3
    sigma_max: float = 80.0

    def __post_init__(self):
        if not 0 < self.sigma_min < self.sigma_max:
            raise InputError(
                "VarianceExploding schedule: expected 0 < sigma_min < sigma_max, found "
                f"sigma_min={self.sigma_min}, sigma_max={self.sigma_max}; change one of them."
            )

    def _log_sigma(self, t: Scalar) -> Scalar:
        return (1 - t) * math.log(self.sigma_min) + t * math.log(self.sigma_max)

    def log_snr(self, t: Scalar) -> Scalar:
        """Return -2 log(sigma), affine in t."""
        return -2 * self._log_sigma(t)

    def inverse_log_snr(self, log_snr: Scalar) -> Scalar:
        """Return (log(sigma) - log(sigma_min)) / log(sigma_max / sigma_min)."""
        log_min, log_max = math.log(self.sigma_min), math.log(self.sigma_max)
        return (-log_snr / 2 - log_min) / (log_max - log_min)

    def alpha(self, t: Scalar) -> Scalar:
        """Return 1."""
        return jnp.ones_like(self._log_sigma(t))

    def sigma(self, t: Scalar) -> Scalar:
        """Return the standard deviation of the noise in x_t."""
        return jnp.exp(self._log_sigma(t))


@dataclass(frozen=True)
class Shifted:
    """Another schedule with its log_snr moved: more noise (shift < 0) at every time, or less.

    log_snr(t) = schedule.log_snr(t) + log_snr_shift. Neighbouring voxels share their information,
    so an event of d^2 of them needs 2 log(d_0 / d) to hide as much as one of d_0^2. It preserves
    variance whether or not the other schedule does.

    Source: Hoogeboom et al. 2023 (arXiv:2301.11093), section 3.1.
    """

    schedule: NoiseSchedule
    log_snr_shift: float

    def log_snr(self, t: Scalar) -> Scalar:
        """Return the moved log_snr."""
        return self.schedule.log_snr(t) + self.log_snr_shift

    def inverse_log_snr(self, log_snr: Scalar) -> Scalar:
        """Return the time at which the moved schedule has this log_snr."""
        return self.schedule.inverse_log_snr(log_snr - self.log_snr_shift)

    def alpha(self, t: Scalar) -> Scalar:
        """Return the factor of the data in x_t."""
        return alpha_from_log_snr(self.log_snr(t))

    def sigma(self, t: Scalar) -> Scalar:
        """Return the standard deviation of the noise in x_t."""
        return sigma_from_log_snr(self.log_snr(t))


def _angle(log_snr: float) -> float:
    return math.atan(math.exp(-log_snr / 2))


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def _check_bounds(log_snr_min: float, log_snr_max: float):
    if not log_snr_min < log_snr_max:
        raise InputError(
            "Noise schedule: expected log_snr at t=1 below log_snr at t=0, found "
            f"{log_snr_min:.4g} and {log_snr_max:.4g}; move one of the bounds."
        )
