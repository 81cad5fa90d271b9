"""The distribution of the noise levels in training.

A distribution is its inverse cumulative function, (u, schedule) -> t, so that the u of a batch can
be spread evenly (`stratified`), which makes the loss of a batch far less noisy than independent u.

Source: Kingma et al. 2021 (arXiv:2107.00630), appendix I.1 (low-discrepancy times).
"""

from dataclasses import dataclass
from typing import Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcalo.diffusion.schedules import NoiseSchedule
from jaxcalo.typing import Key, Scalar


class NoiseLevels(Protocol):
    """A distribution of training times as its inverse cumulative function."""

    def __call__(self, u: Scalar, schedule: NoiseSchedule) -> Scalar:
        """Return the time t in [0, 1] for u uniform on [0, 1)."""
        ...


@dataclass(frozen=True)
class UniformTime:
    """t uniform on [0, 1).

    Source: Ho et al. 2020 (arXiv:2006.11239), algorithm 1.
    """

    def __call__(self, u: Scalar, schedule: NoiseSchedule) -> Scalar:  # noqa: ARG002
        """Return u."""
        return u


@dataclass(frozen=True)
class LogitNormalTime:
    """logit(t) normal: the middle of the chain is trained most.

    Args:
        mean: mean of logit(t).
        std: standard deviation of logit(t).

    Source: Esser et al. 2024 (arXiv:2403.03206), section 3.1.
    """

    mean: float = 0.0
    std: float = 1.0

    def __call__(self, u: Scalar, schedule: NoiseSchedule) -> Scalar:  # noqa: ARG002
        """Return sigmoid(mean + std * quantile(u))."""
        return jax.nn.sigmoid(self.mean + self.std * jax.scipy.special.ndtri(u))


@dataclass(frozen=True)
class LogNormalSigma:
    """log(sigma / alpha) normal: EDM's distribution, the same for every schedule.

    log_snr is clipped to the range of the schedule, because the schedule has no time beyond its
    ends; for the defaults on `Cosine()` that moves fewer than one event in a million.

    Args:
        mean: mean of log(sigma / alpha); -1.2 is the paper's, for sigma_data = 0.5.
        std: standard deviation of log(sigma / alpha); 1.2 is the paper's.

    Source: Karras et al. 2022 (arXiv:2206.00364), table 1.
    """

    mean: float = -1.2
    std: float = 1.2

    def __call__(self, u: Scalar, schedule: NoiseSchedule) -> Scalar:
        """Return the time at which log(sigma / alpha) = mean + std * quantile(u)."""
        log_snr = -2 * (self.mean + self.std * jax.scipy.special.ndtri(u))
        return schedule.inverse_log_snr(
            jnp.clip(log_snr, schedule.log_snr(jnp.ones_like(u)), schedule.log_snr(0 * u))
        )


def stratified(key: Key, n: int) -> Float[Array, " n"]:
    """Return n evenly spread uniform numbers in [0, 1): u_i = (u_0 + i / n) mod 1.

    Each is uniform on its own; together they fall once into every interval of length 1 / n.
    """
    return (jax.random.uniform(key) + jnp.arange(n) / n) % 1
