"""Deterministic ways to divide showers: disjoint batches and shuffled halves.

Shuffled, because files are often sorted by incident energy; from fixed keys, because a metric of
the same two files is the same number every time.
"""

from functools import lru_cache

import jax
import numpy as np

N_SPLITS = 8  # chosen: the mean of the floor settles within its error
_BATCH_KEY = 0
_SPLIT_KEY = 1


@lru_cache(maxsize=64)  # every observable asks for the same ones
def _shuffled(seed: int, index: int, n: int) -> np.ndarray:
    """A permutation of n showers; the same for every sample of n showers."""
    key = jax.random.fold_in(jax.random.key(seed), index)
    return np.asarray(jax.random.permutation(key, n))


def _member(rows: np.ndarray, n: int) -> np.ndarray:
    """Rows as a mask (n,) bool."""
    mask = np.zeros(n, dtype=bool)
    mask[rows] = True
    return mask


def batches(n: int, n_batches: int, size: int | None = None) -> list[np.ndarray]:
    """Return masks of disjoint shuffled batches.

    Two samples of the same size are divided alike, so that showers of one incident energy that
    stand in the same row stay together.

    Args:
        n: number of showers.
        n_batches: number of batches.
        size: showers in a batch; None uses all showers.

    Returns:
        n_batches masks (n,) bool.
    """
    shuffled = _shuffled(_BATCH_KEY, 0, n)
    used = shuffled if size is None else shuffled[: n_batches * size]
    return [_member(rows, n) for rows in np.array_split(used, n_batches)]


def halves(
    n: int, n_other: int | None = None, n_splits: int = N_SPLITS
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return several shuffled divisions of n showers into two disjoint halves.

    The second half is cut to the size of the sample that will be compared with the first, if that
    is smaller: a sample of few showers must be measured against a floor of few showers.

    Args:
        n: number of showers.
        n_other: number of showers in the sample to be judged; None for no cut.
        n_splits: number of divisions.

    Returns:
        n_splits pairs of masks (n,) bool.
    """
    middle = n // 2
    last = n if n_other is None else min(n, middle + n_other)
    shuffles = (_shuffled(_SPLIT_KEY, i, n) for i in range(n_splits))
    return [(_member(s[:middle], n), _member(s[middle:last], n)) for s in shuffles]
