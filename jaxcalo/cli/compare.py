"""`jaxcalo compare --reference FILE --geometry G --out DIR NAME=FILE [NAME=FILE ...]`."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import tyro

from jaxcalo.cli.progress import counting_bar
from jaxcalo.cli.sample import sample_like
from jaxcalo.cli.shower_files import cloud_chunks, few_clouds, has_clouds, read_sample
from jaxcalo.errors import InputError

if TYPE_CHECKING:
    from jaxcalo.geometry import Detector
    from jaxcalo.metrics import Sample
    from jaxcalo.metrics.cloud_observables import CloudObservables
    from jaxcalo.plots.comparison_tables import ComparisonResult
    from jaxcalo.plots.pictures import Picture


_REFERENCE = "Geant4"


class _Given(NamedTuple):
    """What one sample is made of."""

    name: str
    paths: tuple[Path, ...]


class _Read(NamedTuple):
    """What one sample was condensed to."""

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
    run is sampled at the reference's energies, as many events as that has. A cloud sample that is
    named after a published system (CaloClouds, CaloClouds II, CaloClouds II (CM), or i, ii, cm)
    gets its published row.

    Args:
        samples: NAME=FILE for each generated sample, or NAME=RUN; without NAME= it is the file's
            or folder's.
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
        seed: Of the classifiers.
    """
    from jaxcalo.cli.compare_leptons import compare_leptons
    from jaxcalo.data import is_four_lepton_file
    from jaxcalo.geometry import load_geometry
    from jaxcalo.plots.comparison_report import write_comparison
    from jaxcalo.plots.comparison_tables import terminal_table, verdict

    if threshold is not None and not threshold >= 0.0:
        raise InputError(f"--threshold: expected 0 MeV or more, found {threshold}")
    made = [_sampled(given, reference, out, seed) for given in _parse(samples)]
    if is_four_lepton_file(reference):
        compare_leptons(reference, {one.name: one.paths[0] for one in made}, out, seed=seed)
        return
    if geometry is None:
        raise InputError("--geometry: expected one for showers, found none; give ild_ecal, say")
    known = _Given(_REFERENCE, (reference, *also_reference))
    detector = load_geometry(geometry, particle)
    as_clouds = has_clouds([path for given in (known, *made) for path in given.paths])
    n_folds = _n_folds() if classifier else 0
    with counting_bar((1 + len(made)) * (1 + n_folds), "comparing", " task") as move:
        counter = _Counter(move)
        read = _read_all(known, made, detector, threshold, as_clouds, counter)
        out.mkdir(parents=True, exist_ok=True)  # an unusable folder shows before the training
        result = _measure(read, detector, as_clouds, classifier, seed, counter)
    pictures = _pictures(result, read, known, made, as_clouds)
    write_comparison(result, pictures, out)
    print(terminal_table(result))
    print("W1 in hundredths of Geant4's standard deviation, the noise of the samples removed.")
    for row in result.table.rows:
        print(verdict(row, result))
    print(f"report: {out / 'report.html'}")


class _Counter:
    """Steps done, of files read and folds trained."""

    def __init__(self, move: Callable[[int, str], None]):
        self._move, self._done = move, 0

    def step(self, note: str) -> None:
        """One more."""
        self._done += 1
        self._move(self._done, note)


def _parse(arguments: Sequence[str]) -> list[_Given]:
    """NAME=FILE, or NAME=RUN, of each sample."""
    given = []
    for argument in arguments:
        name, equals, file = argument.partition("=")
        path = Path(file if equals else argument)
        given.append(_Given(name.strip() if equals else path.stem, (path,)))
    names = [_REFERENCE, *(sample.name for sample in given)]
    if not given or "" in names or len(set(names)) < len(names):
        found = ", ".join(arguments) or "none"
        raise InputError(
            "jaxcalo compare: expected NAME=FILE for one generated sample or more, each with a name"
            f" of its own that is not {_REFERENCE}, found {found}"
        )
    return given


def _sampled(given: _Given, reference: Path, out: Path, seed: int) -> _Given:
    """A sample as it is; a run as the file of what it makes."""
    if not given.paths[0].is_dir():
        return given
    path = out / "samples" / f"{given.name}{reference.suffix}"
    sample_like(given.paths[0], reference, path, seed)
    return _Given(given.name, (path,))


def _n_folds() -> int:
    from jaxcalo.metrics.cloud_classifier import DEFAULT_PROTOCOL

    return DEFAULT_PROTOCOL.n_folds


def _read_all(
    known: _Given,
    made: list[_Given],
    detector: "Detector",
    threshold_mev: float | None,
    as_clouds: bool,
    counter: _Counter,
) -> dict[str, _Read]:
    """Read every sample, the reference first; its cells decide the bins of all."""
    from jaxcalo.metrics import fit_grouping, observables
    from jaxcalo.metrics.cloud_observables import (
        CloudObservables,
        fit_cloud_binning,
        observe_clouds,
    )
    from jaxcalo.metrics.cloud_sample import project_clouds

    every = [known, *made]
    condensed = {}
    for given in every:
        condensed[given.name] = read_sample(given.paths, detector, threshold_mev, as_clouds)
        counter.step(given.name)
    if as_clouds:
        cells = project_clouds(cloud_chunks(known.paths, detector), detector, threshold_mev).cells
        binning = fit_cloud_binning(cells)

        def observe(given: _Given) -> CloudObservables:
            chunks, source = cloud_chunks(given.paths, detector), condensed[given.name].source
            return observe_clouds(
                chunks, detector, binning, threshold_mev=threshold_mev, source=source
            )
    else:
        grouping = fit_grouping(condensed[known.name])

        def observe(given: _Given) -> CloudObservables:
            sample = condensed[given.name]
            return CloudObservables(
                sample.source,
                sample.threshold_mev,
                sample.incident_energy_mev,
                observables(sample, grouping),
            )

    return {given.name: _Read(condensed[given.name], observe(given)) for given in every}


def _measure(
    read: dict[str, _Read],
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

    (_, (_, reference)), *others = read.items()
    generated = {name: found.observables for name, found in others}
    table = cloud_table(reference, generated)
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


def _pictures(
    result: "ComparisonResult",
    read: dict[str, _Read],
    known: _Given,
    made: list[_Given],
    as_clouds: bool,
) -> "list[Picture]":
    """Distances, distributions and, of clouds, single showers."""
    from jaxcalo.plots.cloud_comparison import (
        Distances,
        distance_figure,
        overlay_figure,
        overlay_panels,
    )
    from jaxcalo.plots.clouds import cloud_figure, similar_rows
    from jaxcalo.plots.comparison_tables import COLUMNS
    from jaxcalo.plots.pictures import CLOUDS_CAPTION, Picture

    original = read[known.name].sample
    distances = [
        Distances(
            row.name,
            {key: score.excess for key, score in row.scores.items()},
            {key: score.floor for key, score in row.scores.items()},
            result.published[row.name].w1 if row.name in result.published else {},
        )
        for row in result.table.rows
    ]
    panels = {
        given.name: overlay_panels(original, read[given.name].sample, result.detector)
        for given in made
    }
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
        clouds = {}
        for given in made:
            energies = read[given.name].sample.incident_energy_mev
            rows = similar_rows(original.incident_energy_mev, energies)
            first, second = zip(*rows, strict=True)
            clouds.setdefault(known.name, few_clouds(known.paths, first, result.detector))
            clouds[given.name] = few_clouds(given.paths, second, result.detector)
        figure = cloud_figure(clouds, result.detector.n_layers)
        pictures.append(Picture("clouds", CLOUDS_CAPTION, figure))
    return pictures
