"""Flow matching: straight paths from data to noise, and a network that learns their velocity.

    x_tau = (1 - tau) x_0 + tau eps,   dx/dtau = eps - x_0

It is one more member of each part: a schedule, a parametrization and a weighting. Everything else
(kernels, losses, samplers, guidance) is shared; `Ddim` on this schedule is the Euler step of the
velocity. `pair_by_transport` chooses which eps goes to which event, so that the paths of a batch
cross less.

Source: Lipman et al. 2023 (arXiv:2210.02747); Liu et al. 2023 (arXiv:2209.03003).
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from jaxcalo.diffusion.parametrizations import Coefficients, X0Prediction
from jaxcalo.errors import InputError
from jaxcalo.typing import Conds, Events, Key, Scalar


@dataclass(frozen=True)
class RectifiedFlow:
    """The straight path: alpha = 1 - tau, sigma = tau, with tau affine in t.

    tau(t) = (1 - t) tau_0 + t tau_1,  log_snr = 2 log((1 - tau) / tau), where tau_0 and tau_1 have
    the two bounds as their log_snr. The variance is not preserved: it is 1/2 at tau = 1/2.

    Args:
        log_snr_min: log_snr at t = 1; -16 is chosen: 3e-4 of the data is left there.
        log_snr_max: log_snr at t = 0; 15 is chosen, as in `Cosine`.

    Raises:
        InputError: if log_snr_min is not below log_snr_max.

    Source: Liu et al. 2023 (arXiv:2209.03003), eq. 1; the bounds are ours.
    """

    log_snr_min: float = -16.0
    log_snr_max: float = 15.0

    def __post_init__(self):
        if not self.log_snr_min < self.log_snr_max:
            raise InputError(
                "RectifiedFlow schedule: expected log_snr_min < log_snr_max, found "
                f"{self.log_snr_min} and {self.log_snr_max}; move one of them."
            )

    def alpha(self, t: Scalar) -> Scalar:
        """Return 1 - tau, interpolated on its own so that it keeps its digits at t = 1."""
        return (1 - t) * _sigma_at(-self.log_snr_max) + t * _sigma_at(-self.log_snr_min)

    def sigma(self, t: Scalar) -> Scalar:
        """Return tau."""
        return (1 - t) * _sigma_at(self.log_snr_max) + t * _sigma_at(self.log_snr_min)

    def log_snr(self, t: Scalar) -> Scalar:
        """Return 2 log((1 - tau) / tau)."""
        return 2 * jnp.log(self.alpha(t) / self.sigma(t))

    def inverse_log_snr(self, log_snr: Scalar) -> Scalar:
        """Return (tau - tau_0) / (tau_1 - tau_0) with tau = sigmoid(-log_snr / 2)."""
        tau_0, tau_1 = _sigma_at(self.log_snr_max), _sigma_at(self.log_snr_min)
        return (jax.nn.sigmoid(-log_snr / 2) - tau_0) / (tau_1 - tau_0)


@dataclass(frozen=True)
class FlowVelocity:
    """F predicts the velocity eps - x_0: x_0 = (x_t - sigma F) / (alpha + sigma).

    Source: Lipman et al. 2023 (arXiv:2210.02747), eq. 23 with data and noise exchanged.
    """

    def coefficients(self, alpha: Scalar, sigma: Scalar) -> Coefficients:
        """Return the four numbers."""
        total = alpha + sigma
        c = X0Prediction().coefficients(alpha, sigma)
        return c._replace(c_skip=1 / total, c_out=-sigma / total)


@dataclass(frozen=True)
class FlowWeight:
    """w = (1 + alpha / sigma)^2: the loss is |F - (eps - x_0)|^2 for a `FlowVelocity` network.

    Source: Lipman et al. 2023 (arXiv:2210.02747), eq. 23.
    """

    def log_weight(self, log_snr: Scalar) -> Scalar:
        """Return 2 log(1 + exp(log_snr / 2))."""
        return 2 * jax.nn.softplus(log_snr / 2)


def pair_by_transport(
    key: Key,
    x_0: Events,
    eps: Events,
    conds: Conds,
    *,
    condition_weight: float,
    regularisation: float,
    n_iterations: int,
) -> Int[Array, " b"]:
    """Pair the events of a batch with its noise by entropic optimal transport.

    cost_ij = mean |x_0_i - eps_j|^2 + condition_weight |c_i - c_j|^2,
    plan = argmin sum_ij plan_ij (cost_ij + regularisation log plan_ij), rows and columns uniform,
    and event i draws its noise j from row i of the plan. eps_j carries the condition c_j of the
    event it was drawn beside: without that term the noise would depend on the condition, and a
    sampler, which draws it without knowing the condition, would start in the wrong place.

    The plan is found by Sinkhorn's iteration on the logarithms. It ends on the columns, whose
    evenness keeps the paired noise standard normal; rows are normalised by the draw. The terms of
    the cost that belong to one row or one column alone do not change the plan and are left out.

    Args:
        key: one typed key, for the draw.
        x_0: the events (b, n).
        eps: standard normal noise (b, n).
        conds: the conditions (b, c) of the events, in the order of both.
        condition_weight: how strongly the pairs keep to one condition; 0 ignores it, and a large
            one leaves events of different conditions with the noise they came with.
        regularisation: above 0, in units of the cost; small is the best assignment, large a random
            one. The smaller it is against the cost's spread, the more iterations it needs.
        n_iterations: number of Sinkhorn iterations, a Python integer.

    Returns:
        The index (b,): event i is paired with eps[index[i]]. One eps may come twice.

    Raises:
        InputError: if regularisation is not above 0 or n_iterations not at least 1.

    Source: Tong et al. 2024 (arXiv:2302.00482), minibatch transport; Cheng and Schwing 2025
    (arXiv:2503.10636), for the condition; Cuturi 2013 (arXiv:1306.0895), for the iteration.
    """
    if not (regularisation > 0 and n_iterations >= 1):
        raise InputError(
            "pair_by_transport: expected regularisation > 0 and n_iterations >= 1, found "
            f"{regularisation} and {n_iterations}; raise them."
        )
    log_plan = _log_plan(x_0, eps, conds, condition_weight, regularisation, n_iterations)
    return jax.random.categorical(key, log_plan, axis=1)


def _log_plan(x_0, eps, conds, condition_weight, regularisation, n_iterations):
    """Return the logarithm of the plan (b, b), up to a constant."""
    # "highest": accelerators round the factors of a float32 product to 8 or 10 bits by default
    products = jnp.matmul(x_0, eps.T, precision="highest")
    distances = jnp.sum((conds[:, None] - conds[None]) ** 2, axis=-1)
    cost = condition_weight * distances - 2 / x_0.shape[1] * products
    log_kernel = -cost / regularisation

    def iterate(_, column):
        row = -jax.nn.logsumexp(log_kernel + column, axis=1, keepdims=True)
        return -jax.nn.logsumexp(log_kernel + row, axis=0, keepdims=True)

    column = jax.lax.fori_loop(0, n_iterations, iterate, jnp.zeros_like(cost[:1]))
    return log_kernel + column


def _sigma_at(log_snr: float) -> float:
    return 1 / (1 + math.exp(log_snr / 2))
