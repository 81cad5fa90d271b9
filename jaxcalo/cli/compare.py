"""`jaxcalo compare --reference FILE --geometry G --out DIR NAME=FILE [NAME=FILE ...]`."""

import dataclasses
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import tyro

from jaxcalo.cli.given_samples import REFERENCE, Given, given_samples
from jaxcalo.cli.progress import counting_bar
from jaxcalo.cli.shower_files import cloud_chunks, few_clouds, has_clouds, read_sample
from jaxcalo.errors import InputError

if TYPE_CHECKING:
    from jaxcalo.geometry import Detector
    from jaxcalo.metrics import Estimate, Sample
    from jaxcalo.metrics.cloud_observables import CloudObservables
    from jaxcalo.plots import Panel
    from jaxcalo.plots.comparison_tables import ComparisonResult
    from jaxcalo.plots.pictures import Picture


class _Read(NamedTuple):
    """What one member of a sample was condensed to."""

    sample: "Sample"
    observables: "CloudObservables"


def compare(
    samples: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="NAME=FILE ...")
    ],
    /,
    reference: Path,
    geometry: str | None = None,
    out: Path = Path("comparison"),
    also_reference: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction] = (),
    threshold: float | None = None,
    particle: str | None = None,
    classifier: bool = True,
    seed: int = 0,
) -> None:
    """Compare any number of generated files, or of runs, with Geant4: one table of distances.

    Prints the table and writes report.html, report.md and report.json. Files hold point clouds in
    the format of CaloClouds, voxels in that of the CaloChallenge, or four-lepton events (CSV). A
    run is sampled at the reference's energies, as many events as that has. Several members of a
    sample give error bands to its histograms and distances. A cloud sample that is
    named after a published system (CaloClouds, CaloClouds II, CaloClouds II (CM), or i, ii, cm)
    gets its published row.

    Args:
        samples: NAME=FILE for each generated sample, or NAME=RUN; without NAME= it is the file's
            or folder's. NAME=FILE,FILE,... gives the members of an ensemble, or runs with other
            seeds; the run of an ensemble is sampled once for each of its members.
        reference: Geant4 showers (or Pythia's events), best ones that no model was trained on.
            Showers generated at their energies, in their order, are compared more exactly.
        geometry: ild_ecal (clouds), ds1-photons, ds1-pions, ds2, ds3, par04_lite, ecal_crystals,
            or a binning XML. Four-lepton events have none.
        out: The folder of the report; what is sampled from runs is kept in it.
        also_reference: More Geant4 showers to be added to the reference, which lowers the floor;
            give the option once a file.
        threshold: Readout threshold in MeV; default: the geometry's.
        particle: Which Bin of the XML, if it has several.
        classifier: Train one to tell each sample from Geant4.
        seed: Of the classifiers, and of what is sampled from runs.
    """
    from jaxcalo.cli.compare_leptons import compare_leptons
    from jaxcalo.data import is_four_lepton_file
    from jaxcalo.geometry import load_geometry
    from jaxcalo.plots.comparison_report import write_comparison
    from jaxcalo.plots.comparison_tables import coverage_sentences, terminal_table, verdict

    if threshold is not None and not threshold >= 0.0:
        raise InputError(f"--threshold: expected 0 MeV or more, found {threshold}")
    made = given_samples(samples, reference, out, seed)
    if is_four_lepton_file(reference):
        files = {given.name: [paths[0] for paths in given.members] for given in made}
        compare_leptons(reference, files, out, seed=seed)
        return
    if geometry is None:
        raise InputError("--geometry: expected one for showers, found none; give ild_ecal, say")
    known = Given(REFERENCE, ((reference, *also_reference),))
    detector = load_geometry(geometry, particle)
    as_clouds = has_clouds([path for given in (known, *made) for path in chain(*given.members)])
    n_folds = _n_folds() if classifier else 0
    n_files = 1 + sum(len(given.members) for given in made)
    with counting_bar(n_files + (1 + len(made)) * n_folds, "comparing", " task") as move:
        counter = _Counter(move)
        read = _read_all(known, made, detector, threshold, as_clouds, counter)
        out.mkdir(parents=True, exist_ok=True)  # an unusable folder shows before the training
        result = _measure(read, detector, as_clouds, classifier, seed, counter)
    panels = _panels(read, detector)
    result = result._replace(coverage=_coverage(read, panels))
    pictures = _pictures(result, read, panels, (known, *made), as_clouds)
    write_comparison(result, pictures, out)
    print(terminal_table(result))
    print("W1 in hundredths of Geant4's standard deviation, the noise of the samples removed.")
    for row in result.table.rows:
        print(verdict(row, result))
    for sentence in coverage_sentences(result):
        print(sentence)
    print(f"report: {out / 'report.html'}")


class _Counter:
    """Steps done, of files read and folds trained."""

    def __init__(self, move: Callable[[int, str], None]):
        self._move, self._done = move, 0

    def step(self, note: str) -> None:
        """One more."""
        self._done += 1
        self._move(self._done, note)


def _n_folds() -> int:
    from jaxcalo.metrics.cloud_classifier import DEFAULT_PROTOCOL

    return DEFAULT_PROTOCOL.n_folds


def _read_all(
    known: Given,
    made: list[Given],
    detector: "Detector",
    threshold_mev: float | None,
    as_clouds: bool,
    counter: _Counter,
) -> dict[str, list[_Read]]:
    """Read the members of every sample, the reference first; its cells decide the bins of all."""
    from jaxcalo.metrics import fit_grouping, observables
    from jaxcalo.metrics.cloud_observables import (
        CloudObservables,
        fit_cloud_binning,
        observe_clouds,
    )
    from jaxcalo.metrics.cloud_sample import project_clouds

    def condensed(paths: tuple[Path, ...], name: str) -> "Sample":
        sample = read_sample(paths, detector, threshold_mev, as_clouds)
        counter.step(name)
        return sample

    (own,) = known.members
    original = condensed(own, known.name)
    if as_clouds:
        cells = project_clouds(cloud_chunks(own, detector), detector, threshold_mev).cells
        binning = fit_cloud_binning(cells)
    else:
        grouping = fit_grouping(original)

    def observe(paths: tuple[Path, ...], sample: "Sample") -> CloudObservables:
        if as_clouds:
            chunks = cloud_chunks(paths, detector)
            return observe_clouds(
                chunks, detector, binning, threshold_mev=threshold_mev, source=sample.source
            )
        return CloudObservables(
            sample.source,
            sample.threshold_mev,
            sample.incident_energy_mev,
            observables(sample, grouping),
        )

    read = {known.name: [_Read(original, observe(own, original))]}
    for given in made:
        read[given.name] = []
        for paths in given.members:
            sample = condensed(paths, given.name)
            read[given.name].append(_Read(sample, observe(paths, sample)))
    return read


def _measure(
    read: dict[str, list[_Read]],
    detector: "Detector",
    as_clouds: bool,
    classifier: bool,
    seed: int,
    counter: _Counter,
) -> "ComparisonResult":
    """The table and, if wanted, the classifiers."""
    from importlib.metadata import version

    from jaxcalo.metrics.cloud_classifier import classifier_null, classify_clouds
    from jaxcalo.metrics.cloud_table import cloud_table
    from jaxcalo.plots.comparison_tables import ComparisonResult, published_of

    (_, ((_, reference),)), *others = read.items()
    members = {name: [one.observables for one in found] for name, found in others}
    generated = {name: found[0] for name, found in members.items()}
    table = cloud_table(reference, generated, {name: m[1:] for name, m in members.items()})
    if not as_clouds:
        table = dataclasses.replace(table, published=())
    scores, null = {}, None
    if classifier:
        null = classifier_null(
            reference, seed=seed, observe=lambda *_: counter.step("classifier: Geant4")
        )
        for name, sample in generated.items():
            scores[name] = classify_clouds(
                reference,
                sample,
                seed=seed,
                observe=lambda *_, name=name: counter.step(f"classifier: {name}"),
            )
    found = {name: published_of(name, table.published) for name in generated}
    return ComparisonResult(
        detector=detector,
        table=table,
        scores=scores,
        null=null,
        published={name: system for name, system in found.items() if system is not None},
        version=version("jaxcalo"),
    )


def _panels(read: dict[str, list[_Read]], detector: "Detector") -> "dict[str, list[Panel]]":
    """The distributions of all samples, of members with their bands."""
    from jaxcalo.plots import banded_panels
    from jaxcalo.plots.cloud_comparison import overlay_panels

    (_, (original,)), *others = read.items()
    return {
        name: banded_panels(
            lambda one: overlay_panels(original.sample, one.sample, detector), found
        )
        for name, found in others
    }


def _coverage(
    read: dict[str, list[_Read]], panels: "dict[str, list[Panel]]"
) -> "dict[str, Estimate]":
    """What the bands of samples with members cover."""
    from jaxcalo.plots import bands_coverage

    sizes = {name: found[0].sample.n_showers for name, found in read.items()}
    return {
        name: bands_coverage(drawn, sizes[name] / sizes[REFERENCE])
        for name, drawn in panels.items()
        if len(read[name]) > 1
    }


def _pictures(
    result: "ComparisonResult",
    read: dict[str, list[_Read]],
    panels: "dict[str, list[Panel]]",
    every: tuple[Given, ...],
    as_clouds: bool,
) -> "list[Picture]":
    """Distances, distributions and, of clouds, single showers."""
    from jaxcalo.plots.cloud_comparison import (
        Distances,
        distance_figure,
        overlay_figure,
    )
    from jaxcalo.plots.clouds import cloud_figure, similar_rows
    from jaxcalo.plots.comparison_tables import COLUMNS
    from jaxcalo.plots.pictures import CLOUDS_CAPTION, Picture

    known, *made = every
    distances = [
        Distances(
            row.name,
            {key: score.excess for key, score in row.scores.items()},
            {key: score.floor for key, score in row.scores.items()},
            result.published[row.name].w1 if row.name in result.published else {},
        )
        for row in result.table.rows
    ]
    pictures = [
        Picture(
            "distances",
            "Distance of each sample from Geant4.",
            distance_figure(distances, COLUMNS),
        ),
        Picture(
            "distributions",
            "Distributions of all samples, and their ratio to Geant4.",
            overlay_figure(panels, known.name),
        ),
    ]
    if as_clouds:
        clouds, original = {}, read[known.name][0].sample.incident_energy_mev
        for given in made:
            energies = read[given.name][0].sample.incident_energy_mev
            first, second = zip(*similar_rows(original, energies), strict=True)
            clouds.setdefault(known.name, few_clouds(known.members[0], first, result.detector))
            clouds[given.name] = few_clouds(given.members[0], second, result.detector)
        figure = cloud_figure(clouds, result.detector.n_layers)
        pictures.append(Picture("clouds", CLOUDS_CAPTION, figure))
    return pictures
