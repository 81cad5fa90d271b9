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

    Args:
        key: decides all epochs.
        epoch: which of them, 0 or more.
        n_rows: number of rows.
        block_rows: neighbouring rows that stay in one window.
        blocks_per_window: blocks that are shuffled together.
    """
    key = jax.device_put(key, _host_device())
    key_blocks, key_rows = jax.random.split(jax.random.fold_in(key, epoch))
    n_blocks = -(-n_rows // block_rows)
    place = np.asarray(jax.random.permutation(key_blocks, n_blocks))
    rows = np.asarray(jax.random.permutation(key_rows, n_rows)).astype(np.int64)
    window = place[rows // block_rows] // blocks_per_window
    return EpochOrder(rows[np.argsort(window, kind="stable")], np.cumsum(np.bincount(window)))


def _host_device() -> jax.Device:
    """Return a CPU device, or another where JAX may use none: the numbers are the same."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return jax.local_devices()[0]
