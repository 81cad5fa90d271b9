"""The table of W1 distances of the CaloClouds papers, for samples of any size.

The papers compare 500,000 showers with 500,000: distances of ten batches of 50,000 each. Here every
observable has that number for batches as large as the smaller sample allows, the distance of the
whole samples, the floor of both, which is Geant4 against Geant4 at the same sizes, and the excess:
the distance of the distributions without the noise of finite samples, see `excess`. The excess is
what does not depend on the size of the samples and is compared with the published numbers, which
contain a floor of their own, about 0.01.

Source: CaloClouds II, arXiv:2309.05704, section 4.2.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib import resources
from itertools import combinations
from typing import Literal, NamedTuple

import numpy as np

from jaxcalo.errors import InputError
from jaxcalo.metrics.bands import number_band
from jaxcalo.metrics.cloud_observables import CloudObservables, are_paired
from jaxcalo.metrics.estimate import N_SIGMA, Estimate
from jaxcalo.metrics.excess import w1_excess
from jaxcalo.metrics.observables import OBSERVABLES, Observable
from jaxcalo.metrics.splits import batches
from jaxcalo.metrics.wasserstein import (
    MIN_SHOWERS,
    N_BATCHES,
    protocol,
    reference_scale,
    wasserstein_1,
)

_PUBLISHED_FACTOR = 100
Verdict = Literal["below", "compatible", "above"]


class CloudScore(NamedTuple):
    """One observable of one generated sample, in standard deviations of the reference.

    Attributes:
        protocol: as published: mean and standard deviation over ten disjoint batches.
        protocol_floor: the same of the reference's own batches, each with every other.
        w1: distance of the whole samples.
        floor: mean distance of two perfect samples of these sizes; error: how far one fluctuates.
        excess: distance of the distributions, without the noise of both samples.
    """

    protocol: Estimate
    protocol_floor: Estimate
    w1: Estimate
    floor: Estimate
    excess: Estimate

    def to_json(self) -> dict[str, dict[str, float]]:
        """Return {"value", "error"} of each by name."""
        return {name: estimate.to_json() for name, estimate in self._asdict().items()}


class MemberBand(NamedTuple):
    """The same numbers of an ensemble's members: their mean, and the half width of its band."""

    protocol: Estimate
    w1: Estimate
    excess: Estimate


@dataclass(frozen=True)
class CloudRow:
    """One generated sample against the reference.

    Attributes:
        name: of the sample.
        source: where its showers come from.
        n_showers: how many.
        batch_size: showers in a batch of `protocol`.
        paired: whether its showers were made for the reference's incident energies, in order.
        scores: by observable, in the order of metrics.OBSERVABLES.
        further: where the showers of the further members of an ensemble come from.
        bands: of all members, by observable; empty if the sample is no ensemble.
    """

    name: str
    source: str
    n_showers: int
    batch_size: int
    paired: bool
    scores: dict[str, CloudScore]
    further: tuple[str, ...] = ()
    bands: Mapping[str, MemberBand] = field(default_factory=dict)


@dataclass(frozen=True)
class PublishedClouds:
    """A published system.

    Attributes:
        model: its name; "GEANT4" is Geant4 against Geant4.
        w1: by observable, in standard deviations of Geant4, of batches of 50,000 showers.
        auc: of the classifier on high-level features, or None.
    """

    model: str
    w1: dict[str, Estimate]
    auc: Estimate | None


class Comparison(NamedTuple):
    """An observable beside a published one.

    Attributes:
        published: the published distance.
        verdict: "below": excess + error < published; "compatible": excess at most N_SIGMA errors
            above it; "above" otherwise. The error is that of both numbers.
        resolved: whether the samples are large enough to see a distance as small as the published
            one, that is, whether their floor is smaller. If not, "compatible" says little.
    """

    published: Estimate
    verdict: Verdict
    resolved: bool

    def to_json(self) -> dict:
        """Return the fields as plain values."""
        published = self.published.to_json()
        return {"published": published, "verdict": self.verdict, "resolved": self.resolved}


@dataclass(frozen=True)
class CloudTable:
    """All generated samples beside the published systems.

    Attributes:
        reference: where the reference's showers come from.
        n_reference: how many.
        threshold_mev: readout threshold of a cell.
        rows: one for each generated sample.
        published: the published rows, Geant4 first.
    """

    reference: str
    n_reference: int
    threshold_mev: float
    rows: tuple[CloudRow, ...]
    published: tuple[PublishedClouds, ...]

    def to_json(self) -> dict:
        """Return the numbers as plain values; `comparison` is by model and observable."""
        return {
            "reference": self.reference,
            "n_reference": self.n_reference,
            "threshold_mev": self.threshold_mev,
            "rows": [
                {
                    "name": row.name,
                    "source": row.source,
                    "n_showers": row.n_showers,
                    "batch_size": row.batch_size,
                    "paired": row.paired,
                    "scores": {name: score.to_json() for name, score in row.scores.items()},
                    "comparison": {
                        system.model: {
                            name: found.to_json()
                            for name, found in compare_published(row, system).items()
                        }
                        for system in self.published
                    },
                    **_bands_json(row),
                }
                for row in self.rows
            ],
        }


def _bands_json(row: CloudRow) -> dict:
    """Nothing for a sample that is no ensemble."""
    if not row.bands:
        return {}
    bands = {
        name: {kind: estimate.to_json() for kind, estimate in band._asdict().items()}
        for name, band in row.bands.items()
    }
    return {"members": list(row.further), "bands": bands}


@lru_cache
def published_clouds() -> tuple[PublishedClouds, ...]:
    """Return the published systems: Geant4 against Geant4, CaloClouds, II and II (CM).

    Source: CaloClouds II, arXiv:2309.05704.
    """
    path = resources.files("jaxcalo.metrics") / "published" / "calo_clouds.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    size = record["batch_size"]
    return tuple(
        PublishedClouds(
            model=row["model"],
            w1={
                name: Estimate(value / _PUBLISHED_FACTOR, error / _PUBLISHED_FACTOR, size)
                for name, (value, error) in row["w1"].items()
            },
            auc=None if row["auc"] is None else Estimate(row["auc"][0], row["auc"][1], size),
        )
        for row in record["rows"]
    )


def compare_published(row: CloudRow, system: PublishedClouds) -> dict[str, Comparison]:
    """Compare each observable of a sample with a published system.

    Args:
        row: the sample's scores.
        system: the published distances.

    Returns:
        Comparisons by observable, in the order of metrics.OBSERVABLES.
    """
    found = {}
    for name, score in row.scores.items():
        published, excess = system.w1[name], score.excess
        error = float(np.hypot(excess.error, published.error))
        if excess.value + error < published.value:
            verdict: Verdict = "below"
        elif excess.value <= published.value + N_SIGMA * error:
            verdict = "compatible"
        else:
            verdict = "above"
        found[name] = Comparison(published, verdict, score.floor.value <= published.value)
    return found


def _protocol_floor(reference: Observable, n_showers: int, batch_size: int) -> Estimate:
    """`protocol` of the reference's batches, each with every other: disjoint, of the same size."""
    scale = reference_scale(reference.values)
    masks = batches(n_showers, N_BATCHES, batch_size)
    values = [reference.select(mask).values / scale for mask in masks]
    distances = np.asarray(
        [
            [wasserstein_1(x, y) for x, y in zip(a.T, b.T, strict=True)]
            for a, b in combinations(values, 2)
        ]
    )
    error = np.sqrt(np.sum(distances.std(axis=0) ** 2))
    return Estimate(float(distances.mean()), float(error), batch_size)


def _check(reference: CloudObservables, generated: CloudObservables) -> None:
    """Raise InputError unless the samples can be compared."""
    for sample in (reference, generated):
        if sample.n_showers < MIN_SHOWERS:
            raise InputError(
                f"{sample.source}: the W1 table needs at least {MIN_SHOWERS} showers, found"
                f" {sample.n_showers}; use a larger file"
            )
    if reference.threshold_mev != generated.threshold_mev:
        raise InputError(
            f"{generated.source}: read with a threshold of {generated.threshold_mev:g} MeV, the"
            f" reference with {reference.threshold_mev:g}; read both with the same"
        )
    for name in OBSERVABLES:
        sizes = [sample.values[name].values.shape[1] for sample in (reference, generated)]
        if sizes[0] != sizes[1]:
            raise InputError(
                f"{generated.source}: {name} has {sizes[1]} components, the reference's {sizes[0]};"
                " observe both with the binning that was fitted to the reference"
            )


def cloud_row(name: str, reference: CloudObservables, generated: CloudObservables) -> CloudRow:
    """Compare one generated sample with the reference.

    Args:
        name: of the sample.
        reference: observables of Geant4; the more showers, the lower the floor.
        generated: observables of the sample, with the same binning and threshold.

    Returns:
        The scores of all observables.

    Raises:
        InputError: fewer than 20 showers, another threshold or another binning.
    """
    _check(reference, generated)
    sizes = reference.n_showers, generated.n_showers
    size, paired = min(sizes) // N_BATCHES, are_paired(reference, generated)
    scores = {}
    for key in OBSERVABLES:
        a, b = reference.values[key], generated.values[key]
        found = w1_excess(a, b, sizes, paired)
        scores[key] = CloudScore(
            protocol=protocol(a, b, sizes, size),
            protocol_floor=_protocol_floor(a, sizes[0], size),
            w1=found.w1,
            floor=found.floor,
            excess=found.excess,
        )
    return CloudRow(name, generated.source, sizes[1], size, paired, scores)


def with_members(row: CloudRow, members: Sequence[CloudRow]) -> CloudRow:
    """Add the bands of a sample's members to its row.

    Args:
        row: the first member's.
        members: rows of the further ones; none changes nothing.
    """
    if not members:
        return row
    bands = {}
    for name in row.scores:
        scores = [one.scores[name] for one in (row, *members)]
        kinds = ([getattr(score, kind) for score in scores] for kind in MemberBand._fields)
        bands[name] = MemberBand(*map(number_band, kinds))
    return replace(row, further=tuple(member.source for member in members), bands=bands)


def cloud_table(
    reference: CloudObservables,
    generated: Mapping[str, CloudObservables],
    further: Mapping[str, Sequence[CloudObservables]] | None = None,
) -> CloudTable:
    """Compare any number of generated samples with the reference and the published systems.

    Args:
        reference: observables of Geant4.
        generated: observables by the samples' names.
        further: further members of samples that are ensembles, by the same names.

    Returns:
        The table, rows in the order given.

    Raises:
        InputError: as `cloud_row`.
    """
    rows = []
    for name, sample in generated.items():
        others = [cloud_row(name, reference, member) for member in (further or {}).get(name, ())]
        rows.append(with_members(cloud_row(name, reference, sample), others))
    return CloudTable(
        reference=reference.source,
        n_reference=reference.n_showers,
        threshold_mev=reference.threshold_mev,
        rows=tuple(rows),
        published=published_clouds(),
    )
