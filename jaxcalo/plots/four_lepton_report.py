"""The comparison of four-lepton events as files: report.json, .md, .html and pictures."""

import html
import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from types import MappingProxyType

from jaxcalo.metrics.estimate import Estimate
from jaxcalo.metrics.four_lepton_table import LeptonTable
from jaxcalo.plots.bands import MEMBERS_NOTE, coverage_sentence, coverages_json
from jaxcalo.plots.four_lepton_tables import (
    column_table,
    lepton_notes,
    lepton_verdict,
    overlap_table,
    slot_table,
    thesis_table,
)
from jaxcalo.plots.pictures import Picture
from jaxcalo.plots.report import PICTURE_FOLDER
from jaxcalo.plots.style import to_png
from jaxcalo.plots.text import Table, html_page, table_html, table_markdown
from jaxcalo.whole_files import write_all


def write_lepton_comparison(
    table: LeptonTable,
    pictures: list[Picture],
    out_dir: str | PathLike,
    version: str,
    coverage: Mapping[str, Estimate] = MappingProxyType({}),
) -> Path:
    """Write report.md, report.html, report.json and the pictures, all together or not at all.

    Args:
        table: what was measured.
        pictures: to be shown, in their order.
        out_dir: folder of the report, made if it does not exist.
        version: of jaxcalo.
        coverage: of the bands of samples with members, by sample, see lepton_coverage.

    Returns:
        The path of report.html.
    """
    pngs = {f"{PICTURE_FOLDER}/{p.name}.png": to_png(p.figure) for p in pictures}
    verdicts = [lepton_verdict(row, table) for row in table.rows]
    record = {"jaxcalo_version": version, **table.to_json(), "verdicts": verdicts}
    if coverage:
        record["band_coverage"] = coverages_json(coverage)
    bands = coverage_sentences(table, coverage)
    notes = [*([MEMBERS_NOTE] if coverage else []), *lepton_notes()]
    n = len(table.rows)
    title = f"{n} sample{'s' if n > 1 else ''} of four-lepton events beside Pythia"
    about = f"{table.n_reference:,} reference events. jaxcalo {version}."
    captions = [p.caption for p in pictures]
    files = dict(pngs)
    files["report.json"] = (json.dumps(record, indent=1, allow_nan=False) + "\n").encode()
    markdown = [
        f"# {title}",
        *(f"**{verdict}**" for verdict in verdicts),
        about,
        table_markdown(thesis_table(table)),
        *bands,
        "\n".join(f"* {note}" for note in notes),
        *(f"## {name}\n\n{table_markdown(part)}" for name, part in _sections(table)),
        "## Pictures",
        *(f"{text}\n\n![{text}]({path})" for path, text in zip(pngs, captions, strict=True)),
    ]
    files["report.md"] = ("\n\n".join(markdown) + "\n").encode()
    page = [
        *(f'<p class="verdict">{html.escape(verdict)}</p>' for verdict in verdicts),
        f"<p>{html.escape(about)}</p>",
        table_html(thesis_table(table)),
        *(f"<p>{html.escape(sentence)}</p>" for sentence in bands),
        *(f'<p class="note">{html.escape(note)}</p>' for note in notes),
    ]
    for name, part in _sections(table):
        page += [f"<h2>{html.escape(name)}</h2>", table_html(part)]
    page.append("<h2>Pictures</h2>")
    embedded = list(zip(pngs.values(), captions, strict=True))
    files["report.html"] = html_page(html.escape(title), page, embedded).encode()
    write_all(Path(out_dir), files)
    return Path(out_dir) / "report.html"


def coverage_sentences(table: LeptonTable, coverage: Mapping[str, Estimate]) -> list[str]:
    """Return what the bands of each sample with members cover, a sentence each."""
    members = {row.name: row.n_members for row in table.rows}
    return [coverage_sentence(n, members[n], found, "Pythia") for n, found in coverage.items()]


def _sections(table: LeptonTable) -> list[tuple[str, Table]]:
    """Title and table of what follows the main table."""
    columns = [
        (f"Means and widths of the columns in GeV: {row.name}", column_table(row))
        for row in table.rows
    ]
    overlap = "Precision, recall, density and coverage"
    return [("Each particle", slot_table(table)), (overlap, overlap_table(table)), *columns]
