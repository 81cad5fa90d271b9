"""`jaxcalo challenge --dataset N --reference A --generated B...`."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jaxcalo.cli.challenge_record import (
    Record,
    read_record,
    settings_of,
    write_record,
)
from jaxcalo.cli.progress import counting_bar
from jaxcalo.errors import InputError
from jaxcalo.whole_files import write_all

if TYPE_CHECKING:
    from jaxcalo.geometry import Detector
    from jaxcalo.metrics.challenge import Step
    from jaxcalo.metrics.challenge_measures import Contender, Row
    from jaxcalo.metrics.challenge_protocol import Protocol
    from jaxcalo.metrics.leaderboard import DatasetName
    from jaxcalo.plots.challenge import ChallengeResult

_BAR = 1000  # the bar counts thousandths of the expected time


def challenge(
    reference: Path,
    generated: tuple[Path, ...],
    dataset: Literal["1-photons", "1-pions", "2", "3"] | None = None,
    geometry: str | None = None,
    particle: str | None = None,
    out: Path = Path("challenge"),
    classifiers: tuple[Literal["high", "low", "normalised", "resnet"], ...] = (
        "high",
        "low",
        "normalised",
    ),
    floor: Literal["high", "all"] = "high",
    repeats: int = 1,
    precision: Literal["float32", "float64"] = "float32",
    seed: int = 0,
    fast: bool = False,
    one_model: bool = False,
    log_posterior: bool = False,
) -> None:
    """Measure the whole CaloChallenge row of generated showers, beside the published leaderboard.

    Classifiers (AUC, JSD), FPD, KPD, precision, recall, density, coverage, all separation powers
    and the correlation of layer energies, as the organisers define them, and the same of Geant4
    against Geant4, from halves of the reference: the floor. One more number is not theirs: the
    excess noise of the layer energies, of samples that are large enough. Writes challenge.json
    (after every step; the same command goes on where it stopped) and challenge.md into a folder.
    Files are in the CaloChallenge format, energies in MeV. 2 x 5,000 showers of data set 2 take
    some minutes on two cores.

    Args:
        reference: Geant4 showers, best ones that no model was trained on.
        generated: One file or more of generated showers, a row each.
        dataset: Which CaloChallenge data set: its geometry, protocol and published rows.
        geometry: Instead of --dataset, for any other detector: ds1-photons, ds1-pions, ds2, ds3,
            par04_lite, ecal_crystals, or a binning XML; there are no published rows then.
        particle: Which Bin of the XML, if it has several.
        out: The folder of the result.
        classifiers: Which to train: on high-level features, on voxels (low), on voxels over their
            layer's energy (normalised), and the three-dimensional ResNet, which needs an
            accelerator.
        floor: Which of them to train on Geant4 against Geant4 as well; for the others 1/2 stands.
        repeats: Trainings of every classifier; with several, the errors hold their scatter.
        precision: Of the classifiers; the organisers' is float64, which takes twice as long.
        seed: Of all draws and initial weights.
        fast: Small classifiers and few batches, for development: not the protocol.
        one_model: The files are samples of one model: adds a row of their mean.
        log_posterior: Train one classifier to tell several models apart, and ask it which of them
            the reference looks like.
    """
    from jaxcalo.geometry import load_geometry
    from jaxcalo.metrics.challenge import steps
    from jaxcalo.metrics.challenge_protocol import fast as faster
    from jaxcalo.metrics.challenge_protocol import official
    from jaxcalo.plots.challenge import terminal_table, verdicts
    from jaxcalo.plots.challenge_report import to_markdown

    if one_model and len(generated) < 2:
        raise InputError(
            "--one-model: expected two generated files or more, samples of one model, found"
            f" {len(generated)}; leave it out or give more"
        )
    detector = load_geometry(_geometry(dataset, geometry), particle)
    protocol = official(dataset)
    training = dataclasses.replace(protocol.classifier, n_repeats=repeats, precision=precision)
    protocol = dataclasses.replace(
        protocol, classifier=training, classifiers=classifiers, floor=floor, seed=seed
    )
    protocol = faster(protocol) if fast else protocol
    known, *made = _contenders(reference, generated, detector)
    asked = steps(known, made, detector, protocol, log_posterior)
    _check_memory(protocol, detector, known, made)
    record = read_record(out, settings_of(reference, generated, detector, protocol))
    _measure(asked, record, out)
    result = _result(asked, record, (known, made), (detector, dataset), protocol, one_model)
    write_all(out, {"challenge.md": to_markdown(result).encode()})
    write_record(out, record, result)
    said = result.differences
    print("\n".join([terminal_table(result), *(said[:1] if fast else ()), *verdicts(result)]))
    if said:
        print(f"Differences from the published protocol: {len(said)}, listed in the report.")
    print(f"report: {out / 'challenge.md'}")


def _geometry(dataset: "DatasetName | None", geometry: str | None) -> str:
    """The geometry's name or file."""
    from jaxcalo.metrics.challenge_protocol import GEOMETRY

    if dataset is not None and geometry is None:
        return GEOMETRY[dataset]
    if geometry is not None and dataset is None:
        return geometry
    raise InputError(
        "jaxcalo challenge: expected either --dataset or --geometry, found"
        f" {'neither' if dataset is None else 'both'}; give one of them"
    )


def _contenders(
    reference: Path, generated: tuple[Path, ...], detector: "Detector"
) -> "list[Contender]":
    """The files, each named by its own name."""
    from jaxcalo.metrics.challenge_measures import contender_from_file

    return [contender_from_file(path, detector, path.name) for path in (reference, *generated)]


def _check_memory(
    protocol: "Protocol", detector: "Detector", known: "Contender", made: "list[Contender]"
) -> None:
    from jaxcalo.data.memory import available_memory_bytes
    from jaxcalo.metrics.challenge_cost import memory_bytes

    largest = max(contender.sample.n_showers for contender in made)
    needed = memory_bytes(protocol, detector, (known.sample.n_showers, largest))
    free = available_memory_bytes()
    if needed > free:
        raise InputError(
            f"{known.sample.n_showers:,} and {largest:,} showers of {detector.n_voxels:,} voxels"
            f" need about {needed / 1e9:.0f} GB of memory, found {free / 1e9:.0f} GB free; give"
            " files of fewer showers, or --classifiers high and --fast"
        )


def _measure(asked: "list[Step]", record: "Record", out: Path) -> None:
    """Run the steps that the record lacks, and write it after each."""
    left = [step for step in asked if step.name not in record.measured.get(step.row, {})]
    write_record(out, record)  # an unusable folder shows before the first step
    in_all, before = sum(step.seconds for step in left), 0.0
    with counting_bar(_BAR, "measuring", " permille") as move:
        for step in left:

            def observe(done: int, total: int, step=step, before=before) -> None:
                here = before + step.seconds * done / total
                move(int(_BAR * here / in_all), f"{step.row}: {step.name}")

            record.measured.setdefault(step.row, {})[step.name] = step.run(observe)
            before += step.seconds
            move(int(_BAR * before / in_all), f"{step.row}: {step.name}")
            write_record(out, record)


def _result(
    asked: "list[Step]",
    record: "Record",
    contenders: "tuple[Contender, list[Contender]]",
    readout: "tuple[Detector, DatasetName | None]",
    protocol: "Protocol",
    one_model: bool,
) -> "ChallengeResult":
    from importlib.metadata import version

    from jaxcalo.metrics.challenge import LOG_POSTERIOR, floor_name, mean_row
    from jaxcalo.metrics.challenge_measures import energies_differ
    from jaxcalo.metrics.challenge_protocol import differences
    from jaxcalo.plots.challenge import ChallengeResult

    known, made = contenders
    measured: dict[str, Row] = {}
    for step in asked:
        measured[step.row] = measured.get(step.row, {}) | record.measured[step.row][step.name]
    sizes = {contender.sample.source: contender.sample.n_showers for contender in made}
    rows = {name: measured[name] for name in sizes}
    floors = {name: measured[floor_name(n)] for name, n in sizes.items()}
    if one_model:
        mean = f"mean of {len(made)} samples"
        rows[mean] = mean_row(list(rows.values()))
        floors[mean] = measured[floor_name(min(sizes.values()))]
    n_reference = known.sample.n_showers
    said = differences(protocol, n_reference, min(sizes.values()))
    said += tuple(
        f"The incident energies of {contender.sample.source} differ from the reference's: every"
        " distance contains that difference. Generate at the energies of the reference."
        for contender in made
        if energies_differ(known.sample, contender.sample)
    )
    return ChallengeResult(
        detector=readout[0],
        dataset=readout[1],
        reference=(known.sample.source, n_reference),
        generated=sizes,
        rows=rows,
        floors=floors,
        log_posterior=measured.get(LOG_POSTERIOR),
        differences=said,
        version=version("jaxcalo"),
    )
