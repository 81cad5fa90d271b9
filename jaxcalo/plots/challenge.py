"""The rows of the challenge as lines of a table, beside the floor and the published rows."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from jaxcalo.geometry import Detector
from jaxcalo.metrics.challenge import SEPARATIONS, Judged, judge, separation_mean
from jaxcalo.metrics.challenge_measures import Row
from jaxcalo.metrics.estimate import Estimate
from jaxcalo.metrics.leaderboard import GEANT4, DatasetName, PublishedRow, published

N_BEST = 5  # published rows on the terminal
PER_MILLE = 1e3
SQUARED_PER_CENT = 1e4

MEANINGS = {
    "auc_high": "AUC, high-level features",
    "auc_low": "AUC, voxels",
    "auc_normalised": "AUC, normalised voxels",
    "auc_resnet": "AUC, ResNet",
    "fpd_excess": "Frechet distance less Geant4's own x 10^3",
    "kpd": "KPD x 10^3",
    "separation": "mean separation power x 10^3",
    "correlation": "correlation of layer energies",
    "layer_noise": "excess noise of layer energies, tau^2 in %^2",
}
SCALED = ("fpd", "kpd", "fpd_excess", "fpd_published", "kpd_published", "separation", *SEPARATIONS)


class ChallengeResult(NamedTuple):
    """What was measured.

    Attributes:
        detector: the readout.
        dataset: of the challenge; None for another detector.
        reference: name and number of showers of the reference.
        generated: number of showers by the name of each generated sample.
        rows: measured quantities by the name of each row; a mean over samples has its own.
        floors: of Geant4 against Geant4, by the name of the row that it belongs to.
        log_posterior: by the name of each generated sample; None if not asked for.
        differences: from the published protocol, a sentence each.
        version: of this package.
    """

    detector: Detector
    dataset: DatasetName | None
    reference: tuple[str, int]
    generated: dict[str, int]
    rows: dict[str, Row]
    floors: dict[str, Row]
    log_posterior: Row | None
    differences: tuple[str, ...]
    version: str


class Line(NamedTuple):
    """A line of the leaderboard: cells by column, and what it is sorted by."""

    name: str
    cells: dict[str, str]
    auc: float
    is_own: bool


def number(value: float | None, digits: int = 3) -> str:
    """Significant digits without an exponent that nobody reads; a dash for what is not there."""
    if value is None:
        return "-"
    text = f"{value:#.{digits}g}"
    return f"{value:.0f}" if "e" in text and abs(value) >= 1 else text.rstrip(".")


def estimate_text(name: str, estimate: Estimate) -> str:
    """Write a quantity with its error: distances and separation powers x 1000, noise in %^2.

    Args:
        name: of the quantity, as in metrics.challenge.
        estimate: the number.

    Returns:
        "0.5012 ± 0.0090"; without an error where none is known.
    """
    scale = PER_MILLE if name in SCALED or name.startswith("e_ratio@") else 1.0
    scale = SQUARED_PER_CENT if name == "layer_noise" else scale
    value, error = scale * estimate.value, scale * estimate.error
    if name in ("precision", "recall", "density", "coverage"):
        digits = 3
    elif scale == 1.0:
        digits = 4
    else:
        digits = max(0, min(4, 1 - math.floor(math.log10(error)))) if error > 0 else 3
    text = f"{value:.{digits}f}"
    return text if math.isnan(error) else f"{text} ± {error:.{digits}f}"


def floor_text(name: str, floor: Estimate) -> str:
    """Write a floor; one without any error was not measured but is known.

    Args:
        name: of the quantity.
        floor: as in metrics.challenge.Judged.
    """
    if floor.error:
        return estimate_text(name, floor)
    return "0, its expectation" if floor.value == 0 else "1/2, its expectation"


def _own_line(name: str, row: Mapping[str, Estimate], posterior: Estimate | None) -> Line:
    """FPD as published if the samples are large enough, else its excess over Geant4's own."""
    values = dict(row)
    mean = separation_mean(values)
    if mean is not None:
        values["separation"] = mean
    values["fpd"] = values.get("fpd_published", values.get("fpd_excess", values["fpd"]))
    values["kpd"] = values.get("kpd_published", values["kpd"])
    if posterior is not None:
        values["log_posterior"] = posterior
    cells = {
        column: estimate_text(column, values[column]) for column in COLUMNS if column in values
    }
    auc = values.get("auc_low", values.get("auc_high"))
    return Line(name, cells, math.inf if auc is None else auc.value, True)


def _published_line(row: PublishedRow, by_low: bool) -> Line:
    name = "Geant4 (published)" if row.model == GEANT4 else row.model
    mean = sum(row.separation[s] for s in SEPARATIONS) / len(SEPARATIONS)
    cells = {
        "auc_low": f"{row.auc_low:.4f} ± {row.auc_low_error:.4f}",
        "auc_high": f"{row.auc_high:.4f}",
        "auc_resnet": "-" if row.auc_resnet is None else f"{row.auc_resnet:.4f}",
        "fpd": number(row.fpd_e3),
        "kpd": number(row.kpd_e3),
        "separation": number(PER_MILLE * mean),
        "precision": number(row.precision),
        "recall": number(row.recall),
        "density": number(row.density),
        "coverage": number(row.coverage),
        "log_posterior": number(row.log_posterior),
    }
    return Line(name, cells, row.auc_low if by_low else row.auc_high, False)


COLUMNS = {
    "auc_low": "AUC low",
    "auc_high": "AUC high",
    "auc_resnet": "AUC ResNet",
    "fpd": "FPD x 10^3",
    "kpd": "KPD x 10^3",
    "separation": "sep. x 10^3",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "log_posterior": "log posterior",
}
_SHORT = ("auc_low", "auc_high", "fpd", "kpd", "separation", "precision", "recall", "coverage")


def lines_of(result: ChallengeResult) -> list[Line]:
    """All rows, sorted by the low-level AUC, or by the high-level one if that is all there is."""
    posterior = result.log_posterior or {}
    lines = [_own_line(name, row, posterior.get(name)) for name, row in result.rows.items()]
    floors = {id(floor): (name, floor) for name, floor in result.floors.items()}.values()
    for name, floor in floors:
        n = floor["fpd"].n
        line = _own_line(f"Geant4 (halves of the reference, {n:,} showers)", floor, None)
        if "fpd_published" not in result.rows[name]:
            line.cells["fpd"] = "0"  # its excess over itself
        lines.append(line)
    if result.dataset is not None:
        by_low = all("auc_low" in row for row in result.rows.values())
        lines += [_published_line(row, by_low) for row in published(result.dataset)]
    return sorted(lines, key=lambda line: line.auc)


def terminal_table(result: ChallengeResult) -> str:
    """Write the measured rows beside the floor and the best published rows, aligned.

    Args:
        result: what was measured.

    Returns:
        The table; the rows of generated samples begin with ">".
    """
    lines = lines_of(result)
    best = [line for line in lines if not line.is_own][: N_BEST + 1]
    shown = [line for line in lines if line.is_own or line in best]
    columns = [c for c in _SHORT if any(c in line.cells for line in shown if line.is_own)]
    table = [["", *(COLUMNS[c] for c in columns)]]
    for line in shown:
        mark = "> " if line.name in result.rows else "  "
        table.append([mark + line.name, *(line.cells.get(c, "-") for c in columns)])
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    return "\n".join(
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)),
            ]
        ).rstrip()
        for row in table
    )


def verdict(name: str, judged: Mapping[str, Judged]) -> str:
    """Say in one sentence how a row compares with Geant4 itself.

    Args:
        name: of the row.
        judged: see metrics.challenge.judge.
    """
    far = {key: j for key, j in judged.items() if not j.agrees}
    if not far:
        return f"{name}: all {len(judged)} distances agree with Geant4 within its own floor."
    found = "; ".join(
        f"{MEANINGS[key]} = {estimate_text(key, j.value)} (floor {floor_text(key, j.floor)})"
        for key, j in far.items()
    )
    n = len(judged) - len(far)
    return (
        f"{name}: {n} of {len(judged)} distances agree with Geant4 within its own floor; not"
        f" {found}."
    )


def verdicts(result: ChallengeResult) -> list[str]:
    """One sentence for every measured row."""
    return [verdict(name, judge(row, result.floors[name])) for name, row in result.rows.items()]
