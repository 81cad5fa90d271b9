"""Where a model was trained: conditions outside are extrapolated, and that has to be said.

A condition is inside if each of its numbers is within the range trained on and, where there are
several, if its distance to the nearest of the anchors is one that training conditions have
themselves: combinations that never occurred are outside though each number did. The anchors are
some of the training conditions, few enough to stand in a manifest.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jaxcalo.errors import InputError

# Chosen: in two dimensions anchors then lie a tenth of a standard deviation apart; 50 kB of JSON
# for ten conditions.
_N_ANCHORS = 512
_QUANTILE = 0.999  # chosen: one in a thousand conditions like those of training is flagged
_TOLERANCE = 1e-6  # of the range: conditions come back from 32-bit files
_DIGITS = 4  # of the anchors, after the point
_ROUNDING = 10.0 ** (1 - _DIGITS)
_ROWS = 4096  # compared with all anchors at once


@dataclass(frozen=True)
class TrainingDomain:
    """The conditions that a model was trained with, in any unit.

    Attributes:
        names: Of the columns.
        ranges: Smallest and largest value of each column.
        mean: Of each column.
        std: Of each column; 1 where it is constant.
        anchors: Some training conditions, (x - mean) / std; () for a single column.
        reach: Largest distance to the nearest anchor that is inside, in standard deviations.
    """

    names: tuple[str, ...]
    ranges: tuple[tuple[float, float], ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    anchors: tuple[tuple[float, ...], ...] = ()
    reach: float = 0.0


def fit_training_domain(conditions: np.ndarray, names: Sequence[str]) -> TrainingDomain:
    """Fit the domain to the conditions of the training events.

    Args:
        conditions: (n, c), in the unit and form in which conditions are asked for later; energies
            over decades as logarithms, so that distances mean something.
        names: Of the c columns.

    Raises:
        InputError: No events, another number of names, or values that are not finite.
    """
    values = np.asarray(conditions, np.float64)
    if values.ndim != 2 or not len(values) or values.shape[1] != len(names):
        raise InputError(
            f"training domain: expected conditions (n, {len(names)}) of at least one event, found "
            f"shape {values.shape}; give one row an event and one name a column"
        )
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values).all(axis=1)))
        raise InputError(
            f"training domain: expected finite conditions, found {values[row]} in row {row}; "
            "leave such events out"
        )
    mean, std = values.mean(axis=0), values.std(axis=0)
    low, high = values.min(axis=0), values.max(axis=0)
    std = np.where(high > low, std, 1.0)
    ranges = tuple(zip(low.tolist(), high.tolist(), strict=True))
    fitted = TrainingDomain(tuple(names), ranges, tuple(mean.tolist()), tuple(std.tolist()))
    if len(names) < 2:
        return fitted
    standardised = (values - mean) / std
    chosen = np.unique(np.linspace(0, len(values) - 1, _N_ANCHORS).astype(int))
    # Rounded before distances are taken: the manifest stays short.
    anchors = standardised[chosen].round(_DIGITS)
    others = np.delete(standardised, chosen, axis=0)
    distances = _nearest(others, anchors) if len(others) else _to_other_anchors(anchors)
    reach = float(np.quantile(distances, _QUANTILE)) if len(distances) else 0.0
    return TrainingDomain(
        fitted.names,
        ranges,
        fitted.mean,
        fitted.std,
        tuple(tuple(row) for row in anchors.tolist()),
        reach,
    )


def outside_domain(domain: TrainingDomain, conditions: np.ndarray) -> np.ndarray:
    """Which conditions lie outside of what was trained on.

    Args:
        domain: Fitted.
        conditions: (m, c), as in `fit_training_domain`.

    Returns:
        (m,) bool; True for numbers that are not finite, too.

    Raises:
        InputError: Another number of columns.
    """
    values = np.asarray(conditions, np.float64)
    if values.ndim != 2 or values.shape[1] != len(domain.names):
        raise InputError(
            f"conditions: expected columns {', '.join(domain.names) or '(none)'}, found shape "
            f"{values.shape}; give one row an event with what the run was trained with"
        )
    low, high = np.asarray(domain.ranges).reshape(-1, 2).T
    slack = _TOLERANCE * np.maximum(high - low, np.maximum(np.abs(low), np.abs(high)))
    outside = ~np.all((values >= low - slack) & (values <= high + slack), axis=1)
    if domain.anchors:
        standardised = (values - np.asarray(domain.mean)) / np.asarray(domain.std)
        distances = _nearest(standardised, np.asarray(domain.anchors))
        # Anchors are rounded: what equals one lies a little beside it.
        outside = outside | ~(distances <= domain.reach + _ROUNDING)
    return outside


def _nearest(values: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Distance of each of the values (n, c) to the nearest anchor, (n,)."""
    parts = [
        _squared_distances(values[start : start + _ROWS], anchors).min(axis=1)
        for start in range(0, len(values), _ROWS)
    ]
    return np.sqrt(np.concatenate([values[:0, 0], *parts]))


def _to_other_anchors(anchors: np.ndarray) -> np.ndarray:
    """Distance of each anchor to the nearest other one, where all conditions are anchors."""
    squares = _squared_distances(anchors, anchors)
    np.fill_diagonal(squares, np.inf)
    nearest = np.sqrt(squares.min(axis=1))
    return nearest[np.isfinite(nearest)]


def _squared_distances(values: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """(n, m) squared distances."""
    products = values @ anchors.T
    squares = np.sum(values**2, axis=1)[:, None] + np.sum(anchors**2, axis=1) - 2.0 * products
    return np.maximum(squares, 0.0)  # rounding may leave less than nothing
