"""Further conditions of a shower as a network sees them: standardised numbers, one-hot classes."""

import dataclasses
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcalo.errors import InputError
from jaxcalo.typing import Cond, Conds, Key

# Chosen: particle numbers are few; more distinct whole numbers are a quantity that was counted.
_MOST_CLASSES = 32


@dataclasses.dataclass(frozen=True)
class Continuous:
    """Real numbers, standardised.

    Attributes:
        name: Of the data set.
        mean: Of each column.
        std: Of each column, above 0.
        ranges: Smallest and largest value of each column that was trained on; () if unknown.
    """

    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    ranges: tuple[tuple[float, float], ...] = ()

    @property
    def size(self) -> int:
        """Raw columns."""
        return len(self.mean)

    def encode(self, raw: Array) -> Cond:
        """(raw - mean) / std, shape (size,)."""
        return (raw - jnp.asarray(self.mean)) / jnp.asarray(self.std)


@dataclasses.dataclass(frozen=True)
class Classes:
    """One of several whole numbers, such as particle numbers, as a one-hot vector.

    Attributes:
        name: Of the data set.
        values: The classes, in increasing order.
    """

    name: str
    values: tuple[int, ...]

    @property
    def size(self) -> int:
        """One raw column."""
        return 1

    def encode(self, raw: Array) -> Cond:
        """1 where raw (1,) is the class, 0 elsewhere, shape (number of classes,)."""
        return (raw == jnp.asarray(self.values, jnp.float32)).astype(jnp.float32)


Condition = Continuous | Classes


def n_condition_columns(conditions: Sequence[Condition]) -> int:
    """Raw columns of several conditions."""
    return sum(condition.size for condition in conditions)


def encode_conditions(conditions: Sequence[Condition], raw: Array) -> Cond:
    """Encode the raw conditions of one shower, (n_columns,), and join them."""
    encoded = [condition.encode(raw[columns]) for condition, columns in _columns(conditions)]
    return jnp.concatenate([raw[:0], *encoded])


def fit_condition(name: str, columns: np.ndarray, is_whole: bool) -> Condition:
    """Measure mean and standard deviation, or list the classes.

    A column that never varies keeps its scale instead of being divided by zero.

    Args:
        name: Of the data set.
        columns: Raw values, (n, size), n > 0.
        is_whole: Whether they are whole numbers, hence classes.

    Raises:
        InputError: Classes in several columns, or too many.
    """
    if not is_whole:
        low, high = columns.min(axis=0), columns.max(axis=0)
        exact = columns.astype(np.float64)
        std = np.where(high > low, exact.std(axis=0), 1.0)
        ranges = tuple(zip(low.tolist(), high.tolist(), strict=True))
        return Continuous(name, tuple(exact.mean(axis=0).tolist()), tuple(std.tolist()), ranges)
    values = np.unique(columns).astype(int).tolist()
    if columns.shape[1] > 1 or len(values) > _MOST_CLASSES:
        raise InputError(
            f"condition {name!r}: expected one column of at most {_MOST_CLASSES} different whole "
            f"numbers, which are classes, found {columns.shape[1]} columns with {len(values)}; "
            "store quantities as floating-point numbers"
        )
    return Classes(name, tuple(values))


def check_conditions(
    conditions: Sequence[Condition], raw: np.ndarray | None, where: str, first_row: int = 0
) -> None:
    """Raise InputError unless the raw conditions are ones that a model was trained with.

    Args:
        conditions: What the model was trained with.
        raw: Shape (n, n_columns), or None for showers without further conditions.
        where: Beginning of the message, e.g. the file's name.
        first_row: Number of the first shower in the file.
    """
    found = 0 if raw is None else raw.shape[-1]
    if found != n_condition_columns(conditions):
        wanted = ", ".join(f"{c.name} ({c.size})" for c in conditions) or "none"
        raise InputError(
            f"{where}: expected {n_condition_columns(conditions)} columns of conditions beside the "
            f"energy ({wanted}), found {found}; take what the run was trained with"
        )
    for condition, columns in _columns(conditions):
        if isinstance(condition, Classes) and raw is not None:
            known = np.isin(raw[:, columns], condition.values)
            if not known.all():
                row = int(np.argmin(known))
                classes = ", ".join(map(str, condition.values))
                raise InputError(
                    f"{where}: {condition.name!r} of shower {first_row + row} must be one of the "
                    f"classes that were trained on ({classes}), found {raw[row, columns][0]:g}; "
                    "leave such showers out, or train with all classes"
                )


def outside_ranges(conditions: Sequence[Condition], raw: np.ndarray) -> np.ndarray:
    """Which showers of raw (n, n_columns) lie outside what was trained on, (n,) bool."""
    outside = np.zeros(len(raw), bool)
    for condition, columns in _columns(conditions):
        if isinstance(condition, Continuous) and condition.ranges:
            low, high = np.asarray(condition.ranges, np.float32).T
            values = raw[:, columns]
            outside |= ((values < low) | (values > high)).any(axis=1)
    return outside


def draw_conditions(key: Key, conditions: Sequence[Condition], n: int) -> Conds:
    """Draw raw conditions like those trained on, each independent of the others.

    Normal with the fitted mean and standard deviation, cut at the range; classes equally likely.

    Returns:
        Shape (n, n_columns).
    """
    columns = [jnp.zeros((n, 0))]
    for i, condition in enumerate(conditions):
        own = jax.random.fold_in(key, i)
        if isinstance(condition, Classes):
            classes = jnp.asarray(condition.values, jnp.float32)
            columns.append(jax.random.choice(own, classes, (n, 1)))
            continue
        mean, std = jnp.asarray(condition.mean), jnp.asarray(condition.std)
        values = mean + std * jax.random.normal(own, (n, condition.size))
        if condition.ranges:
            low, high = np.asarray(condition.ranges, np.float32).T
            values = jnp.clip(values, low, high)
        columns.append(values)
    return jnp.concatenate(columns, axis=1)


def _columns(conditions: Sequence[Condition]) -> Iterator[tuple[Condition, slice]]:
    """Each condition with its raw columns."""
    stop = 0
    for condition in conditions:
        stop += condition.size
        yield condition, slice(stop - condition.size, stop)
