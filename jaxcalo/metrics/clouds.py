"""Two clouds of features: what every distance between them asks for, scales and draws."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxcalo.errors import InputError
from jaxcalo.typing import Key


def check_clouds(metric: str, reference: np.ndarray, generated: np.ndarray) -> None:
    """Raise InputError unless the clouds have the same features, all of them finite.

    Args:
        metric: name of the metric, for the message.
        reference: (n, f) features of the reference.
        generated: (m, f) features of the sample to judge.

    Raises:
        InputError: arrays of other shapes, or features that are not finite.
    """
    if reference.ndim != 2 or reference.shape[1:] != generated.shape[1:]:
        raise InputError(
            f"{metric}: expected two samples (n, f) of the same features, found shapes"
            f" {reference.shape} and {generated.shape}; compare samples of one detector"
        )
    for role, values in (("reference", reference), ("generated", generated)):
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if len(bad):
            raise InputError(
                f"{metric}: expected finite features, found others in {len(bad)} {role} showers,"
                f" first in shower {bad[0]}; remove them or repair the generator"
            )


def largest_magnitude(reference: np.ndarray) -> np.ndarray:
    """Return the largest |feature| of the reference (f,), 1 for one that is always zero.

    Args:
        reference: (n, f) features.
    """
    largest = np.abs(reference).max(axis=0)
    return np.where(largest > 0, largest, 1.0)


@partial(jax.jit, static_argnums=(1, 2))
def _permutations(key: Key, n_batches: int, pool: int) -> jax.Array:
    """(n_batches, pool) independent permutations; one compilation for all batch sizes."""
    rows = jnp.tile(jnp.arange(pool), (n_batches, 1))
    return jax.random.permutation(key, rows, axis=1, independent=True)


def draw_batches(
    key: Key, pool: int, n_batches: int, size: int, with_replacement: bool
) -> np.ndarray:
    """Draw the rows of several batches from one sample.

    Args:
        key: decides everything.
        pool: number of showers to draw from.
        n_batches: number of batches.
        size: showers in a batch; at most pool without replacement.
        with_replacement: whether a shower may stand in a batch more than once.

    Returns:
        (n_batches, size) rows; the first k of each line are a batch of k.
    """
    if with_replacement:
        return np.asarray(jax.random.randint(key, (n_batches, size), 0, pool))
    return np.asarray(_permutations(key, n_batches, pool))[:, :size]
