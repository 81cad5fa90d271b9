"""`jaxcalo evaluate --reference A --generated B --geometry G --out DIR`."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from jaxcalo.cli.shower_files import few_clouds, has_clouds, read_sample
from jaxcalo.errors import InputError

if TYPE_CHECKING:
    from jaxcalo.metrics import Estimate, Evaluation


def evaluate(
    reference: Path,
    generated: Path,
    geometry: str,
    out: Path,
    threshold: float | None = None,
    particle: str | None = None,
    members: tuple[Path, ...] = (),
) -> None:
    """Compare two shower files and write report.html, report.md and report.json.

    Any two files will do, whoever made them: voxels in the CaloChallenge format, or point clouds in
    that of CaloClouds, which are summed into the cells of the geometry.

    Args:
        reference: Monte Carlo showers, best ones that no model was trained on.
        generated: The showers to judge.
        geometry: ds1-photons, ds1-pions, ds2, ds3, par04_lite, ecal_crystals, ild_ecal (clouds),
            or a binning XML.
        out: The folder of the report.
        particle: Which Bin of the XML, if it has several.
        threshold: Readout threshold in MeV; default: the geometry's.
        members: Further members of an ensemble that --generated is the first of, or samples of runs
            with other seeds: then histograms and W1 get error bands, and the report says how many
            bins they cover.
    """
    run_evaluation(reference, generated, geometry, out, threshold, particle, members)


def run_evaluation(
    reference: Path,
    generated: Path,
    geometry: str,
    out: Path,
    threshold_mev: float | None = None,
    particle: str | None = None,
    members: tuple[Path, ...] = (),
) -> None:
    """Evaluate, write the report and print its table."""
    from jaxcalo.geometry import load_geometry
    from jaxcalo.metrics import evaluate as compare
    from jaxcalo.plots import bands_coverage, panel_groups, similar_rows, write_report

    detector = load_geometry(geometry, particle)
    if threshold_mev is not None and not threshold_mev >= 0.0:
        raise InputError(f"--threshold: expected 0 MeV or more, found {threshold_mev}")
    paths = (reference, generated, *members)
    as_clouds = has_clouds(paths)
    original, made, *others = (
        read_sample((path,), detector, threshold_mev, as_clouds=as_clouds) for path in paths
    )
    evaluation = compare(original, made, detector, others)
    if others:
        groups = panel_groups(original, [made, *others], detector)
        panels = [panel for group in groups for panel in group.panels]
        coverage = bands_coverage(panels, made.n_showers / original.n_showers)
        evaluation = dataclasses.replace(evaluation, coverage=coverage)
    clouds = None
    if as_clouds:
        rows = similar_rows(original.incident_energy_mev, made.incident_energy_mev)
        first, second = zip(*rows, strict=True)
        clouds = (
            few_clouds((reference,), first, detector),
            few_clouds((generated,), second, detector),
        )
    write_report(evaluation, original, made, detector, out, clouds=clouds, members=others)
    _print_table(evaluation, out)


def _plain(estimate: "Estimate") -> str:
    return f"{estimate.value:.3f} +- {estimate.error:.3f}"


def _print_table(evaluation: "Evaluation", out: Path) -> None:
    from jaxcalo.metrics import verdict
    from jaxcalo.plots.text import coverage_of

    n_members = 1 + len(evaluation.members)
    title = f" {f'W1, {n_members} members':>22}" if evaluation.members else ""
    print(f"{'observable':<12} {'W1 to the reference':>22}{title} {'floor (reference halves)':>26}")
    for name, score in evaluation.observables.items():
        band = "" if score.members is None else f" {_plain(score.members):>22}"
        print(f"{name:<12} {_plain(score.w1):>22}{band} {_plain(score.floor):>26}")
    print("W1 is the Wasserstein distance in standard deviations of the reference: 0 is identical.")
    print(verdict(evaluation))
    for sentence in coverage_of(evaluation, ("the reference", "generated")):
        print(sentence)
    print(f"report: {out / 'report.html'}")
