"""Statistical worth: how many training events would show a distribution as well as generated ones?

Divide the space of the observables into q cells of equal probability of the truth. A sample finds
the fraction x_j of its events in cell j, where the truth has t_j, and misses by

    D = sum_j (x_j - t_j)^2                                                                (1)

N independent events of the true distribution, with the truth known from n events, miss by

    E[D] = S (1/N + 1/n),      S = sum_j t_j (1 - t_j) = 1 - 1/q                            (2)

and so a sample that misses by D is worth as much as N training events with

    1/N = D / S - 1/n.                                                                      (3)

A generator repeats what it has learnt: of k events, what its distribution itself is wrong by stays
however large k is, and 1/N_limit = 1/N - 1/k is what infinitely many would be worth. Drawing m
training events again with replacement has N_limit = m; a model with a correct assumption about
what lies between training events has more, and N_limit / m is its amplification.

D of independent events is a sum of q - 1 squares of normal variables of equal size and scatters by
sqrt(2 / (q - 1)) of itself: that is the error here. A model with few parameters misses in fewer
independent ways and scatters more from one training to the next: average 1/N over trainings
(mean_of). N itself has no mean.

Cells are nested quantiles: q_1 of the first observable, within each q_2 of the second, and so on,
so that correlations count as well.

Source: Butter et al., GANplifying Event Samples, SciPost Phys. 10 (2021) 139, arXiv:2008.06545,
equations of section 2; the finite truth in (2) and (3), and the error, are this module's.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxcalo.errors import InputError
from jaxcalo.metrics.estimate import N_SIGMA, Estimate

_MIN_PER_CELL = 5  # events of the truth: normal variables in the error
_PER_CELL = 20  # chosen, where nobody chooses the quantiles: the cells are known to a quarter
_MOST_QUANTILES = 10


class Worth(NamedTuple):
    """What generated events are worth.

    Attributes:
        n_training: events the generator was trained on.
        n_generated: generated events, k.
        n_cells: cells of equal probability, q.
        inverse: 1/N of equation (3), may be negative by chance.
        inverse_limit: 1/N of infinitely many generated events.
        inverse_training: 1/N of the training events themselves; expected is 1 / n_training.
    """

    n_training: int
    n_generated: int
    n_cells: int
    inverse: Estimate
    inverse_limit: Estimate
    inverse_training: Estimate

    def to_json(self) -> dict:
        """Return sizes, events and amplification as plain values; None is too many to be seen."""
        found = {"sample": self.inverse, "limit": self.inverse_limit}
        found["training"] = self.inverse_training
        return {
            "n_training": self.n_training,
            "n_generated": self.n_generated,
            "n_cells": self.n_cells,
            "inverse": {name: inverse.to_json() for name, inverse in found.items()},
            "events": {
                name: None if (events := equivalent_events(inverse)) is None else events.to_json()
                for name, inverse in found.items()
            },
            "at_least": {name: at_least_events(inverse) for name, inverse in found.items()},
        }


class Cells(NamedTuple):
    """Nested quantiles of the truth.

    Attributes:
        edges: of observable i, (q_1 ... q_(i-1), q_i - 1) inner borders in each cell so far.
        truth: (q + 1,) fractions of the truth; the last cell is that of values that are no number.
        n_truth: how many events the truth has.
    """

    edges: tuple[np.ndarray, ...]
    truth: np.ndarray
    n_truth: int


def usual_quantiles(n_truth: int, n_observables: int) -> tuple[int, ...]:
    """Return as many quantiles of each observable as the truth allows, from 2 to 10.

    Args:
        n_truth: events of the truth; with the result there are 20 or more in a cell if it is not 2.
        n_observables: d.

    Returns:
        d equal numbers.
    """
    most = int((n_truth / _PER_CELL) ** (1 / n_observables) + 1e-9)  # a root that is a whole number
    return (min(max(most, 2), _MOST_QUANTILES),) * n_observables


def equivalent_events(inverse: Estimate) -> Estimate | None:
    """Return N and its error, or None if the truth has too few events to tell N from infinity.

    Args:
        inverse: 1/N.

    Returns:
        N where 1/N is more than N_SIGMA errors above zero.
    """
    if inverse.value <= N_SIGMA * inverse.error:
        return None
    n = 1 / inverse.value
    return Estimate(n, inverse.error * n**2, inverse.n)


def at_least_events(inverse: Estimate) -> float:
    """Return what N exceeds: 1 / (1/N + N_SIGMA errors), with 1/N not below zero."""
    return 1 / (max(inverse.value, 0.0) + N_SIGMA * inverse.error)


def _place(values: np.ndarray, edges: tuple[np.ndarray, ...]) -> np.ndarray:
    """Cell (n,) of each event (n, d); the last one if a value is no number."""
    cell = np.zeros(len(values), int)
    for column, inner in zip(values.T, edges, strict=True):
        above = column[:, None] >= inner[cell]
        cell = cell * (inner.shape[1] + 1) + above.sum(axis=1)
    n_cells = int(np.prod([inner.shape[1] + 1 for inner in edges]))
    return np.where(np.isnan(values).any(axis=1), n_cells, cell)


def fit_cells(truth: np.ndarray, n_quantiles: Sequence[int]) -> Cells:
    """Divide the truth into cells of equal probability.

    Args:
        truth: (n, d) observables of events that no generator was trained on.
        n_quantiles: of each of the d observables; their product is the number of cells.

    Returns:
        The cells.

    Raises:
        InputError: no number of quantiles for each observable, fewer than 5 events a cell, or
            values that are no numbers.
    """
    if truth.ndim != 2 or len(n_quantiles) != truth.shape[1] or min(n_quantiles, default=0) < 1:
        raise InputError(
            f"statistical worth: expected truth (n, d) and d numbers of quantiles, found shape"
            f" {truth.shape} and {tuple(n_quantiles)}; give one for each observable"
        )
    n_cells = int(np.prod(n_quantiles))
    if n_cells < 2 or len(truth) < _MIN_PER_CELL * n_cells:
        raise InputError(
            f"statistical worth: expected 2 or more cells and {_MIN_PER_CELL} events of the truth"
            f" in each, found {n_cells} cells and {len(truth)} events; change the quantiles"
        )
    if np.isnan(truth).any():
        raise InputError(
            "statistical worth: expected numbers in the truth, found NaN; remove those events"
        )
    edges: tuple[np.ndarray, ...] = ()
    for i, q in enumerate(n_quantiles):
        cell = _place(truth[:, :i], edges) if i else np.zeros(len(truth), int)
        order = np.lexsort((truth[:, i], cell))
        first = np.searchsorted(cell[order], np.arange(np.prod(n_quantiles[:i], dtype=int) + 1))
        size = np.diff(first)
        rank = (np.arange(1, q) * size[:, None]) // q  # the first event above each border
        edges = (*edges, truth[order, i][np.minimum(first[:-1, None] + rank, len(truth) - 1)])
    counts = np.bincount(_place(truth, edges), minlength=n_cells + 1)
    return Cells(edges, counts / len(truth), len(truth))


def _inverse(cells: Cells, place: np.ndarray, size: int) -> tuple[Estimate, Estimate]:
    """1/N of samples of `size` events, the mean over as many as there are, and its limit."""
    n_samples, n_cells = len(place) // size, len(cells.truth) - 1
    sample = np.arange(n_samples * size) // size
    flat = sample * (n_cells + 1) + place[: n_samples * size]
    found = np.bincount(flat, minlength=n_samples * (n_cells + 1)).reshape(n_samples, -1) / size
    miss = np.sum((found - cells.truth) ** 2, axis=1).mean() / np.sum(
        cells.truth * (1 - cells.truth)
    )
    # each sample has its own noise of 1 / size; the truth's and the model's are common to them
    own = 1 / size
    common = max(miss - own, 1 / cells.n_truth)
    variance = common**2 + (2 * common * own + own**2) / n_samples
    error = float(np.sqrt(2 / (n_cells - 1) * variance))
    value = float(miss - 1 / cells.n_truth)
    return Estimate(value, error, size), Estimate(value - own, error, size)


def worth_curve(
    truth: np.ndarray,
    training: np.ndarray,
    generated: np.ndarray,
    n_quantiles: Sequence[int],
    sizes: Sequence[int],
) -> list[Worth]:
    """Compute what samples of several sizes are worth, see the module.

    Args:
        truth: (n, d) observables of true events, none of them training events. N above about
            n sqrt(q / 8) cannot be told from infinity.
        training: (m, d) of the events that the generator was trained on.
        generated: (k, d) of generated events, in no order. Events with NaN miss every cell.
        n_quantiles: of each observable; their product is the number of cells.
        sizes: numbers of generated events; for a size below k the mean over the k // size samples.

    Returns:
        The worth for each size.

    Raises:
        InputError: as fit_cells; samples of other observables; or sizes that there are not.
    """
    cells = fit_cells(truth, n_quantiles)
    for role, values in (("training", training), ("generated", generated)):
        if values.ndim != 2 or values.shape[1] != truth.shape[1] or not len(values):
            raise InputError(
                f"statistical worth: expected {role} events (m, {truth.shape[1]}) as the truth"
                f" has, found shape {values.shape}; give the same observables of all samples"
            )
    if not sizes or min(sizes) < 1 or max(sizes) > len(generated):
        raise InputError(
            f"statistical worth: expected sizes from 1 to {len(generated)} generated events, found"
            f" {list(sizes)}; choose others or generate more"
        )
    own, _ = _inverse(cells, _place(training, cells.edges), len(training))
    place = _place(generated, cells.edges)
    return [
        Worth(len(training), size, len(cells.truth) - 1, *_inverse(cells, place, size), own)
        for size in sizes
    ]


def statistical_worth(
    truth: np.ndarray, training: np.ndarray, generated: np.ndarray, n_quantiles: Sequence[int]
) -> Worth:
    """Compute how many training events all generated events are worth; as worth_curve."""
    return worth_curve(truth, training, generated, n_quantiles, [len(generated)])[0]
