"""Time of calls: that of the clock, and CPU time beside it, which a busy machine changes less."""

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

# Chosen: a repeat of short calls lasts as long, so that an accelerator's queue is never empty in it
# and the clock's own steps do not matter.
_LEAST_S = 0.05


class Elapsed(NamedTuple):
    """What a call took.

    Attributes:
        wall_s: Time of the clock, s.
        cpu_s: CPU time of this process, of all its threads, s. Of an accelerator it says nothing.
    """

    wall_s: float
    cpu_s: float

    def __truediv__(self, n: float) -> "Elapsed":
        return Elapsed(self.wall_s / n, self.cpu_s / n)


def elapsed(call: Callable[[], Any]) -> Elapsed:
    """Time one call, until its result is there."""
    cpu, wall = time.process_time(), time.perf_counter()
    jax.block_until_ready(call())
    return Elapsed(time.perf_counter() - wall, time.process_time() - cpu)


def repeated(call: Callable[[], Any], n_repeats: int) -> list[Elapsed]:
    """Time a call several times; calls before these warm up. Short ones are timed many at once."""
    elapsed(call)
    n = max(1, round(_LEAST_S / elapsed(call).wall_s))

    def calls() -> Any:
        for _ in range(n - 1):
            call()
        return call()

    return [elapsed(calls) / n for _ in range(n_repeats)]


def median(repeats: list[Elapsed]) -> Elapsed:
    """The median of either time by itself."""
    return Elapsed(*map(statistics.median, zip(*repeats, strict=True)))
