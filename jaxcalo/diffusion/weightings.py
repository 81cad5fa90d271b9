"""Weights of the loss along the noise levels, on the squared error in the space of x_0.

    loss(t) = w(log_snr(t)) |x_0_hat - x_0|^2

A weighting gives log w, so that the loss can add it to log(c_out^2) before the exponential and stay
finite where one of the two is huge and the other tiny.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import jax.numpy as jnp

from jaxcalo.typing import Scalar


class Weighting(Protocol):
    """A weight on |x_0_hat - x_0|^2."""

    def log_weight(self, log_snr: Scalar) -> Scalar:
        """Return log w at a noise level."""
        ...


@dataclass(frozen=True)
class Unit:
    """w = 1: every noise level counts by its error on x_0."""

    def log_weight(self, log_snr: Scalar) -> Scalar:
        """Return 0."""
        return jnp.zeros_like(log_snr)


@dataclass(frozen=True)
class Snr:
    """w = SNR: the loss is |eps - eps_hat|^2, DDPM's L_simple, whatever the network predicts.

    Source: Ho et al. 2020 (arXiv:2006.11239), eq. 14.
    """

    def log_weight(self, log_snr: Scalar) -> Scalar:
        """Return log_snr."""
        return log_snr


@dataclass(frozen=True)
class MinSnr:
    """w = min(SNR, gamma): L_simple, with the nearly clean events held back.

    Args:
        gamma: the cap on the SNR; 5 is the paper's.

    Source: Hang et al. 2023 (arXiv:2303.09556), section 3.4.
    """

    gamma: float = 5.0

    def log_weight(self, log_snr: Scalar) -> Scalar:
        """Return min(log_snr, log gamma)."""
        return jnp.minimum(log_snr, math.log(self.gamma))


@dataclass(frozen=True)
class EDMWeight:
    """w = SNR + 1 / sigma_data^2: the loss on the output of an `EDM` network has weight 1.

    Args:
        sigma_data: standard deviation of the preprocessed events, as in `EDM`.

    Source: Karras et al. 2022 (arXiv:2206.00364), table 1 (lambda), appendix B.6.
    """

    sigma_data: float = 1.0

    def log_weight(self, log_snr: Scalar) -> Scalar:
        """Return log(SNR + 1 / sigma_data^2)."""
        return jnp.logaddexp(log_snr, -2 * math.log(self.sigma_data))
