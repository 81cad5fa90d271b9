"""Functions of one event on a batch: one after the other on a CPU, all together elsewhere."""

from collections.abc import Callable

import jax
from jax import Array, lax


def each_event(function: Callable[..., Array], *events: Array) -> Array:
    """Apply a function of single events to every event of a batch.

    On a CPU one event at a time stays in the cache from one operation to the next, XLA cannot fuse
    across the border and compute a convolution's sums once for each of their uses, and what the
    gradient needs is computed again from the event rather than read from memory.

    Args:
        function: maps one event of every array to one array.
        events: arrays (b, ...).

    Returns:
        The results, (b, ...).
    """
    if len(events[0]) == 1:
        return function(*(x[0] for x in events))[None]
    if jax.default_backend() != "cpu":
        return jax.vmap(function)(*events)
    again = jax.checkpoint(function)
    return lax.map(lambda event: again(*event), events)
