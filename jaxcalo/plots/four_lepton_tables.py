"""The thesis's table with generated samples in it, as text."""

from collections.abc import Iterable

from jaxcalo.metrics.estimate import Estimate
from jaxcalo.metrics.four_lepton import SLOTS
from jaxcalo.metrics.four_lepton_table import LeptonRow, LeptonTable, compare_thesis
from jaxcalo.metrics.overlap import MAX_EVENTS
from jaxcalo.metrics.prdc import Prdc
from jaxcalo.plots.bands import members_title
from jaxcalo.plots.text import Table

_PYTHIA = "Pythia with itself"
_TITLES = {
    "w1_mass_gev": "W1(m) [GeV]",
    "w1_pt_gev": "W1(p_T) [GeV]",
    "w1_pt_event_gev": "W1(p_T event) [GeV]",
    "frobenius": "Frobenius",
    "frechet_gev2": "Frechet [GeV^2]",
    "bray_curtis": "Bray-Curtis",
    "bray_curtis_values": "Bray-Curtis (values)",
}
_FRACTIONS = {"unphysical": "no mass", "off_shell": "off shell"}
_COVERAGE = "coverage"
_COSTS = ("training [s]", "generation [s]", "memory [MB]")
_NOTHING = "-"


def lepton_notes() -> list[str]:
    """Return how to read the tables, a sentence each."""
    return [
        "W1: Wasserstein-1 distance; m: mass of the four leptons, events without one count as 0;"
        " p_T: transverse momentum of the leptons. Frobenius: norm of the difference of the Pearson"
        " matrices of 32 columns (E, px, py, pz in eight slots, one for each kind of particle,"
        " twice). Frechet: distance of the same columns. Bray-Curtis: of histograms of m; (values):"
        " of the masses event by event as in the thesis, which is not near 0 for equal samples.",
        f"{_PYTHIA}: halves of the reference; a perfect generator lies somewhat below, because the"
        " halves are smaller samples.",
        "no mass: events whose squared mass is negative; off shell: events with a lepton whose"
        " energy and momentum do not belong together.",
        "coverage: share of the reference's events that have a generated one nearer than their"
        " fifth neighbour in the reference, in p_T, eta, phi and masses, with equally many of both,"
        f" at most {MAX_EVENTS:,}; large is good, and a generator that repeats itself is far below"
        " Pythia's own.",
        "Thesis: the lowest of the numbers given there. Its Frechet distances have no unit: in"
        " GeV^2 they are far above 1.9e5, which events of zeros have, so that nothing is proved by"
        " being below them. Its time is that of training and generation on a T4 GPU, its memory"
        " the GPU's.",
    ]


def _number(value: float) -> str:
    """Three digits, without an exponent below a million."""
    if abs(value) >= 1e6:
        return f"{value:.2e}"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _cell(estimate: Estimate) -> str:
    error = estimate.error
    return f"{_number(estimate.value)} ± {f'{error:.0f}' if error >= 100 else f'{error:.2g}'}"


def _count(fraction: Estimate, n: int) -> str:
    return f"{round(fraction.value * n):,} of {n:,}"


def _optional(value: float | None) -> str:
    return _NOTHING if value is None else _number(value)


def _plain(header: Iterable[str], rows: list[tuple[str, ...]]) -> Table:
    titles = tuple(header)
    return Table(titles, frozenset(range(1, len(titles))), rows, [None] * len(rows))


def _floor_row(row: LeptonRow) -> tuple[str, ...]:
    scores, half = row.found.scores, row.found.scores["unphysical"].floor.n
    return (
        f"{_PYTHIA} ({half:,} events)",
        *(_cell(scores[name].floor) for name in _TITLES),
        *(_count(scores[name].floor, half) for name in _FRACTIONS),
        _cell(row.found.overlap[_COVERAGE].floor),
        *(_NOTHING for _ in _COSTS),
    )


def thesis_table(table: LeptonTable) -> Table:
    """Return the reference with itself, all samples, and the thesis's models.

    Args:
        table: the distances.
    """
    floors = {_floor_row(row)[0]: _floor_row(row) for row in table.rows}  # one for each size
    rows = list(floors.values())
    agrees: list[bool | None] = [None] * len(rows)
    for row in table.rows:
        scores, n = row.found.scores, row.found.n_events[1]
        values = [_cell(scores[name].value) for name in _TITLES]
        counts = [_count(scores[name].value, n) for name in _FRACTIONS]
        coverage = _cell(row.found.overlap[_COVERAGE].value)
        rows.append((row.name, *values, *counts, coverage, *map(_optional, row.cost)))
        agrees.append(all(score.agrees for score in scores.values()))
        if row.bands:
            bands = [_cell(row.bands[name]) for name in _TITLES]
            rest = [_NOTHING] * (len(rows[-1]) - 1 - len(bands))
            rows.append((members_title(row.name, row.n_members), *bands, *rest))
            agrees.append(None)
    for model in table.published:
        given = [model.scores.get(name) for name in _TITLES]
        values = [_NOTHING if pair is None else _number(pair[0]) for pair in given]
        wrong = model.scores.get("unphysical")
        share = _NOTHING if wrong is None else f"{100 * wrong[0]:.0f} %"
        cost = (_number(model.time_s), _NOTHING, _number(model.memory_mb))
        rows.append((f"{model.model}, thesis", *values, share, _NOTHING, _NOTHING, *cost))
        agrees.append(None)
    header = ("sample", *_TITLES.values(), *_FRACTIONS.values(), _COVERAGE, *_COSTS)
    return Table(header, frozenset(range(1, len(header))), rows, agrees)


def slot_table(table: LeptonTable) -> Table:
    """Return the Frechet distance of each slot, GeV^2, beside the thesis's.

    Args:
        table: the distances.
    """
    names = [f"frechet_{slot}_gev2" for slot in SLOTS]
    rows = [
        (_PYTHIA, *(_cell(row.found.scores[name].floor) for name in names))
        for row in table.rows[:1]
    ]
    for row in table.rows:
        rows.append((row.name, *(_cell(row.found.scores[name].value) for name in names)))
    for model in table.published:
        if names[0] in model.scores:
            values = [_number(model.scores[name][0]) for name in names]
            rows.append((f"{model.model}, thesis", *values))
    return _plain(("Frechet [GeV^2]", *SLOTS), rows)


def overlap_table(table: LeptonTable) -> Table:
    """Return precision, recall, density and coverage, those of halves of the reference first.

    Args:
        table: the distances.
    """
    floors, rows = {}, []  # one floor for each size
    for row in table.rows:
        found = [row.found.overlap[name] for name in Prdc._fields]
        n = found[0].floor.n
        floors[n] = (f"{_PYTHIA} ({n:,} events)", *(_cell(one.floor) for one in found))
        rows.append((row.name, *(_cell(one.value) for one in found)))
    return _plain(("sample", *Prdc._fields), [*floors.values(), *rows])


def column_table(row: LeptonRow) -> Table:
    """Return mean and standard deviation of each column, GeV.

    Args:
        row: the sample.
    """
    rows = [(name, *map(_cell, column)) for name, column in row.found.columns.items()]
    header = ("column", "mean, Pythia", f"mean, {row.name}", "width, Pythia", f"width, {row.name}")
    return _plain(header, rows)


def lepton_verdict(row: LeptonRow, table: LeptonTable) -> str:
    """Say in one sentence how good a sample is.

    Args:
        row: the sample.
        table: all of them, with the thesis's models.
    """
    scores, n = row.found.scores, row.found.n_events[1]
    near = sum(score.agrees for score in scores.values())
    wrong = "no" if not scores["unphysical"].value.value else _count(scores["unphysical"].value, n)
    verdicts = [
        verdict
        for model in table.published
        for name, verdict in compare_thesis(row.found, model).items()
        if not name.startswith("frechet")  # in the thesis without a unit
    ]
    return (
        f"{row.name}: {near} of {len(scores)} numbers agree with Pythia within its own floor;"
        f" W1(m) = {_cell(scores['w1_mass_gev'].value)} GeV; {wrong} unphysical events; below"
        f" {verdicts.count('below')} of the thesis's {len(verdicts)} numbers that have a unit."
    )
