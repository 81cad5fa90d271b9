"""Distances of four-lepton events from a reference, each with its error and its floor.

Every number is a function of two samples whose events have weights: all one for the value, how
often an event is drawn for the error (both samples drawn with replacement, the standard deviation
of N_DRAWS repetitions), and one or zero for the floor (halves of the reference, see splits.halves;
the error is the standard deviation over the divisions). The halves are smaller than the samples: a
perfect generator lies below its floor, by a factor of about sqrt(2) in W1 and Frobenius norms and
of 2 in Frechet distances where it is judged on as many events as the reference has.

Source: Efron, Ann. Statist. 7 (1979) 1 (draws with replacement).
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np

from jaxcalo.data.four_lepton import LeptonEvents
from jaxcalo.errors import InputError
from jaxcalo.metrics.estimate import Estimate, within_floor
from jaxcalo.metrics.four_lepton import (
    LEPTON_COLUMNS,
    SLOTS,
    bray_curtis,
    bray_curtis_of_values,
    is_off_shell,
    is_unphysical,
    lepton_columns,
    lepton_observables,
    sparse_columns,
)
from jaxcalo.metrics.frechet import frechet_of_moments
from jaxcalo.metrics.overlap import Overlap, lepton_overlap
from jaxcalo.metrics.splits import halves
from jaxcalo.metrics.wasserstein import wasserstein_1
from jaxcalo.typing import Key

N_DRAWS = 100  # chosen: errors are then good to 7 %
MIN_EVENTS = 20
_BLOCK = 4096  # events whose products of columns are in memory at a time
_N_BINS = 50  # of the mass; chosen: some 100 events of 20,000 where there are fewest
_TAIL_PERCENT = 99.5  # of the reference's masses are below the last bin, which has no end
_ROUNDING = 1e-12  # of the mean square: a variance below it is none

# name of the score: name of the observable
_W1 = {
    "w1_mass_gev": "mass",
    "w1_mass_12_gev": "mass_12",
    "w1_mass_34_gev": "mass_34",
    "w1_pt_gev": "pt",
    "w1_pt_event_gev": "pt_event",
}
FRECHET_OF_SLOTS = {f"frechet_{slot}_gev2": slot for slot in SLOTS}


class LeptonScore(NamedTuple):
    """A distance and what the reference has from itself.

    Attributes:
        value: of the sample.
        floor: of halves of the reference.
    """

    value: Estimate
    floor: Estimate

    @property
    def agrees(self) -> bool:
        """Whether the distance is within the floor."""
        return within_floor(self.value.value, self.floor.value, self.floor.error)

    def to_json(self) -> dict:
        """Return {"value", "error", "floor": {"value", "error"}}."""
        return {**self.value.to_json(), "floor": self.floor.to_json()}


class ColumnScore(NamedTuple):
    """Mean and standard deviation of one column in both samples, GeV."""

    mean_reference: Estimate
    mean_generated: Estimate
    width_reference: Estimate
    width_generated: Estimate

    def to_json(self) -> dict[str, dict[str, float]]:
        """Return {"value", "error"} of each by name."""
        return {name: estimate.to_json() for name, estimate in self._asdict().items()}


class LeptonScores(NamedTuple):
    """One generated sample against the reference.

    Attributes:
        n_events: of the reference and of the sample.
        scores: by name:
            w1_mass_gev, w1_mass_12_gev, w1_mass_34_gev: Wasserstein-1 distances of the masses of
                the event and of its pairs, GeV;
            w1_pt_gev, w1_pt_event_gev: of the transverse momenta of all leptons and of the event;
            bray_curtis: of histograms of the mass, 0 to 1;
            bray_curtis_values: of the masses event by event, see bray_curtis_of_values; this is
                the thesis's, its floor is not near 0;
            frobenius: of the difference of the Pearson matrices of the 32 sparse columns, as in
                the thesis; frobenius_16: of the 16 columns in the order of the file;
            frechet_gev2: Frechet distance on the 32 sparse columns, as in the thesis;
                frechet_16_gev2: on the 16 columns; frechet_SLOT_gev2: on the four of one slot;
            unphysical, off_shell: fraction of events without a mass, and with a lepton off its
                mass shell.
        columns: means and widths of the 16 columns, by name.
        overlap: precision, recall, density and coverage, see lepton_overlap; large is good.
    """

    n_events: tuple[int, int]
    scores: dict[str, LeptonScore]
    columns: dict[str, ColumnScore]
    overlap: dict[str, Overlap]

    def to_json(self) -> dict:
        """Return the numbers as plain values."""
        return {
            "n_events": list(self.n_events),
            "scores": {name: score.to_json() for name, score in self.scores.items()},
            "columns": {name: column.to_json() for name, column in self.columns.items()},
            "overlap": {name: overlap.to_json() for name, overlap in self.overlap.items()},
        }


class _Sorted(NamedTuple):
    """Values (k,) in increasing order and the event that each belongs to (k,)."""

    values: np.ndarray
    event: np.ndarray


class _Prepared(NamedTuple):
    """All that is asked of a sample, computed once: flags (n, 2), columns (n, 16) and (n, 32)."""

    observables: Mapping[str, _Sorted]
    mass_bin: np.ndarray
    flags: np.ndarray
    columns: np.ndarray
    sparse: np.ndarray


class _Moments(NamedTuple):
    """Means (b, k) and covariances (b, k, k) of columns under b sets of weights."""

    mean: np.ndarray
    covariance: np.ndarray


def _sorted(values: np.ndarray) -> _Sorted:
    """Events without a mass have mass zero."""
    flat = np.nan_to_num(values.reshape(-1))
    order = np.argsort(flat)
    return _Sorted(flat[order], order // (len(flat) // len(values)))


def _prepare(events: LeptonEvents, mass_edges: np.ndarray) -> _Prepared:
    found = lepton_observables(events)
    return _Prepared(
        observables={name: _sorted(values) for name, values in found.items()},
        mass_bin=np.searchsorted(mass_edges, np.nan_to_num(found["mass"]), "right"),
        flags=np.stack([is_unphysical(events), is_off_shell(events)], axis=1).astype(float),
        columns=lepton_columns(events),
        sparse=sparse_columns(events),
    )


def _moments(columns: np.ndarray, weights: np.ndarray) -> _Moments:
    """Moments of columns (n, k) under weights (b, n): all products of columns, summed at once."""
    k, n_events = columns.shape[1], weights.sum(axis=1)
    centre = columns.mean(axis=0)  # large means would leave rounding in the products
    i, j = np.triu_indices(k)
    first, second = np.zeros((len(weights), k)), np.zeros((len(weights), len(i)))
    for start in range(0, len(columns), _BLOCK):
        rows = slice(start, start + _BLOCK)
        centred, weight = columns[rows] - centre, weights[:, rows].astype(float)
        first += weight @ centred
        second += weight @ (centred[:, i] * centred[:, j])
    mean = first / n_events[:, None]
    square = np.empty((len(weights), k, k))
    square[:, i, j] = square[:, j, i] = second
    outer = mean[:, :, None] * mean[:, None, :]
    factor = n_events / (n_events - 1)
    covariance = (square / n_events[:, None, None] - outer) * factor[:, None, None]
    return _Moments(mean + centre, covariance)


def _pearson(moments: _Moments) -> np.ndarray:
    """Pearson matrices (b, k, k); a constant column is uncorrelated with all others."""
    variance = np.diagonal(moments.covariance, axis1=1, axis2=2)
    varies = variance > _ROUNDING * (variance + moments.mean**2)
    scale = np.where(varies, 1 / np.sqrt(np.where(varies, variance, 1.0)), 0.0)
    matrix = moments.covariance * scale[:, :, None] * scale[:, None, :]
    k = matrix.shape[1]
    matrix[:, np.arange(k), np.arange(k)] = 1.0
    return matrix


def _frobenius(a: _Moments, b: _Moments) -> np.ndarray:
    return np.linalg.norm(_pearson(a) - _pearson(b), axis=(1, 2))


def _frechet(a: _Moments, b: _Moments, columns: slice) -> np.ndarray:
    """Distances (b,) on some of the columns."""
    both = zip(a.mean, b.mean, a.covariance, b.covariance, strict=True)
    return np.asarray(
        [
            frechet_of_moments(
                (mean[columns], other[columns]),
                (one[columns, columns], two[columns, columns]),
            )
            for mean, other, one, two in both
        ]
    )


def _repeated(sample: _Sorted, weight: np.ndarray) -> np.ndarray:
    """Values, each as often as its event is drawn; still increasing."""
    return np.repeat(sample.values, weight[sample.event])


def _histograms(sample: _Prepared, weights: np.ndarray) -> np.ndarray:
    """Fractions (b, bins) of events in the bins of the mass."""
    counts = [np.bincount(sample.mass_bin, row, _N_BINS + 1) for row in weights]
    return np.stack(counts) / weights.sum(axis=1, keepdims=True)


def _measure(
    samples: tuple[_Prepared, _Prepared], weights: tuple[np.ndarray, np.ndarray]
) -> dict[str, np.ndarray]:
    """All distances (b,) of two samples under b pairs of weights (b, n) and (b, m)."""
    (a, b), pairs = samples, list(zip(*weights, strict=True))
    found = {}
    for score, name in _W1.items():
        x, y = a.observables[name], b.observables[name]
        found[score] = [wasserstein_1(_repeated(x, v), _repeated(y, w)) for v, w in pairs]
    found["bray_curtis"] = bray_curtis(*map(_histograms, samples, weights))
    x, y = a.observables["mass"], b.observables["mass"]
    found["bray_curtis_values"] = [
        bray_curtis_of_values(_repeated(x, v), _repeated(y, w)) for v, w in pairs
    ]
    sparse = _moments(a.sparse, weights[0]), _moments(b.sparse, weights[1])
    plain = _moments(a.columns, weights[0]), _moments(b.columns, weights[1])
    found["frobenius"], found["frobenius_16"] = _frobenius(*sparse), _frobenius(*plain)
    found["frechet_gev2"] = _frechet(*sparse, slice(None))
    found["frechet_16_gev2"] = _frechet(*plain, slice(None))
    for i, name in enumerate(FRECHET_OF_SLOTS):
        found[name] = _frechet(*sparse, slice(4 * i, 4 * i + 4))
    fractions = weights[1] @ b.flags / weights[1].sum(axis=1, keepdims=True)
    found["unphysical"], found["off_shell"] = fractions.T
    return {name: np.asarray(values) for name, values in found.items()}


def _column_scores(
    samples: tuple[_Prepared, _Prepared], draws: tuple[np.ndarray, np.ndarray]
) -> dict[str, ColumnScore]:
    """Means and widths of the columns."""
    estimates = []
    for sample, drawn in zip(samples, draws, strict=True):
        n = len(sample.columns)
        weights = np.concatenate([np.ones((1, n), drawn.dtype), drawn])
        moments = _moments(sample.columns, weights)
        widths = np.sqrt(np.maximum(np.diagonal(moments.covariance, axis1=1, axis2=2), 0))
        for values in (moments.mean, widths):  # a variance of zero may be rounded to -1e-17
            errors = values[1:].std(axis=0, ddof=1)
            pairs = zip(values[0], errors, strict=True)
            estimates.append([Estimate(float(value), float(error), n) for value, error in pairs])
    means, widths, means_generated, widths_generated = estimates
    found = zip(means, means_generated, widths, widths_generated, strict=True)
    return {name: ColumnScore(*of) for name, of in zip(LEPTON_COLUMNS, found, strict=True)}


def _draws(key: Key, n: int) -> np.ndarray:
    """(N_DRAWS, n): how often each of n events is among n drawn with replacement."""
    rows = np.asarray(jax.random.randint(key, (N_DRAWS, n), 0, n))
    return np.stack([np.bincount(row, minlength=n) for row in rows])


def _check(role: str, events: LeptonEvents) -> None:
    """Raise InputError unless the events can be compared."""
    n = len(events.pdg)
    if n < MIN_EVENTS:
        raise InputError(
            f"{role} sample: the comparison needs at least {MIN_EVENTS} events, found {n}; use a"
            " larger file"
        )
    bad = np.flatnonzero(~np.isfinite(events.momentum_gev).all(axis=(1, 2)))
    if len(bad):
        raise InputError(
            f"{role} sample: expected finite energies and momenta, found others in {len(bad)} of"
            f" {n} events, first in event {bad[0]}; remove them or repair the generator"
        )


def compare_four_lepton(reference: LeptonEvents, generated: LeptonEvents, key: Key) -> LeptonScores:
    """Compare generated events with the reference.

    Args:
        reference: n events that the generator was not trained on.
        generated: m events.
        key: of the draws for the errors.

    Returns:
        All distances, each with its error and floor; 20,000 with 20,000 events take seconds.

    Raises:
        InputError: fewer than 20 events, values that are not finite, or three leptons of one kind
            in an event.
    """
    _check("reference", reference)
    _check("generated", generated)
    sizes = len(reference.pdg), len(generated.pdg)
    masses = np.nan_to_num(lepton_observables(reference)["mass"])
    edges = np.linspace(0, np.percentile(masses, _TAIL_PERCENT), _N_BINS + 1)[1:]
    samples = _prepare(reference, edges), _prepare(generated, edges)
    ones = np.ones((1, sizes[0]), int), np.ones((1, sizes[1]), int)
    keys = jax.random.split(key)
    draws = _draws(keys[0], sizes[0]), _draws(keys[1], sizes[1])
    first, second = (np.stack(m).astype(int) for m in zip(*halves(*sizes), strict=True))
    values, drawn = _measure(samples, ones), _measure(samples, draws)
    floors = _measure((samples[0], samples[0]), (first, second))
    n, n_floor = min(sizes), int(min(first[0].sum(), second[0].sum()))
    return LeptonScores(
        n_events=sizes,
        scores={
            name: LeptonScore(
                Estimate(float(values[name][0]), float(drawn[name].std(ddof=1)), n),
                Estimate(float(floor.mean()), float(floor.std(ddof=1)), n_floor),
            )
            for name, floor in floors.items()
        },
        columns=_column_scores(samples, draws),
        overlap=lepton_overlap(reference, generated),
    )
