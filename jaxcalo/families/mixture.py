"""Gaussian mixtures by expectation maximisation, conditions included.

    p(cond, event) = sum_k w_k N([cond, event]; m_k, S_k),    S_k = L_k L_k^T

A step is one iteration of EM on its batch, normally the whole data set. The conditions are the
first components of the joint vector, so the lower triangle L_k also gives the marginal of the
conditions (its first block) and the distribution of the event given them (its last rows).

    E:  r_ik = w_k N(x_i; m_k, S_k) / sum_j w_j N(x_i; m_j, S_j)
    M:  w_k = mean_i r_ik,  m_k = mean of x under r_k,  S_k = covariance under r_k

Sources: Dempster, Laird and Rubin 1977 (EM); Fraley and Raftery 2002
(doi:10.1198/016214502760047131), the forms of S_k; Arthur and Vassilvitskii
2007, k-means++.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.scipy.linalg import solve_triangular

from jaxcalo.diffusion import randn
from jaxcalo.errors import InputError
from jaxcalo.families.base import Encode, GenerativeModel
from jaxcalo.families.process import event_keys
from jaxcalo.training import AXIS, Algorithm, Batch, Metrics, TrainState
from jaxcalo.typing import Cond, Event, Events, Key, Params, Scalar

_LOG_TWO_PI = 1.8378770664093453
# A Gaussian that has lost its events keeps its mean: its sums are divided by this instead of 0.
_SMALLEST_COUNT = 1e-20


@dataclasses.dataclass(frozen=True)
class GaussianMixture:
    """What is fitted.

    Attributes:
        n_gaussians: k.
        covariance: "full": a matrix for each Gaussian; "tied": one matrix for all; "diagonal": a
            variance for each Gaussian and component; "spherical": one for each Gaussian.
        smallest_variance: No Gaussian is narrower than that in any direction, so that none
            collapses on a few events; standardised components squared.

    Raises:
        InputError: No Gaussian, or no positive smallest variance.
    """

    n_gaussians: int = 32
    covariance: Literal["full", "tied", "diagonal", "spherical"] = "full"
    smallest_variance: float = 1e-3

    def __post_init__(self) -> None:
        if not (self.n_gaussians >= 1 and self.smallest_variance > 0.0):
            raise InputError(
                "Gaussian mixture: expected n_gaussians >= 1 and smallest_variance > 0, found "
                f"{self.n_gaussians} and {self.smallest_variance}; choose 32 and 1e-3, say"
            )

    def n_parameters(self, n_dims: int) -> int:
        """Free numbers in dimensions of the joint vector [cond, event]."""
        matrix = n_dims * (n_dims + 1) // 2
        of_covariances = {
            "full": self.n_gaussians * matrix,
            "tied": matrix,
            "diagonal": self.n_gaussians * n_dims,
            "spherical": self.n_gaussians,
        }[self.covariance]
        return self.n_gaussians * (1 + n_dims) - 1 + of_covariances


def mixture(config: GaussianMixture, *, encode: Encode, n_components: int) -> GenerativeModel:
    """Make the generative model.

    The parameters are {"log_weights" (k,), "means" (k, c + n), "factors"}, the factors being L
    (k, c + n, c + n), L (c + n, c + n) if tied, or standard deviations (k, c + n) or (k,). There
    is no average over steps: the average of the states is the last one. The loss of a step is
    -mean log p(cond, event) before it, in nats; it never rises when every batch is the same.

    Args:
        config: What is fitted.
        encode: (key, datum) -> (event, condition).
        n_components: Length n of an event.

    Raises:
        InputError: On initialisation, fewer events in the batch than Gaussians.
    """

    def joint(key: Key, batch: Batch) -> Events:
        events, conds = jax.vmap(encode)(event_keys(key, batch), batch.data)
        return jnp.concatenate([conds, events], axis=1)

    def init(key: Key, batch: Batch) -> TrainState:
        data_key, start_key = jax.random.split(key)
        params = _start(start_key, config, joint(data_key, batch))
        return TrainState(jnp.zeros((), jnp.int32), params, jax.tree.map(jnp.copy, params), ())

    def step(key: Key, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        x = joint(jax.random.fold_in(key, state.step), batch)
        log_joint = _log_joint(config, state.params, x)
        log_p = jax.nn.logsumexp(log_joint, axis=0)
        sums = _moments(config, state.params["means"], x, jnp.exp(log_joint - log_p))
        params = _maximised(config, state.params["means"], lax.psum(sums, AXIS))
        after = TrainState(state.step + 1, params, jax.tree.map(jnp.copy, params), ())
        return after, {"loss": lax.pmean(-jnp.mean(log_p), AXIS)}

    def sample(key: Key, params: Params, cond: Cond) -> Event:
        return _sample(key, config, params, cond, n_components)

    def log_prob(_key: Key, params: Params, event: Event, cond: Cond) -> Scalar:
        return _log_conditional(config, params, jnp.concatenate([cond, event])[None], len(cond))[0]

    return GenerativeModel(Algorithm(init, step), sample, log_prob)


def evaluate_mixture(
    config: GaussianMixture, encode: Encode
) -> Callable[[Key, Params, Any], dict[str, Array]]:
    """The held-out loss.

    Returns:
        (key, params, data with leading axis) -> {"validation_loss", "validation_loss_joint"}: the
        means of -log p(event | cond), which other families have too, and of -log p(cond, event),
        which is fitted; in nats.
    """

    @jax.jit
    def evaluate(key: Key, params: Params, data: Any) -> dict[str, Array]:
        keys = jax.random.split(key, jax.tree.leaves(data)[0].shape[0])
        events, conds = jax.vmap(encode)(keys, data)
        x = jnp.concatenate([conds, events], axis=1)
        log_joint = jax.nn.logsumexp(_log_joint(config, params, x), axis=0)
        return {
            "validation_loss": -jnp.mean(_log_conditional(config, params, x, conds.shape[1])),
            "validation_loss_joint": -jnp.mean(log_joint),
        }

    return evaluate


def _log_joint(config: GaussianMixture, params: Params, x: Array) -> Array:
    """Log [w_k N(x_i; m_k, S_k)], (k, b); of the first components alone if x (b, m) is shorter."""
    m = x.shape[1]

    def of_gaussian(i: Array) -> Array:
        deviation = x - params["means"][i, :m]
        factor = _factor_of(config, params["factors"], i)
        if factor.ndim == 2:
            white = solve_triangular(factor[:m, :m], deviation.T, lower=True)
            log_det = jnp.sum(jnp.log(jnp.diagonal(factor)[:m]))
        else:
            spread = jnp.broadcast_to(factor, params["means"].shape[1:])[:m]
            white, log_det = (deviation / spread).T, jnp.sum(jnp.log(spread))
        return -0.5 * jnp.sum(white**2, axis=0) - log_det

    logs = lax.map(of_gaussian, jnp.arange(config.n_gaussians)) if m else 0.0
    return params["log_weights"][:, None] + logs - 0.5 * m * _LOG_TWO_PI + jnp.zeros(len(x))


def _log_conditional(config: GaussianMixture, params: Params, x: Events, n_conds: int) -> Array:
    """Log p(event | cond) of joint vectors (b, c + n)."""
    both, conds = (
        jax.nn.logsumexp(_log_joint(config, params, part), axis=0) for part in (x, x[:, :n_conds])
    )
    return both - conds


def _sample(
    key: Key, config: GaussianMixture, params: Params, cond: Cond, n_components: int
) -> Event:
    """Draw a Gaussian by its weight given the condition, and the event from it.

    event = m_e + L_ec u + L_ee z,    u = L_cc^-1 (cond - m_c),    z ~ N(0, 1)
    """
    choice_key, noise_key = jax.random.split(key)
    n_conds = len(cond)
    i = jax.random.categorical(choice_key, _log_joint(config, params, cond[None])[:, 0])
    mean, factors = params["means"][i], params["factors"]
    z = randn(noise_key, (n_components,))
    factor = _factor_of(config, factors, i)
    if factor.ndim < 2:
        return mean[n_conds:] + jnp.broadcast_to(factor, mean.shape)[n_conds:] * z
    u = cond - mean[:n_conds]
    if n_conds:
        u = solve_triangular(factor[:n_conds, :n_conds], u, lower=True)
    white = jnp.concatenate([u, z])
    if config.covariance == "tied":
        return mean[n_conds:] + factors[n_conds:] @ white
    # One matrix product for all events instead of a matrix fetched for each.
    chosen = jax.nn.one_hot(i, config.n_gaussians)[:, None] * white
    return mean[n_conds:] + jnp.einsum("knd,kd->n", factors[:, n_conds:], chosen)


def _factor_of(config: GaussianMixture, factors: Array, i: Array) -> Array:
    return factors if config.covariance == "tied" else factors[i]


def _moments(
    config: GaussianMixture, means: Array, x: Events, responsibility: Array
) -> tuple[Array, Array, Array]:
    """Sums over the events about the old means, with responsibilities (k, b) as weights.

    Returns:
        Number of events (k,), deviations (k, d), and their products: (k, d, d) or squares (k, d).
    """
    products = config.covariance in ("full", "tied")

    def of_gaussian(row: tuple[Array, Array]) -> tuple[Array, Array, Array]:
        mean, weight = row
        deviation = x - mean
        weighted = weight[:, None] * deviation
        second = weighted.T @ deviation if products else jnp.sum(weighted * deviation, axis=0)
        return jnp.sum(weight), jnp.sum(weighted, axis=0), second

    return lax.map(of_gaussian, (means, responsibility))


def _maximised(
    config: GaussianMixture, means: Array, sums: tuple[Array, Array, Array]
) -> dict[str, Array]:
    """The M step: also with the floor the parameters of the largest expected likelihood."""
    counts, first, second = sums
    safe = jnp.maximum(counts, _SMALLEST_COUNT)
    shift = first / safe[:, None]
    products = second.ndim == 3
    own = shift[:, :, None] * shift[:, None, :] if products else shift**2
    share = counts / jnp.sum(counts)
    if config.covariance == "tied":
        pooled = jnp.sum(second - counts[:, None, None] * own, axis=0) / jnp.sum(counts)
        factors = _floored_factor(pooled, config.smallest_variance)
    elif products:
        covariances = second / safe[:, None, None] - own
        factors = lax.map(lambda s: _floored_factor(s, config.smallest_variance), covariances)
    else:
        variances = second / safe[:, None] - own
        if config.covariance == "spherical":
            variances = jnp.mean(variances, axis=1)
        factors = jnp.sqrt(jnp.maximum(variances, config.smallest_variance))
    log_weights = jnp.log(jnp.maximum(share, _SMALLEST_COUNT))
    return {"log_weights": log_weights, "means": means + shift, "factors": factors}


def _floored_factor(covariance: Array, smallest: float) -> Array:
    """L of the matrix with eigenvalues below the smallest raised to it.

    By a QR decomposition of its root, which no rounding makes fail, as it does Cholesky's.
    """
    values, vectors = jnp.linalg.eigh(covariance)
    root = vectors * jnp.sqrt(jnp.maximum(values, smallest))
    upper = jnp.linalg.qr(root.T, mode="r")
    return (upper * jnp.where(jnp.diagonal(upper) < 0.0, -1.0, 1.0)[:, None]).T


def _start(key: Key, config: GaussianMixture, x: Events) -> Params:
    """Greedy k-means++, then each event to its nearest centre.

    Every centre is the best of a few events drawn by their squared distance to the centres so far.

    Source: Arthur and Vassilvitskii 2007, section 2.2 (there one is drawn, and taken).
    """
    k, n = config.n_gaussians, len(x)
    if n < k:
        raise InputError(
            f"Gaussian mixture: expected a batch of at least {k} events, one a Gaussian, "
            f"found {n}; make the batch the whole data set, or choose fewer Gaussians"
        )
    n_trials = 2 + int(math.log(k))
    first_key, rest_key = jax.random.split(key)
    first = x[jax.random.randint(first_key, (), 0, n)]

    def distance(centre: Array) -> Array:
        return jnp.sum((x - centre) ** 2, axis=1)

    def add(nearest: Array, key: Key) -> tuple[Array, Array]:
        drawn = x[jax.random.categorical(key, jnp.log(nearest), shape=(n_trials,))]
        left = jnp.minimum(nearest, lax.map(distance, drawn))
        best = jnp.argmin(jnp.sum(left, axis=1))
        return left[best], drawn[best]

    _, others = lax.scan(add, distance(first), jax.random.split(rest_key, k - 1))
    centres = jnp.concatenate([first[None], others])
    nearest = jnp.argmin(lax.map(distance, centres), axis=0)
    owned = (nearest == jnp.arange(k)[:, None]).astype(x.dtype)
    return _maximised(config, centres, _moments(config, centres, x, owned))
