"""The W1 table of several generated samples beside Geant4, and what it says, as text."""

import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from jaxcalo.geometry import Detector
from jaxcalo.metrics.cloud_classifier import CloudClassifierScore
from jaxcalo.metrics.cloud_table import (
    CloudRow,
    CloudTable,
    PublishedClouds,
    compare_published,
)
from jaxcalo.metrics.estimate import Estimate, within_floor
from jaxcalo.metrics.leaderboard import GEANT4
from jaxcalo.plots.bands import coverage_sentence, members_title
from jaxcalo.plots.text import Table, aligned

COLUMNS = {
    "n_hits": "N_hits",
    "e_ratio": "E_vis/E_inc",
    "e_cell": "E_cell",
    "e_long": "E_long",
    "e_radial": "E_radial",
    "centre_x": "m1_x",
    "centre_y": "m1_y",
    "centre_z": "m1_z",
}
HUNDREDTHS = 100  # the published tables give W1 times 100
ITSELF = "Geant4 with itself"
_SHORT_NAMES = {
    "CaloClouds": ("", "1", "i"),
    "CaloClouds II": ("2", "ii"),
    "CaloClouds II (CM)": ("cm", "2cm", "iicm"),
}
_ALONE = ("i", "ii", "cm")  # understood without "CaloClouds" before them


class ComparisonResult(NamedTuple):
    """What was measured.

    Attributes:
        detector: the readout.
        table: distances of all samples; no published systems where they cannot be compared.
        scores: of the classifier, by sample; empty if it was not trained.
        null: of the classifier on halves of the reference; None if it was not trained.
        published: the published system that each sample is set beside, by sample.
        version: of this package.
        coverage: of the bands of samples with members, by sample.
    """

    detector: Detector
    table: CloudTable
    scores: Mapping[str, CloudClassifierScore]
    null: CloudClassifierScore | None
    published: Mapping[str, PublishedClouds]
    version: str
    coverage: Mapping[str, Estimate] = MappingProxyType({})


def published_of(name: str, systems: Iterable[PublishedClouds]) -> PublishedClouds | None:
    """Return the published system that a sample is named after.

    Case, blanks and punctuation do not count: "CaloClouds II (CM)", "calo_clouds_2_cm" and "cm"
    are one.

    Args:
        name: of the sample.
        systems: the published ones.
    """
    short = re.sub(r"[^a-z0-9]", "", name.lower())
    rest = short.removeprefix("caloclouds")
    for system in systems:
        if rest in _SHORT_NAMES.get(system.model, ()) and (rest != short or short in _ALONE):
            return system
    return None


def _percent(estimate: Estimate) -> str:
    """In hundredths of a standard deviation, as published."""
    return f"{HUNDREDTHS * estimate.value:.1f} ± {HUNDREDTHS * estimate.error:.1f}"


def _line(name: str, of: Callable[[str], Estimate]) -> tuple[str, ...]:
    return name, *(_percent(of(key)) for key in COLUMNS)


def _published_line(system: PublishedClouds) -> tuple[str, ...]:
    model = "Geant4" if system.model == GEANT4 else system.model
    return _line(f"{model}, published", lambda key: system.w1[key])


def _table(rows: list[tuple[str, ...]], marks: list[bool | None] | None = None) -> Table:
    header = ("x 10^-2", *COLUMNS.values())
    numbers = frozenset(range(1, len(header)))
    return Table(header, numbers, rows, marks or [None] * len(rows))


def agreeing(row: CloudRow) -> list[str]:
    """Return the observables in which a sample is as near to the reference as a perfect one."""
    return [
        name
        for name, s in row.scores.items()
        if within_floor(s.w1.value, s.floor.value, s.floor.error)
    ]


def _sizes(row: CloudRow) -> str:
    paired = ", at equal energies" if row.paired else ""
    return f"{row.n_showers:,} showers{paired}"


def _with_floors(
    result: ComparisonResult,
    kind: Literal["excess", "w1"],
    with_published: bool,
) -> list[tuple[str, ...]]:
    """The floor of each size of sample, once, and the samples with members and published below."""
    floors: dict[str, CloudRow] = {}
    for row in result.table.rows:
        floors.setdefault(_sizes(row), row)
    rows = []
    for size, row in floors.items():
        name = f"{ITSELF} ({size})" if len(floors) > 1 else ITSELF
        rows.append(_line(name, lambda key, row=row: row.scores[key].floor))
    for row in result.table.rows:
        rows.append(_line(row.name, lambda key, row=row: getattr(row.scores[key], kind)))
        rows += _members_line(row, kind)
        if with_published and row.name in result.published:
            rows.append(_published_line(result.published[row.name]))
    return rows


def _members_line(row: CloudRow, kind: Literal["excess", "w1", "protocol"]) -> list[tuple]:
    """The mean of the members with its band, if the sample has members."""
    if not row.bands:
        return []
    name = members_title(row.name, 1 + len(row.further))
    return [_line(name, lambda key: getattr(row.bands[key], kind))]


def coverage_sentences(result: ComparisonResult) -> list[str]:
    """Return what the bands of each sample with members cover, a sentence each."""
    members = {row.name: 1 + len(row.further) for row in result.table.rows}
    return [
        coverage_sentence(name, members[name], coverage, "Geant4")
        for name, coverage in result.coverage.items()
    ]


def distance_table(result: ComparisonResult) -> Table:
    """Return the distances of the distributions, without the noise of the samples."""
    rows = _with_floors(result, "excess", with_published=True)
    agree = {row.name: len(agreeing(row)) == len(row.scores) for row in result.table.rows}
    return _table(rows, [agree.get(cells[0]) for cells in rows])


def whole_table(result: ComparisonResult) -> Table:
    """Return the distances of the whole samples, beside their floor."""
    rows = _with_floors(result, "w1", with_published=False)
    return _table(rows)


def protocol_table(result: ComparisonResult) -> Table:
    """Return the distances by the published protocol, beside all published rows."""
    rows = []
    sizes: dict[int, CloudRow] = {row.batch_size: row for row in result.table.rows}
    for size, row in sizes.items():
        name = f"{ITSELF} (batches of {size:,})"
        rows.append(_line(name, lambda key, row=row: row.scores[key].protocol_floor))
    for row in result.table.rows:
        name = f"{row.name} (batches of {row.batch_size:,})"
        rows.append(_line(name, lambda key, row=row: row.scores[key].protocol))
        rows += _members_line(row, "protocol")
    rows += [_published_line(system) for system in result.table.published]
    return _table(rows)


def standing_table(result: ComparisonResult) -> Table:
    """Return how many observables of each sample are below each published system's distance."""
    systems = [s for s in result.table.published if s.model != GEANT4]
    rows = []
    for row in result.table.rows:
        cells = [row.name]
        for system in systems:
            found = list(compare_published(row, system).values())
            number = {v: sum(c.verdict == v for c in found) for v in ("below", "compatible")}
            unresolved = sum(c.verdict == "compatible" and not c.resolved for c in found)
            blind = f" ({unresolved} too small to be seen)" if unresolved else ""
            cells.append(f"{number['below']} below, {number['compatible']} compatible{blind}")
        rows.append(tuple(cells))
    header = ("sample", *(f"beside {s.model}" for s in systems))
    return Table(header, frozenset(), rows, [None] * len(rows))


def classifier_table(result: ComparisonResult) -> Table:
    """Return the AUC of all samples, beside that of the reference's halves."""
    rows = [(ITSELF, _auc(result.null.auc), "-")] if result.null else []
    for row in result.table.rows:
        if row.name in result.scores:
            system = result.published.get(row.name)
            theirs = _auc(system.auc) if system is not None and system.auc is not None else "-"
            rows.append((row.name, _auc(result.scores[row.name].auc), theirs))
    header = ("sample", "AUC", "published")
    return Table(header, frozenset({1, 2}), rows, [None] * len(rows))


def _auc(estimate: Estimate) -> str:
    return f"{estimate.value:.4f} ± {estimate.error:.4f}"


def sample_table(result: ComparisonResult) -> Table:
    """Return what was compared."""
    table = result.table
    rows = [("Geant4", table.reference, f"{table.n_reference:,}", "-")]
    for row in table.rows:
        paired = "yes" if row.paired else "no"
        rows.append((row.name, row.source, f"{row.n_showers:,}", paired))
        rows += [(f"{row.name}, further member", source, "", "") for source in row.further]
    header = ("sample", "source", "showers", "Geant4's energies")
    return Table(header, frozenset({2}), rows, [None] * len(rows))


def verdict(row: CloudRow, result: ComparisonResult) -> str:
    """Say in one sentence how good a sample is.

    Args:
        row: the sample.
        result: all of the comparison.
    """
    agree, n = agreeing(row), len(row.scores)
    if len(agree) == n:
        first = f"{row.name}: all {n} observables agree with Geant4 within its own floor"
    else:
        far = max((k for k in row.scores if k not in agree), key=lambda k: _excess(row, k))
        first = (
            f"{row.name}: {len(agree)} of {n} observables agree with Geant4 within its own floor,"
            f" the farthest is {COLUMNS[far]} ({_percent(row.scores[far].excess)})"
        )
    parts = [first]
    system = result.published.get(row.name)
    if system is not None:
        found = [c.verdict for c in compare_published(row, system).values()]
        parts.append(
            f"{found.count('below')} of {n} are below the published {system.model}'s,"
            f" {found.count('compatible')} compatible with them"
        )
    if row.name in result.scores:
        parts.append(
            f"a classifier tells it from Geant4 with AUC {_auc(result.scores[row.name].auc)}"
        )
    return "; ".join(parts) + "."


def _excess(row: CloudRow, name: str) -> float:
    return row.scores[name].excess.value


def terminal_table(result: ComparisonResult) -> str:
    """Write the distances, and the AUC if there is one, aligned for a terminal."""
    table = distance_table(result)
    rows = [list(table.header), *map(list, table.rows)]
    if result.scores:
        aucs = {name: _auc(score.auc) for name, score in result.scores.items()}
        for system in result.published.values():
            if system.auc is not None:
                aucs[f"{system.model}, published"] = _auc(system.auc)
        if result.null is not None:
            aucs[rows[1][0]] = _auc(result.null.auc)
        for row in rows[1:]:
            row.append(aucs.get(row[0], "-"))
        rows[0].append("AUC")
    return aligned(rows)
