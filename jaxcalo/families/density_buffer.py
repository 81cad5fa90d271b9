"""The density information buffer: encodings of real events, from which a B-VAE samples its latent.

    i ~ events whose condition is near,    z ~ N(mean_i, smearing^2 exp(log_variance_i))

With smearing 1 and no conditions this is the aggregate posterior, (1 / n) sum_i q(z | x_i). The
decoded sample can only be as new as z: with encodings much narrower than their distances the
model returns its training events.

Source: Otten et al. 2021 (arXiv:1901.00875), section "density information buffer".
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxcalo.errors import InputError
from jaxcalo.families.base import Encode
from jaxcalo.families.process import event_keys
from jaxcalo.families.vector_net import encoded_sizes
from jaxcalo.training import AXIS, Algorithm, Batch, Metrics, TrainState
from jaxcalo.typing import Cond, Conds, Events, Key, Params

BUFFER = "buffer"

_LARGEST = 2**24  # whole numbers above it are not exact as 32-bit floats, as which they are stored
_ENCODE = 1  # beside the algorithm's own use of a step's key


@dataclasses.dataclass(frozen=True)
class DensityBuffer:
    """How encodings are kept and drawn.

    Attributes:
        n: Encodings kept: those of the last n events trained on. An epoch's worth holds each
            training event once.
        smearing: Width of a draw in standard deviations of its encoding.
        reach: Encodings whose condition is no further than this, in the norm of standardised
            conditions, are equally likely; where there is none, the nearest.

    Raises:
        InputError: A number that has no meaning, or more than 2^24 encodings.
    """

    n: int = 20_000
    smearing: float = 1.0
    reach: float = 0.1

    def __post_init__(self) -> None:
        if not (1 <= self.n <= _LARGEST and self.smearing >= 0.0 and self.reach >= 0.0):
            raise InputError(
                f"density buffer: expected 1 <= n <= {_LARGEST}, smearing >= 0 and reach >= 0, "
                f"found {self.n}, {self.smearing} and {self.reach}; choose 20000, 1 and 0.1, say"
            )


def empty_buffer(n: int, n_latent: int, n_conditions: int) -> Params:
    """A buffer that holds nothing, from which N(0, 1) is drawn.

    Returns:
        "mean" and "log_variance" (n, n_latent), "cond" (n, c) if there are conditions (checkpoints
        have no empty arrays), and two whole numbers: "filled", how many rows are encodings, and
        "next", the row that is written next.
    """
    zeros = jnp.zeros((n, n_latent))
    buffer = {"mean": zeros, "log_variance": zeros, "filled": jnp.zeros(()), "next": jnp.zeros(())}
    return buffer | ({"cond": jnp.zeros((n, n_conditions))} if n_conditions else {})


def write(buffer: Params, mean: Array, log_variance: Array, cond: Conds) -> Params:
    """Put encodings in the place of the oldest.

    Args:
        buffer: As of `empty_buffer`.
        mean: (b, n_latent), in the order in which they are written.
        log_variance: (b, n_latent).
        cond: (b, c).
    """
    n, b = len(buffer["mean"]), len(mean)
    # Of more than the buffer holds only the last are written: no row twice, in no order.
    rows = {"mean": mean[-n:], "log_variance": log_variance[-n:], "cond": cond[-n:]}
    first = buffer["next"].astype(jnp.int32) + max(b - n, 0)
    place = (first + jnp.arange(min(n, b))) % n
    kept = {k: v.at[place].set(rows[k]) for k, v in buffer.items() if k in rows}
    after = (buffer["next"].astype(jnp.int32) + b) % n
    filled = jnp.minimum(buffer["filled"] + b, n)
    return kept | {"filled": filled, "next": after.astype(jnp.float32)}


def draw_latent(key: Key, config: DensityBuffer, buffer: Params, cond: Cond) -> Array:
    """One latent (n_latent,) for a condition (c,)."""
    row_key, noise_key = jax.random.split(key)
    filled = jnp.maximum(buffer["filled"].astype(jnp.int32), 1)
    if "cond" in buffer:
        squares = jnp.sum((buffer["cond"] - cond) ** 2, axis=1)
        squares = jnp.where(jnp.arange(len(squares)) < filled, squares, jnp.inf)
        near = squares <= jnp.maximum(config.reach**2, jnp.min(squares))
        # Counted in whole numbers: the row at which the count reaches a random one is near.
        count = jnp.cumsum(near.astype(jnp.int32))
        chosen = jax.random.randint(row_key, (), 1, count[-1] + 1)
        row = jnp.searchsorted(count, chosen)
    else:
        row = jax.random.randint(row_key, (), 0, filled)
    mean, log_variance = buffer["mean"][row], buffer["log_variance"][row]
    eps = jax.random.normal(noise_key, mean.shape)
    return mean + config.smearing * jnp.exp(0.5 * log_variance) * eps


def with_buffer(
    algorithm: Algorithm,
    config: DensityBuffer | None,
    encode: Encode,
    posterior: Callable[[Params, Events, Conds], tuple[Array, Array]],
    n_latent: int,
) -> Algorithm:
    """Encode each batch, train on it, and keep what the averaged encoder makes of it.

    Args:
        algorithm: Trains on batches whose data are (events (b, n), conditions (b, c)).
        config: The buffer, which becomes part of both params and ema; None: there is none.
        encode: (key, datum) -> (event, condition).
        posterior: (parameters, events, conditions) -> mean and log variance, (b, n_latent).
        n_latent: Components of the latent.

    Returns:
        An algorithm on the data as they are; the buffer is the same however many devices there are.
    """

    def encoded(key: Key, batch: Batch) -> Batch:
        keys = event_keys(jax.random.fold_in(key, _ENCODE), batch)
        return Batch(batch.index, jax.vmap(encode)(keys, batch.data))

    def init(key: Key, batch: Batch) -> TrainState:
        state = algorithm.init(key, encoded(key, batch))
        if config is None:
            return state
        _, n_conditions = encoded_sizes(encode, batch.data)
        buffer = {BUFFER: empty_buffer(config.n, n_latent, n_conditions)}
        return state._replace(params=state.params | buffer, ema=state.ema | buffer)

    def step(key: Key, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        batch = encoded(jax.random.fold_in(key, state.step), batch)
        if config is None:
            return algorithm.step(key, state, batch)
        params, ema = (
            {k: v for k, v in p.items() if k != BUFFER} for p in (state.params, state.ema)
        )
        after, metrics = algorithm.step(key, state._replace(params=params, ema=ema), batch)
        rows = (*posterior(after.ema, *batch.data), batch.data[1])
        rows = jax.tree.map(lambda x: lax.all_gather(x, AXIS, tiled=True), rows)
        buffer = {BUFFER: write(state.ema[BUFFER], *rows)}
        return after._replace(params=after.params | buffer, ema=after.ema | buffer), metrics

    return Algorithm(init, step)
