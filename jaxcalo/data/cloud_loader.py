"""Batches of clouds for training: shuffled, padded little, and a pure function of the step.

Clouds of a batch are padded to one of a few sizes, its bucket, and each size is one compiled
program. So that large and small clouds rarely meet, an epoch

1. orders all showers at random and leaves out what does not fill a batch,
2. sorts them by their bucket, at random inside it, and cuts them into batches,
3. and orders the batches at random.

Only the few batches across two buckets are padded more than their buckets ask for; inside a bucket
a batch is a random sample. The bucket is known from the number of points alone, so networks that
are conditioned on it see every condition, as without buckets, but not in every batch.
"""

from functools import lru_cache
from os import PathLike

import jax
import numpy as np

from jaxcalo.data.loader import check_batches
from jaxcalo.data.point_cloud import Clouds, PaddedClouds, open_clouds, pad
from jaxcalo.data.shuffle import epoch_order
from jaxcalo.errors import InputError
from jaxcalo.typing import Key

# Chosen: sizes are multiples of it, so that accelerators meet even shapes.
_STEP = 64


def bucket_sizes(n_points: np.ndarray, n_buckets: int) -> tuple[int, ...]:
    """Return the sizes for which the least is padded, each cloud being padded to the next of them.

    Minimises sum_i size(n_i) over sets of at most n_buckets multiples of 64, by dynamic programming
    over the multiples.

    Args:
        n_points: (n,) numbers of points.
        n_buckets: at most how many sizes.

    Returns:
        Increasing sizes; the last holds the largest cloud.

    Raises:
        InputError: n_buckets is less than 1.
    """
    if n_buckets < 1:
        raise InputError(f"the number of buckets must be 1 or more, found {n_buckets}")
    step = np.maximum(-(-n_points // _STEP), 1) - 1
    # clouds[j]: how many have at most size[j] points; an empty cloud counts to the first size
    clouds = np.cumsum(np.bincount(step)).astype(np.float64)
    size = _STEP * np.arange(1, len(clouds) + 1)
    # rows[b][j]: least rows for all clouds up to size j, where that is the last of b + 1 sizes
    rows, before = [clouds * size], []
    added = (clouds[None, :] - clouds[:, None]) * size
    added = np.where(size[None, :] > size[:, None], added, np.inf)
    for _ in range(1, n_buckets):
        total = rows[-1][:, None] + added
        before.append(total.argmin(axis=0))
        rows.append(total.min(axis=0))
    place = len(size) - 1
    used = int(np.argmin([row[place] for row in rows]))
    sizes = [int(size[place])]
    for choice in reversed(before[:used]):
        place = choice[place]
        sizes.append(int(size[place]))
    return tuple(reversed(sizes))


def padding(n_points: np.ndarray, sizes: tuple[int, ...]) -> float:
    """Return the share of padded rows if each cloud is padded to the next of the sizes."""
    rows = np.asarray(sizes)[np.searchsorted(sizes, n_points)].sum()
    return float(1 - n_points.sum(dtype=np.int64) / rows)


class CloudLoader:
    """Batches of clouds; made by `open_cloud_loader` or `memory_cloud_loader`.

    Attributes:
        sizes: what batches are padded to, increasing; a batch takes the smallest that fits.
        batch_size: showers in a batch, over all processes.
        n_rows: number of showers.
        process_index: which contiguous slice of every batch is returned.
        n_processes: number of slices; all slices of a batch have one size.
    """

    def __init__(
        self,
        key: Key,
        clouds: Clouds,
        batch_size: int,
        n_buckets: int,
        process_index: int,
        n_processes: int,
    ):
        check_batches(clouds.n_showers, batch_size, process_index, n_processes)
        self.sizes = bucket_sizes(clouds.n_points, n_buckets)
        self.batch_size = batch_size
        self.n_rows = clouds.n_showers
        self.process_index = process_index
        self.n_processes = n_processes
        self._clouds = clouds
        self._key_rows, self._key_batches = jax.random.split(key)
        # two are kept, since a batch may be prepared across the change
        self._epoch = lru_cache(2)(self._order)

    def __enter__(self) -> "CloudLoader":
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def close(self) -> None:
        """Do nothing: no file stays open; `Loader` has the same method."""

    @property
    def batches_per_epoch(self) -> int:
        """Number of whole batches in one pass over the data."""
        return self.n_rows // self.batch_size

    @property
    def padding_share(self) -> float:
        """Padded rows over all rows of the first epoch's batches; the others differ by little."""
        n_points = self._clouds.n_points[self._epoch(0)]
        sizes = [self._size(rows) for rows in self._epoch(0)]
        return 1 - int(n_points.sum(dtype=np.int64)) / (self.batch_size * sum(sizes))

    def batch(self, step: int) -> PaddedClouds:
        """Return this process's slice of the batch of a global step.

        Args:
            step: number of the step since the start of the training, 0 or more.

        Returns:
            batch_size / n_processes clouds, numpy, padded to one of the sizes.
        """
        if step < 0:
            raise InputError(f"the step must be 0 or more, found {step}")
        epoch, place = divmod(step, self.batches_per_epoch)
        rows = self._epoch(epoch)[place]
        share = self.batch_size // self.n_processes
        mine = rows[self.process_index * share : (self.process_index + 1) * share]
        return pad(self._clouds.rows(mine), self._size(rows))

    def _size(self, rows: np.ndarray) -> int:
        """Return the smallest size that holds these showers."""
        return self.sizes[np.searchsorted(self.sizes, self._clouds.n_points[rows].max())]

    def _order(self, epoch: int) -> np.ndarray:
        """Return the rows of each batch of an epoch, (batches_per_epoch, batch_size)."""
        n_batches = self.batches_per_epoch
        rows = _shuffled(self._key_rows, epoch, self.n_rows)[: n_batches * self.batch_size]
        bucket = np.searchsorted(self.sizes, self._clouds.n_points[rows])
        batches = rows[np.argsort(bucket, kind="stable")].reshape(n_batches, self.batch_size)
        return batches[_shuffled(self._key_batches, epoch, n_batches)]


def _shuffled(key: Key, epoch: int, n: int) -> np.ndarray:
    """Return 0, ..., n - 1 in the random order of an epoch."""
    return epoch_order(key, epoch, n, block_rows=n, blocks_per_window=1).rows


def memory_cloud_loader(
    key: Key,
    clouds: Clouds,
    batch_size: int,
    *,
    n_buckets: int = 4,
    process_index: int = 0,
    n_processes: int = 1,
) -> CloudLoader:
    """Return a loader over clouds in memory.

    Args:
        key: decides the order of every epoch.
        clouds: n showers.
        batch_size: showers in a batch, over all processes.
        n_buckets: at most how many sizes, and so compiled programs, there are.
        process_index: which slice of every batch to return.
        n_processes: number of slices.

    Raises:
        InputError: the batch is larger than the data or cannot be shared by the processes, or
            there is no bucket.
    """
    return CloudLoader(key, clouds, batch_size, n_buckets, process_index, n_processes)


def open_cloud_loader(
    key: Key,
    path: str | PathLike,
    batch_size: int,
    *,
    start: int = 0,
    stop: int | None = None,
    n_buckets: int = 4,
    process_index: int = 0,
    n_processes: int = 1,
) -> CloudLoader:
    """Return a loader over a file of clouds, which it reads into memory without the padding.

    A point takes 16 bytes: 500 000 showers of 1300 points take 10 GB, and twice that while they are
    read. The sizes depend on the rows start, ..., stop - 1 alone.

    Args:
        key: decides the order of every epoch.
        path: the file.
        batch_size: showers in a batch, over all processes.
        start: first row to use.
        stop: row after the last to use; None uses all. Two ranges split training and validation.
        n_buckets: at most how many sizes, and so compiled programs, there are.
        process_index: which slice of every batch to return.
        n_processes: number of slices; every process reads the whole range.

    Raises:
        InputError: the file is bad (see `open_clouds`), the rows are not in it or do not fit into
            memory, the batch is larger than the data or cannot be shared by the processes, or there
            is no bucket.
    """
    with open_clouds(path) as file:
        stop = file.n_showers if stop is None else stop
        if not 0 <= start < stop <= file.n_showers:
            raise InputError(
                f"{path}: rows {start} to {stop} are not a range of its {file.n_showers} showers;"
                " choose 0 <= start < stop"
            )
        clouds = file.read(start, stop)
    return CloudLoader(key, clouds, batch_size, n_buckets, process_index, n_processes)
