"""Shared type aliases. Shapes stand in the docstrings and, where short, in the annotations."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Array, Float, PRNGKeyArray

Key = PRNGKeyArray
Params = Any  # a pytree of arrays
Scalar = Float[Array, ""]
Event = Float[Array, " n"]  # one preprocessed shower, flat, in the order of the file
Events = Float[Array, "b n"]
Cond = Float[Array, " c"]  # the conditions of one event, standardised
Conds = Float[Array, "b c"]
Observe = Callable[[int, int], None]  # (done, in all): how long work moves a progress bar
