"""All numbers of a comparison of generated showers with a reference."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import NamedTuple

import numpy as np

from jaxcalo.errors import InputError
from jaxcalo.geometry import Detector
from jaxcalo.metrics.bands import number_band
from jaxcalo.metrics.correlation import Correlation, correlate
from jaxcalo.metrics.estimate import Estimate, within_floor
from jaxcalo.metrics.observables import Observable, fit_grouping, observables
from jaxcalo.metrics.sample import Sample
from jaxcalo.metrics.separation import Separation, separations
from jaxcalo.metrics.splits import halves
from jaxcalo.metrics.tables import make_tables
from jaxcalo.metrics.wasserstein import MIN_SHOWERS, w1, w1_floor


class Score(NamedTuple):
    """One observable's distance and what the reference itself has between two halves.

    Attributes:
        w1: distance of the generated sample, in standard deviations of the reference.
        floor: distance between halves of the reference, in the same unit.
        members: mean distance of the members of an ensemble, and the half width of its band.
    """

    w1: Estimate
    floor: Estimate
    members: Estimate | None = None

    @property
    def agrees(self) -> bool:
        """Whether the distance is at most the floor plus N_SIGMA errors of both."""
        error = float(np.hypot(self.w1.error, self.floor.error))
        return within_floor(self.w1.value, self.floor.value, error)

    @property
    def ratio(self) -> float | None:
        """Distance in units of the floor; None when the reference has no spread at all."""
        return self.w1.value / self.floor.value if self.floor.value > 0 else None

    def to_json(self) -> dict[str, dict[str, float]]:
        """Return {"value", "error"} of w1, floor and, if there are any, members, by name."""
        found = {name: e for name, e in self._asdict().items() if e is not None}
        return {name: estimate.to_json() for name, estimate in found.items()}


class Profile(NamedTuple):
    """Mean and error of the mean in each bin of a profile, arrays (k,)."""

    reference: np.ndarray
    reference_error: np.ndarray
    generated: np.ndarray
    generated_error: np.ndarray


@dataclass(frozen=True)
class Evaluation:
    """How good a generated sample is.

    Attributes:
        detector: name of the geometry.
        particle: the incident particle.
        n_layers: layers that are read out.
        n_voxels: voxels of a shower.
        threshold_mev: readout threshold, MeV.
        sources: names of the reference and of the generated sample.
        n_showers: sizes of the two samples.
        observables: scores by name, in the order of metrics.OBSERVABLES.
        incident_energy: the score of log10 of the incident energy: not a quality of the generator
            but a condition of the comparison.
        separation: separation powers by name.
        correlation: correlations of the layer energies.
        longitudinal: energy in each layer, MeV.
        radial: energy in each ring over its area, MeV/mm^2.
        ring_edges_mm: (n_rings + 1,) radial edges of `radial`.
        version: of this package.
        members: names of the further members of the generated sample; all other numbers but
            Score.members are those of the first, in `sources`.
        coverage: of the bands of all histograms, see plots.bands_coverage; None without members.
    """

    detector: str
    particle: str
    n_layers: int
    n_voxels: int
    threshold_mev: float
    sources: tuple[str, str]
    n_showers: tuple[int, int]
    observables: dict[str, Score]
    incident_energy: Score
    separation: dict[str, Separation]
    correlation: Correlation
    longitudinal: Profile
    radial: Profile
    ring_edges_mm: np.ndarray
    version: str
    members: tuple[str, ...] = ()
    coverage: Estimate | None = None

    def to_json(self) -> dict:
        """Return the numbers as plain dictionaries, lists and finite floats."""
        ensemble: dict = {"members": list(self.members)} if self.members else {}
        if self.coverage is not None:
            ensemble["band_coverage"] = {**self.coverage.to_json(), "n_bins": self.coverage.n}
        return {
            "jaxcalo_version": self.version,
            "geometry": {
                "name": self.detector,
                "particle": self.particle,
                "n_layers": self.n_layers,
                "n_voxels": self.n_voxels,
            },
            "threshold_mev": self.threshold_mev,
            "files": dict(zip(("reference", "generated"), self.sources, strict=True)),
            "n_showers": dict(zip(("reference", "generated"), self.n_showers, strict=True)),
            "observables": {name: score.to_json() for name, score in self.observables.items()},
            "incident_energy": self.incident_energy.to_json(),
            "separation": {
                name: _with_floor(s.value, s.floor) for name, s in self.separation.items()
            },
            "layer_correlation_frobenius": _with_floor(
                self.correlation.frobenius, self.correlation.floor
            ),
            "longitudinal_mev": _profile_json(self.longitudinal),
            "radial_mev_per_mm2": {
                "edges_mm": self.ring_edges_mm.tolist(),
                **_profile_json(self.radial),
            },
            **ensemble,
        }


def _with_floor(value: float, floor: Estimate) -> dict[str, float]:
    return {"value": value, "floor": floor.value, "floor_error": floor.error}


def _profile_json(profile: Profile) -> dict[str, list[float]]:
    return {name: array.tolist() for name, array in profile._asdict().items()}


def _profile(reference: np.ndarray, generated: np.ndarray) -> Profile:
    """Mean over showers of (n, k) and (m, k) and the errors of the means."""
    columns = []
    for values in (reference, generated):
        columns += [values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))]
    return Profile(*columns)


def _check_comparable(reference: Sample, generated: Sample, detector: Detector) -> None:
    """Raise InputError unless the samples can be compared on this detector."""
    for role, sample in (("reference", reference), ("generated", generated)):
        if sample.n_showers < MIN_SHOWERS:
            raise InputError(
                f"{role} sample {sample.source}: an evaluation needs at least {MIN_SHOWERS}"
                f" showers, found {sample.n_showers}; use a larger file"
            )
        if len(sample.mean_shower_mev) != detector.n_voxels:
            raise InputError(
                f"{role} sample {sample.source}: has {len(sample.mean_shower_mev)} voxels,"
                f" geometry {detector.name!r} has {detector.n_voxels};"
                " evaluate with the geometry of the files"
            )
    if reference.threshold_mev != generated.threshold_mev:
        raise InputError(
            f"the samples were read with thresholds of {reference.threshold_mev:g} and"
            f" {generated.threshold_mev:g} MeV; read both with the same"
        )
    if not reference.moments.n_hits.any():
        raise InputError(
            f"reference sample {reference.source}: no voxel reaches the threshold of"
            f" {reference.threshold_mev:g} MeV; lower the threshold or check the file's unit"
        )


def _incident(sample: Sample) -> Observable:
    """log10 of the incident energy as an observable."""
    logarithm = np.log10(sample.incident_energy_mev)[:, None]
    return Observable(logarithm, np.arange(sample.n_showers))


def _with_members(
    scores: dict[str, Score],
    reference: dict[str, Observable],
    members: list[dict[str, Observable]],
) -> dict[str, Score]:
    """Add the bands of a sample, which the scores are of, and its further members."""

    def distance(name: str, member: dict[str, Observable]) -> Estimate:
        sizes = (len(reference["n_hits"].values), len(member["n_hits"].values))
        return w1(reference[name], member[name], sizes)

    return {
        name: score._replace(
            members=number_band([score.w1, *(distance(name, member) for member in members)])
        )
        for name, score in scores.items()
    }


def evaluate(
    reference: Sample,
    generated: Sample,
    detector: Detector,
    members: Sequence[Sample] = (),
) -> Evaluation:
    """Compare generated showers with a reference in every number of the report.

    Args:
        reference: the condensed reference (Geant4).
        generated: the condensed generated showers, read with the same threshold.
        detector: their readout.
        members: further members of the generated sample, an ensemble.

    Returns:
        The evaluation; every number in it is finite.

    Raises:
        InputError: fewer than 20 showers, samples of another detector or of different thresholds,
            or a reference without energy.
    """
    for sample in (generated, *members):
        _check_comparable(reference, sample, detector)
    sizes = (reference.n_showers, generated.n_showers)
    grouping = fit_grouping(reference)
    first, second = observables(reference, grouping), observables(generated, grouping)

    def score(a: Observable, b: Observable) -> Score:
        return Score(w1(a, b, sizes), w1_floor(a, *sizes))

    scores = {name: score(first[name], second[name]) for name in first}
    if members:
        scores = _with_members(scores, first, [observables(m, grouping) for m in members])
    masks = halves(*sizes)
    tables = make_tables(detector)
    a, b = reference.moments, generated.moments
    return Evaluation(
        detector=detector.name,
        particle=detector.particle,
        n_layers=detector.n_layers,
        n_voxels=detector.n_voxels,
        threshold_mev=reference.threshold_mev,
        sources=(reference.source, generated.source),
        n_showers=sizes,
        observables=scores,
        incident_energy=score(_incident(reference), _incident(generated)),
        separation=separations(reference, generated, detector, masks),
        correlation=correlate(a.features.e_layer_mev, b.features.e_layer_mev, masks),
        longitudinal=_profile(a.features.e_layer_mev, b.features.e_layer_mev),
        radial=_profile(
            a.ring_energy_mev / tables.ring_area_mm2, b.ring_energy_mev / tables.ring_area_mm2
        ),
        ring_edges_mm=tables.ring_edges_mm,
        version=version("jaxcalo"),
        members=tuple(member.source for member in members),
    )


def _times(value: float, floor: Estimate) -> str:
    """How far above the floor, in words."""
    return f", {value / floor.value:.1f} times its floor" if floor.value > 0 else ""


def verdict(evaluation: Evaluation) -> str:
    """Say in one sentence how good the generated sample is.

    Args:
        evaluation: the numbers.

    Returns:
        A sentence for the top of a report or the end of a command.
    """
    scores, powers = evaluation.observables, evaluation.separation
    far = [name for name, score in scores.items() if not score.agrees]
    split = [name for name, power in powers.items() if not power.agrees]
    if not far:
        first = f"All {len(scores)} observables agree with the reference within its own floor"
    else:
        name = max(far, key=lambda name: scores[name].w1.value)
        value, floor = scores[name].w1.value, scores[name].floor
        first = (
            f"{len(scores) - len(far)} of {len(scores)} observables agree with the reference within"
            f" its own floor, the farthest is {name} (W1 = {value:.3g} standard deviations"
            f"{_times(value, floor)})"
        )
    if not split:
        return f"{first}; so do all {len(powers)} separation powers."
    name = max(split, key=lambda name: powers[name].value)
    value, floor = powers[name].value, powers[name].floor
    return (
        f"{first}; {len(powers) - len(split)} of {len(powers)} separation powers do, the largest"
        f" is that of {name} ({value:.3g}{_times(value, floor)})."
    )


def agrees(evaluation: Evaluation) -> bool:
    """Whether every observable and every separation power is within its floor."""
    found = [*evaluation.observables.values(), *evaluation.separation.values()]
    return all(number.agrees for number in found)
