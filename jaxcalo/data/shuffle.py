"""The order of the rows in an epoch: random, and yet readable window by window.

The rows are cut into blocks of neighbours. Each epoch shuffles the blocks, takes several of them as
a window, one window after the other, and shuffles all rows inside a window. A window is read from a
compressed file in long runs (measured on showers of 6480 voxels: 49 showers/s one by one at random,
more than 10 000 in runs); data smaller than a window are shuffled as a whole.
"""

from typing import NamedTuple

import jax
import numpy as np

from jaxcalo.typing import Key


class EpochOrder(NamedTuple):
    """The order of one epoch.

    Attributes:
        rows: (n_rows,) int64, each row once.
        window_stops: (n_windows,) int64, where each window ends in `rows`.
    """

    rows: np.ndarray
    window_stops: np.ndarray


def epoch_order(
    key: Key, epoch: int, n_rows: int, block_rows: int, blocks_per_window: int
) -> EpochOrder:
    """Return the order of one epoch, the same on every machine.

    No device takes part: its turn would come after all training steps in flight, and the next batch
    would have to wait for them. NumPy promises the same numbers for ever of its bit generators,
    but not of `Generator.permutation`.

    Args:
        key: decides all epochs.
        epoch: which of them, 0 or more.
        n_rows: number of rows.
        block_rows: neighbouring rows that stay in one window.
        blocks_per_window: blocks that are shuffled together.
    """
    seed = np.asarray(jax.random.key_data(key)).ravel().tolist()
    place = _permutation([*seed, epoch, 0], -(-n_rows // block_rows))
    rows = _permutation([*seed, epoch, 1], n_rows)
    window = place[rows // block_rows] // blocks_per_window
    return EpochOrder(rows[np.argsort(window, kind="stable")], np.cumsum(np.bincount(window)))


def _permutation(seed: list[int], n: int) -> np.ndarray:
    """Return 0, ..., n - 1 in random order, by sorting random numbers of 64 bits."""
    return np.argsort(np.random.Philox(seed).random_raw(n), kind="stable")
