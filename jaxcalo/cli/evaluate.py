"""`jaxcalo evaluate --reference A --generated B --geometry G --out DIR`."""

from pathlib import Path
from typing import TYPE_CHECKING

from jaxcalo.errors import InputError

if TYPE_CHECKING:
    from jaxcalo.metrics import Evaluation


def evaluate(
    reference: Path,
    generated: Path,
    geometry: str,
    out: Path,
    threshold: float | None = None,
    particle: str | None = None,
) -> None:
    """Compare two shower files and write report.html, report.md and report.json.

    Any two files in the CaloChallenge format will do, whoever made them.

    Args:
        reference: Monte Carlo showers, best ones that no model was trained on.
        generated: The showers to judge.
        geometry: ds1-photons, ds1-pions, ds2, ds3, par04_lite, ecal_crystals, or a binning XML.
        out: The folder of the report.
        particle: Which Bin of the XML, if it has several.
        threshold: Readout threshold in MeV; default: the geometry's.
    """
    run_evaluation(reference, generated, geometry, out, threshold, particle)


def run_evaluation(
    reference: Path,
    generated: Path,
    geometry: str,
    out: Path,
    threshold_mev: float | None = None,
    particle: str | None = None,
) -> None:
    """Evaluate, write the report and print its table."""
    from jaxcalo.data import open_showers
    from jaxcalo.geometry import load_geometry
    from jaxcalo.metrics import evaluate as compare
    from jaxcalo.metrics import extract
    from jaxcalo.plots import write_report

    detector = load_geometry(geometry, particle)
    if threshold_mev is not None and not threshold_mev >= 0.0:
        raise InputError(f"--threshold: expected 0 MeV or more, found {threshold_mev}")
    samples = []
    for path in (reference, generated):
        with open_showers(path, detector) as file:
            samples.append(extract(file, detector, threshold_mev))
    original, made = samples
    evaluation = compare(original, made, detector)
    write_report(evaluation, original, made, detector, out)
    _print_table(evaluation, out)


def _print_table(evaluation: "Evaluation", out: Path) -> None:
    from jaxcalo.metrics import verdict

    print(f"{'observable':<12} {'W1 to the reference':>22} {'floor (reference halves)':>26}")
    for name, score in evaluation.observables.items():
        distance = f"{score.w1.value:.3f} +- {score.w1.error:.3f}"
        floor = f"{score.floor.value:.3f} +- {score.floor.error:.3f}"
        print(f"{name:<12} {distance:>22} {floor:>26}")
    print("W1 is the Wasserstein distance in standard deviations of the reference: 0 is identical.")
    print(verdict(evaluation))
    print(f"report: {out / 'report.html'}")
