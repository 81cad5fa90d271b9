"""The words and tables of a report, as Markdown and as one self-contained HTML page."""

import base64
import html
from typing import NamedTuple

from jaxcalo.metrics.estimate import N_SIGMA, Estimate
from jaxcalo.metrics.evaluation import Evaluation, Score, agrees, verdict
from jaxcalo.plots.bands import MEMBERS_NOTE, coverage_sentence, members_title
from jaxcalo.plots.markdown import markdown_table

MEANINGS = {
    "e_ratio": "visible energy over incident energy",
    "n_hits": "number of cells above threshold",
    "e_cell": "energy of a single cell",
    "e_long": "energy along the shower, in up to ten groups of layers",
    "e_radial": "energy across the shower, in up to ten rings",
    "centre_x": "centre of energy, horizontal",
    "centre_y": "centre of energy, vertical",
    "centre_z": "centre of energy, depth in layers",
}

SEPARATION_MEANINGS = {
    "e_ratio": "visible over incident energy",
    "e_layer": "layer energies",
    "centre_x": "centre of energy x of the layers",
    "centre_y": "centre of energy y of the layers",
    "width_x": "width in x of the layers",
    "width_y": "width in y of the layers",
    "centre_r": "mean radius of the layers",
    "width_r": "radial width of the layers",
    "sparsity": "fraction of empty voxels of the layers",
    "e_voxel": "energies of all voxels",
}

_CSS = """
body{font:15px/1.5 system-ui,sans-serif;color:#222;max-width:62rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin-bottom:.3rem} h2{font-size:1.15rem;margin-top:2rem}
.verdict{font-size:1.1rem;border-left:4px solid #d55e00;padding:.4rem .8rem;background:#fff6f0}
.verdict.good{border-color:#009e73;background:#f0faf6}
.warning{border-left:4px solid #e69f00;padding:.4rem .8rem;background:#fffaf0}
table{border-collapse:collapse;margin:.8rem 0} td,th{padding:.25rem .8rem;text-align:left}
th{border-bottom:2px solid #888} td{border-bottom:1px solid #ddd}
td.number,th.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
tr.far td:first-child{border-left:4px solid #d55e00}
tr.near td:first-child{border-left:4px solid #009e73}
figure{margin:1.2rem 0} img{max-width:100%;height:auto} figcaption{color:#555}
.note{color:#555}
""".strip()


class Table(NamedTuple):
    """Rows of cells under a header; the columns in `numbers` are numbers.

    Attributes:
        header: one title a column.
        numbers: which columns are right-aligned.
        rows: cells.
        agrees: for each row whether it agrees with the reference, None where that is not judged.
    """

    header: tuple[str, ...]
    numbers: frozenset[int]
    rows: list[tuple[str, ...]]
    agrees: list[bool | None]


def _estimate(estimate: Estimate) -> str:
    return f"{estimate.value:.4f} ± {estimate.error:.4f}"


def _ratio(score: Score) -> str:
    return "-" if score.ratio is None else f"{score.ratio:.2f}"


def observable_table(evaluation: Evaluation) -> Table:
    """Return W1, floor, ratio and meaning of the eight observables; of members the band too."""
    scores = evaluation.observables
    bands = {n: (_estimate(s.members),) for n, s in scores.items() if s.members is not None}
    title = (members_title("W1", 1 + len(evaluation.members)),) if bands else ()
    return Table(
        ("observable", "W1", *title, "floor", "W1 / floor", "what it is"),
        frozenset(range(1, 4 + len(title))),
        [
            (
                name,
                _estimate(s.w1),
                *bands.get(name, ()),
                _estimate(s.floor),
                _ratio(s),
                MEANINGS[name],
            )
            for name, s in scores.items()
        ],
        [score.agrees for score in scores.values()],
    )


def separation_table(evaluation: Evaluation) -> Table:
    """Return separation powers and their floors."""
    rows = [
        (name, f"{s.value:.4f}", _estimate(s.floor), SEPARATION_MEANINGS[name])
        for name, s in evaluation.separation.items()
    ]
    return Table(
        ("quantity", "separation power", "floor", "what it is"),
        frozenset({1, 2}),
        rows,
        [s.agrees for s in evaluation.separation.values()],
    )


def sample_table(evaluation: Evaluation, labels: tuple[str, str]) -> Table:
    """Return what was compared."""
    rows = [
        (label, source, f"{n:,}")
        for label, source, n in zip(labels, evaluation.sources, evaluation.n_showers, strict=True)
    ]
    rows += [(f"{labels[1]}, further member", source, "") for source in evaluation.members]
    return Table(("sample", "source", "showers"), frozenset({2}), rows, [None] * len(rows))


def incident_warning(evaluation: Evaluation) -> str | None:
    """Return a warning if the two samples were not asked for the same incident energies."""
    if evaluation.incident_energy.agrees:
        return None
    score = evaluation.incident_energy
    return (
        "The incident energies of the two samples differ"
        f" (W1 of log10 E_inc = {score.w1.value:.3f} reference standard deviations,"
        f" floor {score.floor.value:.3f}): every distance below contains that difference."
        " Generate showers at the incident energies of the reference."
    )


def coverage_of(evaluation: Evaluation, labels: tuple[str, str]) -> list[str]:
    """Return what the bands cover, one sentence; none without members."""
    if evaluation.coverage is None:
        return []
    n_members = 1 + len(evaluation.members)
    return [coverage_sentence(labels[1], n_members, evaluation.coverage, labels[0])]


def notes(evaluation: Evaluation) -> list[str]:
    """Return how to read the numbers, a sentence each."""
    n_reference, n_generated = evaluation.n_showers
    return [
        *([MEMBERS_NOTE] if evaluation.members else []),
        "W1 is the Wasserstein-1 distance in standard deviations of the reference: 0 is perfect,"
        " 0.1 is a shift by a tenth of the natural spread.",
        "The floor is the distance between two halves of the reference: below it no difference can"
        f" be seen with {n_reference:,} and {n_generated:,} showers. A perfect generator lies"
        " somewhat below its floor, because the halves are smaller samples.",
        "Separation power compares histograms, layer by layer: 0 is equal, 1 is disjoint.",
        f"Within the floor means: at most the floor plus {N_SIGMA:g} errors.",
        f"Cells below {evaluation.threshold_mev:g} MeV count as empty in both samples.",
    ]


def _correlation_sentence(evaluation: Evaluation) -> str:
    c = evaluation.correlation
    return (
        "Correlation matrices of the layer energies differ by a Frobenius norm of"
        f" {c.frobenius:.3f} (floor {c.floor.value:.3f} ± {c.floor.error:.3f})."
    )


def _heading(evaluation: Evaluation, labels: tuple[str, str]) -> tuple[str, str]:
    title = f"{labels[1]} compared with {labels[0]}"
    layers = "layer" if evaluation.n_layers == 1 else "layers"
    about = (
        f"Geometry {evaluation.detector}: {evaluation.particle}, {evaluation.n_layers} {layers},"
        f" {evaluation.n_voxels:,} voxels. jaxcalo {evaluation.version}."
    )
    return title, about


def aligned(rows: list[list[str]]) -> str:
    """Rows of cells as lines for a terminal, columns aligned, the first to the left."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def table_markdown(table: Table) -> str:
    """Write a table as Markdown."""
    return markdown_table(table.header, table.rows, table.numbers)


def to_markdown(
    evaluation: Evaluation, labels: tuple[str, str], pictures: list[tuple[str, str]]
) -> str:
    """Return the report as Markdown that links to the pictures.

    Args:
        evaluation: the numbers.
        labels: names of reference and generated sample.
        pictures: relative path and caption of each picture.

    Returns:
        The text.
    """
    title, about = _heading(evaluation, labels)
    warning = incident_warning(evaluation)
    parts = [f"# {title}", f"**{verdict(evaluation)}**"]
    parts += [f"> {warning}"] if warning else []
    parts += [
        about,
        table_markdown(sample_table(evaluation, labels)),
        "## Observables",
        table_markdown(observable_table(evaluation)),
        *coverage_of(evaluation, labels),
        "\n".join(f"* {note}" for note in notes(evaluation)),
        "## Separation powers",
        table_markdown(separation_table(evaluation)),
        _correlation_sentence(evaluation),
        "## Pictures",
        *(f"{caption}\n\n![{caption}]({path})" for path, caption in pictures),
    ]
    return "\n\n".join(parts) + "\n"


def table_html(table: Table) -> str:
    """Write a table as HTML; rows that are judged are marked."""

    def row(cells: tuple[str, ...], tag: str, css: str = "") -> str:
        inner = "".join(
            f"<{tag}{' class=number' if i in table.numbers else ''}>{html.escape(cell)}</{tag}>"
            for i, cell in enumerate(cells)
        )
        return f"<tr{css}>{inner}</tr>"

    marks = {True: " class=near", False: " class=far", None: ""}
    body = [row(r, "td", marks[a]) for r, a in zip(table.rows, table.agrees, strict=True)]
    return "\n".join(["<table>", row(table.header, "th"), *body, "</table>"])


def to_html(
    evaluation: Evaluation, labels: tuple[str, str], pictures: list[tuple[bytes, str]]
) -> str:
    """Return the report as one page that needs no other file.

    Args:
        evaluation: the numbers.
        labels: names of reference and generated sample.
        pictures: PNG bytes and caption of each picture.

    Returns:
        The page.
    """
    title, about = (html.escape(text) for text in _heading(evaluation, labels))
    warning = incident_warning(evaluation)
    good = " good" if agrees(evaluation) else ""
    parts = [
        f'<p class="verdict{good}">{html.escape(verdict(evaluation))}</p>',
        f'<p class="warning">{html.escape(warning)}</p>' if warning else "",
        f"<p>{about}</p>",
        table_html(sample_table(evaluation, labels)),
        "<h2>Observables</h2>",
        table_html(observable_table(evaluation)),
        *(f"<p>{html.escape(text)}</p>" for text in coverage_of(evaluation, labels)),
        *(f'<p class="note">{html.escape(note)}</p>' for note in notes(evaluation)),
        '<p class="note">A green bar at the left of a row: within the floor; orange: not.</p>',
        "<h2>Separation powers</h2>",
        table_html(separation_table(evaluation)),
        f"<p>{_correlation_sentence(evaluation)}</p>",
        "<h2>Pictures</h2>",
    ]
    return html_page(title, parts, pictures)


def html_page(title: str, parts: list[str], pictures: list[tuple[bytes, str]]) -> str:
    """Return a page that needs no other file.

    Args:
        title: of the page, escaped.
        parts: HTML; empty ones are left out.
        pictures: PNG bytes and caption of each picture, to follow the parts.
    """
    page = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
        f"<style>{_CSS}</style></head><body>",
        f"<h1>{title}</h1>",
        *(part for part in parts if part),
    ]
    for png, caption in pictures:
        data, text = base64.b64encode(png).decode("ascii"), html.escape(caption)
        page.append(
            f'<figure><img alt="{text}" src="data:image/png;base64,{data}">'
            f"<figcaption>{text}</figcaption></figure>"
        )
    return "\n".join([*page, "</body></html>", ""])
