"""How many Gaussians, and of what form: the mixture of the smallest BIC."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from jaxcalo.errors import InputError
from jaxcalo.families.base import Encode
from jaxcalo.families.mixture import GaussianMixture, mixture
from jaxcalo.training import Batch, init_state, map_step, shard_batch
from jaxcalo.typing import Key, Params


def bic(config: GaussianMixture, loss: float, n_events: int, n_dims: int) -> float:
    """The Bayesian information criterion: small is good.

    BIC = n_parameters log n_events + 2 n_events loss

    Args:
        config: What was fitted.
        loss: -mean log p(cond, event) of the events it was fitted to, in nats.
        n_events: Their number.
        n_dims: Length of the joint vector.

    Source: Schwarz 1978 (doi:10.1214/aos/1176344136).
    """
    return config.n_parameters(n_dims) * math.log(n_events) + 2.0 * n_events * loss


class MixtureFit(NamedTuple):
    """A candidate and its fit.

    Attributes:
        config: What was fitted.
        params: Its parameters.
        loss: -mean log p(cond, event) of the events it was fitted to, in nats.
        bic: See `bic`.
    """

    config: GaussianMixture
    params: Params
    loss: float
    bic: float


class MixtureChoice(NamedTuple):
    """The best of the candidates.

    Attributes:
        best: That of the smallest BIC.
        fits: All, in the order given.
    """

    best: MixtureFit
    fits: tuple[MixtureFit, ...]


def choose_mixture(
    key: Key,
    candidates: Sequence[GaussianMixture],
    data: Any,
    *,
    encode: Encode,
    n_components: int,
    mesh: Mesh,
    n_iterations: int = 100,
    tolerance: float = 1e-4,
) -> MixtureChoice:
    """Fit every candidate and take the one of the smallest BIC.

    Args:
        key: One key; each candidate starts from the same.
        candidates: Numbers of Gaussians and forms of their covariance.
        data: All events, a pytree of arrays with leading axis: a multiple of the devices.
        encode: (key, datum) -> (event, condition).
        n_components: Length of an event.
        mesh: The devices.
        n_iterations: Of EM, at most.
        tolerance: Stop when an iteration gains less, in nats an event.

    Raises:
        InputError: No candidates.
    """
    if not candidates:
        raise InputError("choice of a mixture: expected candidates, found none; give at least one")
    n_events = jax.tree.leaves(data)[0].shape[0]
    batch = Batch(np.arange(n_events, dtype=np.int32), data)
    init_key, step_key = jax.random.split(key)
    on_devices, fits = shard_batch(batch, mesh), []
    for config in candidates:
        algorithm = mixture(config, encode=encode, n_components=n_components).algorithm
        state, step = init_state(algorithm, init_key, batch, mesh), map_step(algorithm, mesh)
        loss = math.inf
        for _ in range(n_iterations):
            state, metrics = step(step_key, state, on_devices)
            before, loss = loss, float(np.asarray(metrics["loss"]))
            if before - loss < tolerance:
                break
        n_dims = state.params["means"].shape[1]
        criterion = bic(config, loss, n_events, n_dims)
        fits.append(MixtureFit(config, jax.device_get(state.params), loss, criterion))
    return MixtureChoice(min(fits, key=lambda fit: fit.bic), tuple(fits))
