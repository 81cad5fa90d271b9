"""Batches for training: shuffled, sharded, and a pure function of the step.

`loader.batch(i)` depends on the key, the data, the sizes and i alone, so that a run resumes from
one integer. An epoch has n_rows // batch_size batches; what remains is left out of that epoch. The
order (see `shuffle`) is the same whether the data are held in memory or read window by window, and
does not depend on the machine.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import count, islice, pairwise
from os import PathLike
from threading import Lock
from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import numpy as np

from jaxcalo.data.calochallenge import ShowerFile, open_showers
from jaxcalo.data.memory import available_memory_bytes
from jaxcalo.data.showers import Showers
from jaxcalo.data.shuffle import EpochOrder, epoch_order
from jaxcalo.errors import InputError
from jaxcalo.geometry import Detector
from jaxcalo.typing import Key

# Chosen: 10 000 showers of CaloChallenge data set 2, or 1 600 of data set 3.
WINDOW_BYTES = 2**28
# Chosen: with more blocks rows mix better, with fewer the file is read in longer runs.
_BLOCKS_PER_WINDOW = 16
# The window in use, the next one, and the one before while a batch lies across two.
_WINDOWS_HELD = 3

Batch_co = TypeVar("Batch_co", covariant=True)


class RowSource(Protocol):
    """Where a loader takes its rows from."""

    def take(self, epoch: int, start: int, stop: int) -> Showers:
        """Return the showers at the places start, ..., stop - 1 of the epoch's order."""
        ...

    def close(self) -> None:
        """Release the file and the thread, if there are any."""
        ...


def check_batches(n_rows: int, batch_size: int, process_index: int, n_processes: int) -> None:
    """Raise InputError unless batches can be made of the rows and shared by the processes."""
    if not 1 <= batch_size <= n_rows:
        raise InputError(
            f"the batch size must be from 1 to the {n_rows} showers there are,"
            f" found {batch_size}; choose a smaller batch or more data"
        )
    if batch_size % n_processes:
        raise InputError(
            f"a batch of {batch_size} cannot be shared equally by {n_processes}"
            f" processes; choose a multiple of {n_processes}"
        )
    if not 0 <= process_index < n_processes:
        raise InputError(
            f"the process index must be from 0 to {n_processes - 1}, found {process_index}"
        )


@dataclass(frozen=True)
class Loader:
    """Batches of showers; made by `open_loader` or `memory_loader`.

    Attributes:
        rows: where the showers come from, in the order of each epoch.
        n_rows: number of showers.
        batch_size: showers in a batch, over all processes.
        process_index: which contiguous slice of every batch to return.
        n_processes: number of slices.
    """

    rows: RowSource
    n_rows: int
    batch_size: int
    process_index: int = 0
    n_processes: int = 1

    def __post_init__(self):
        check_batches(self.n_rows, self.batch_size, self.process_index, self.n_processes)

    def __enter__(self) -> "Loader":
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def close(self) -> None:
        """Close the file behind the loader."""
        self.rows.close()

    @property
    def batches_per_epoch(self) -> int:
        """Number of whole batches in one pass over the data."""
        return self.n_rows // self.batch_size

    def batch(self, step: int) -> Showers:
        """Return this process's slice of the batch of a global step.

        Args:
            step: number of the step since the start of the training, 0 or more.

        Returns:
            batch_size / n_processes showers.

        Raises:
            InputError: a shower in the file is bad, or the file is damaged.
        """
        if step < 0:
            raise InputError(f"the step must be 0 or more, found {step}")
        epoch, place = divmod(step, self.batches_per_epoch)
        share = self.batch_size // self.n_processes
        start = place * self.batch_size + self.process_index * share
        return self.rows.take(epoch, start, start + share)


def memory_loader(
    key: Key, showers: Any, batch_size: int, process_index: int = 0, n_processes: int = 1
) -> Loader:
    """Return a loader over showers, or other events, in memory, shuffled as a whole.

    Args:
        key: decides the order of every epoch.
        showers: a pytree of arrays with leading axis n: `Showers`, `LeptonEvents`.
        batch_size: showers in a batch, over all processes.
        process_index: which slice of every batch to return.
        n_processes: number of slices.

    Raises:
        InputError: the batch is larger than the data or cannot be shared by the processes.
    """
    n_rows = len(jax.tree.leaves(showers)[0])
    rows = _MemoryRows(showers, _orders(key, n_rows, max(1, n_rows), 1))
    return Loader(rows, n_rows, batch_size, process_index, n_processes)


def open_loader(
    key: Key,
    path: str | PathLike,
    batch_size: int,
    *,
    detector: Detector | None = None,
    conditions: tuple[str, ...] = (),
    start: int = 0,
    stop: int | None = None,
    process_index: int = 0,
    n_processes: int = 1,
    memory_limit_bytes: int | None = None,
    window_bytes: int = WINDOW_BYTES,
) -> Loader:
    """Return a loader over a shower file, in memory if it fits, otherwise read in windows.

    Args:
        key: decides the order of every epoch.
        path: the shower file.
        batch_size: showers in a batch, over all processes.
        detector: the readout that the file must have; None accepts any.
        conditions: further data sets that the batches have.
        start: first row to use.
        stop: row after the last to use; None uses all. Two ranges split training and validation.
        process_index: which slice of every batch to return.
        n_processes: number of slices; every process reads the whole range.
        memory_limit_bytes: what this process may hold; None means half of the available memory.
        window_bytes: size of a window; it changes the order, so keep it when resuming.

    Raises:
        InputError: the file is bad (see `open_showers`), the rows are not in it, the batch is
            larger than the data, or the limit is too small for three windows.
    """
    file = open_showers(path, detector, conditions)
    try:
        stop = file.n_showers if stop is None else stop
        if not 0 <= start < stop <= file.n_showers:
            raise InputError(
                f"{path}: rows {start} to {stop} are not a range of its {file.n_showers} showers;"
                " choose 0 <= start < stop"
            )
        n_rows = stop - start
        row_bytes = 4 * (file.n_voxels + 1 + file.n_condition_columns)
        orders = _orders(key, n_rows, *_block_plan(file, window_bytes // row_bytes))
        limit = available_memory_bytes() // 2 if memory_limit_bytes is None else memory_limit_bytes
        if n_rows * row_bytes <= limit:
            showers = file.empty(n_rows)
            file.read_into(start, showers)
            rows = _MemoryRows(showers, orders)
            file.close()
        elif _WINDOWS_HELD * window_bytes <= limit:
            rows = _StreamedRows(file, start, orders)
        else:
            raise InputError(
                f"{path}: {_WINDOWS_HELD} windows of {window_bytes} bytes do not fit into the"
                f" {limit} bytes of memory allowed; choose smaller windows or allow more memory"
            )
        return Loader(rows, n_rows, batch_size, process_index, n_processes)
    except InputError:
        file.close()
        raise


class Batches(Protocol[Batch_co]):
    """What `prefetch` needs of a loader, be it of showers or of clouds."""

    def batch(self, step: int) -> Batch_co:
        """Return the batch of a step."""
        ...


def prefetch(loader: Batches[Batch_co], start: int, stop: int | None = None) -> Iterator[Batch_co]:
    """Yield the batches of the steps start, start + 1, ... while a thread prepares the next two.

    Errors of the thread are raised here; closing or dropping the iterator ends the thread.

    Args:
        loader: the batches.
        start: first step.
        stop: step after the last; None goes on without end.
    """
    steps = count(start) if stop is None else iter(range(start, stop))
    pool = ThreadPoolExecutor(1, "prefetch")
    try:
        ready = deque(pool.submit(loader.batch, step) for step in islice(steps, 2))
        while ready:
            batch = ready.popleft().result()
            ready.extend(pool.submit(loader.batch, step) for step in islice(steps, 1))
            yield batch
    finally:
        pool.shutdown(cancel_futures=True)


_Orders = Callable[[int], EpochOrder]


def _orders(key: Key, n_rows: int, block_rows: int, blocks_per_window: int) -> _Orders:
    """Return epoch -> order; two are kept, since a batch may be prepared across the change."""
    return lru_cache(2)(
        partial(
            epoch_order,
            key,
            n_rows=n_rows,
            block_rows=block_rows,
            blocks_per_window=blocks_per_window,
        )
    )


def _block_plan(file: ShowerFile, window_rows: int) -> tuple[int, int]:
    """Return rows per block, if possible whole chunks of the file, and blocks per window."""
    window_rows = max(1, window_rows)
    chunks = max(1, round(window_rows / _BLOCKS_PER_WINDOW / file.chunk_rows))
    block_rows = min(chunks * file.chunk_rows, window_rows)
    return block_rows, window_rows // block_rows


def _gather(showers: Showers, rows: np.ndarray | slice) -> Showers:
    return jax.tree.map(lambda column: column[rows], showers)


class _MemoryRows:
    """Rows of arrays in memory."""

    def __init__(self, showers: Showers, orders: _Orders):
        self._showers = showers
        self._orders = orders

    def take(self, epoch: int, start: int, stop: int) -> Showers:
        return _gather(self._showers, self._orders(epoch).rows[start:stop])

    def close(self) -> None:
        pass


class _Window(NamedTuple):
    rows: np.ndarray  # increasing
    showers: Showers


class _StreamedRows:
    """Rows of a file, read a window at a time; a thread reads the next one."""

    def __init__(self, file: ShowerFile, first_row: int, orders: _Orders):
        self._file = file
        self._first_row = first_row
        self._orders = orders
        self._pool = ThreadPoolExecutor(1, "window")
        self._lock = Lock()
        self._held: dict[tuple[int, int], Future[_Window]] = {}

    def take(self, epoch: int, start: int, stop: int) -> Showers:
        order = self._orders(epoch)
        first, last = np.searchsorted(order.window_stops, [start, stop - 1], side="right")
        parts = []
        for index in range(first, last + 1):
            window = self._window(epoch, index)
            begin = max(start, order.window_stops[index - 1] if index else 0)
            rows = order.rows[begin : min(stop, order.window_stops[index])]
            parts.append(_gather(window.showers, np.searchsorted(window.rows, rows)))
        return jax.tree.map(lambda *columns: np.concatenate(columns), *parts)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._file.close()

    def _window(self, epoch: int, index: int) -> _Window:
        """Return a window and have the next one read meanwhile."""
        last = index + 1 == len(self._orders(epoch).window_stops)
        following = (epoch + 1, 0) if last else (epoch, index + 1)
        with self._lock:
            self._held = {
                which: self._held.get(which) or self._pool.submit(self._read, *which)
                for which in ((epoch, index), following)
            }
            window = self._held[epoch, index]
        return window.result()

    def _read(self, epoch: int, index: int) -> _Window:
        order = self._orders(epoch)
        begin = order.window_stops[index - 1] if index else 0
        rows = np.sort(order.rows[begin : order.window_stops[index]])
        showers = self._file.empty(len(rows))
        edges = [0, *(np.flatnonzero(np.diff(rows) > 1) + 1), len(rows)]
        for first, stop in pairwise(edges):
            part = _gather(showers, slice(first, stop))
            self._file.read_into(self._first_row + int(rows[first]), part)
        return _Window(rows, showers)
