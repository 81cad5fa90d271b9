"""A function of one event on many, some of them at a time."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def map_events(of_event: Callable[[Any], Any], rows: Any, together: int) -> Any:
    """Apply a function to every row of some arrays, in blocks of equal size.

    The last block is filled up with the first rows, whose results are dropped. (`lax.map` has a
    program of its own for what is left over, which takes as long to compile as all else.)

    Args:
        of_event: row without the leading axis -> any tree of arrays.
        rows: tree of arrays (n, ...), n at least 1.
        together: rows of a block at most, which bounds the memory.

    Returns:
        The results, (n, ...).
    """
    n = jax.tree.leaves(rows)[0].shape[0]
    together = min(together, n)
    missing = -n % together
    if missing:
        rows = jax.tree.map(lambda x: jnp.concatenate([x, x[:missing]]), rows)
    found = jax.lax.map(of_event, rows, batch_size=together)
    return jax.tree.map(lambda x: x[:n], found)
