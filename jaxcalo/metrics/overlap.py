"""Precision, recall, density and coverage, each beside what the reference has with itself.

The four numbers (prdc) depend on the sizes of the samples. Here one half of the reference is set
against as many generated events and against as many of the other half, which is the floor: both
numbers are of samples of one size, and a perfect generator has the floor's. Their errors are the
standard deviations over several divisions.

A generator that has collapsed onto some of the events has a coverage, and a recall, far below the
floor's, however good those events are.
"""

from typing import NamedTuple

import numpy as np

from jaxcalo.data.four_lepton import LeptonEvents
from jaxcalo.errors import InputError
from jaxcalo.metrics.estimate import N_SIGMA, Estimate
from jaxcalo.metrics.four_lepton import lepton_observables
from jaxcalo.metrics.prdc import N_NEIGHBOURS, Prdc, prdc
from jaxcalo.metrics.splits import batches, halves

MAX_EVENTS = 2000  # of each sample; chosen: the error of a coverage of 0.97 is then 0.004
_MASSES = ("mass", "mass_12", "mass_34")
_SMALLEST_PT_GEV = 1e-3  # keeps eta finite; far below the threshold of any detector


class Overlap(NamedTuple):
    """One of the four numbers of a sample; large is good.

    Attributes:
        value: of the sample.
        floor: of the reference with itself.
    """

    value: Estimate
    floor: Estimate

    @property
    def ratio(self) -> float | None:
        """The value over its floor, 1 for a perfect generator; None if the floor is 0."""
        return self.value.value / self.floor.value if self.floor.value > 0 else None

    @property
    def agrees(self) -> bool:
        """Whether the value is not below the floor by more than N_SIGMA errors."""
        return self.value.value >= self.floor.value - N_SIGMA * self.floor.error

    def to_json(self) -> dict:
        """Return {"value", "error", "floor": {"value", "error"}, "ratio"}."""
        return {**self.value.to_json(), "floor": self.floor.to_json(), "ratio": self.ratio}


def overlap(reference: np.ndarray, generated: np.ndarray) -> dict[str, Overlap]:
    """Compute the four numbers and their floors.

    Args:
        reference: (n, f) features of the reference.
        generated: (m, f) features of the sample to judge; of both at most MAX_EVENTS are used at a
            time, from everywhere in the file.

    Returns:
        Overlaps by name: precision, recall, density, coverage.

    Raises:
        InputError: as prdc; half of the reference and the sample need 6 events each.
    """
    size = min(len(reference) // 2, len(generated), MAX_EVENTS)
    if size <= N_NEIGHBOURS:
        least = N_NEIGHBOURS + 1
        raise InputError(
            f"precision, recall, density and coverage: expected at least {2 * least} events of the"
            f" reference and {least} generated ones, found {len(reference)} and {len(generated)};"
            " use larger files"
        )
    used = batches(len(generated), len(generated) // size, size)
    parts = [generated[rows] for rows in used]
    values, floors = [], []
    for i, (one, other) in enumerate(halves(len(reference))):
        first, second = (reference[_evenly(rows, size)] for rows in (one, other))
        values.append(prdc(first, parts[i % len(parts)]))
        floors.append(prdc(first, second))
    return {
        name: Overlap(*(_over_divisions(np.asarray(column), size) for column in columns))
        for name, *columns in zip(
            Prdc._fields, zip(*values, strict=True), zip(*floors, strict=True), strict=True
        )
    }


def _evenly(member: np.ndarray, size: int) -> np.ndarray:
    """Rows (size,) of a mask, evenly spaced."""
    rows = np.flatnonzero(member)
    return rows[np.arange(size) * len(rows) // size]


def _over_divisions(values: np.ndarray, n: int) -> Estimate:
    return Estimate(float(values.mean()), float(values.std(ddof=1)), n)


def lepton_features(events: LeptonEvents) -> np.ndarray:
    """Return what four-lepton events are compared by, as numbers of similar, finite spread.

    log(1 + p_T / GeV) and pseudorapidity of each lepton; cosine and sine of phi_i - phi_1 of
    leptons 2, 3, 4, because all azimuths of an event as a whole are equal; log(1 + m / GeV) of the
    event and of its two pairs.

    Args:
        events: n events.

    Returns:
        (n, 17); events without a mass have mass 0 here.
    """
    p, found = events.momentum_gev, lepton_observables(events)
    eta = np.arcsinh(p[..., 3] / np.maximum(found["pt"], _SMALLEST_PT_GEV))
    phi = np.arctan2(p[..., 2], p[..., 1])
    turn = phi[:, 1:] - phi[:, :1]
    masses = np.stack([np.nan_to_num(found[name]) for name in _MASSES], axis=1)
    return np.concatenate(
        [np.log1p(found["pt"]), eta, np.cos(turn), np.sin(turn), np.log1p(masses)], axis=1
    )


def lepton_overlap(reference: LeptonEvents, generated: LeptonEvents) -> dict[str, Overlap]:
    """Compute the overlap of four-lepton events in their features, standardised by the reference.

    Flavours do not count: most generators are told them.

    Args:
        reference: n events that the generator was not trained on.
        generated: m events.

    Returns:
        Overlaps by name, see overlap.

    Raises:
        InputError: as overlap.
    """
    a, b = lepton_features(reference), lepton_features(generated)
    spread = a.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    return overlap(a / spread, b / spread)
