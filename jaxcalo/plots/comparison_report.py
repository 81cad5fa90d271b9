"""The comparison of several generated samples as files: report.json, .md, .html and pictures."""

import html
import json
from os import PathLike
from pathlib import Path

from jaxcalo.metrics.estimate import N_SIGMA
from jaxcalo.plots.bands import MEMBERS_NOTE, coverages_json
from jaxcalo.plots.comparison_tables import (
    COLUMNS,
    ComparisonResult,
    agreeing,
    classifier_table,
    coverage_sentences,
    distance_table,
    protocol_table,
    sample_table,
    standing_table,
    verdict,
    whole_table,
)
from jaxcalo.plots.pictures import Picture
from jaxcalo.plots.report import PICTURE_FOLDER
from jaxcalo.plots.style import to_png
from jaxcalo.plots.text import MEANINGS, Table, html_page, table_html, table_markdown
from jaxcalo.whole_files import write_all


def notes(result: ComparisonResult) -> list[str]:
    """Return how to read the distances, a sentence each."""
    texts = [
        "Numbers are Wasserstein-1 distances in hundredths of Geant4's standard deviation; vectors"
        " (E_long, E_radial) have the mean of their components. "
        + "; ".join(f"{COLUMNS[key]}: {MEANINGS[key]}" for key in COLUMNS)
        + ".",
        "The rows of samples are the distance of the distributions: the one that makes the observed"
        " distance the expected one, once the noise of both samples is counted. 0 means that the"
        " sample is no farther from Geant4 than a perfect one. The row of Geant4 is the distance of"
        " two perfect samples of these sizes, which is all noise.",
        f"Within the floor means: the whole samples' distance is at most Geant4's with itself plus"
        f" {N_SIGMA:g} errors.",
        f"Cells below {result.table.threshold_mev:g} MeV count as empty.",
    ]
    if result.coverage:
        texts.append(MEMBERS_NOTE)
    if result.table.published:
        texts.append(
            "Published: CaloClouds II, arXiv:2309.05704, batches of 50,000 showers of the ILD"
            " calorimeter in another simulation, with a floor of about 1: compare them with the"
            " distances without noise. m1_y is the paper's m1Y (z in the files), m1_z its m1Z (the"
            " depth)."
        )
    return texts


def write_comparison(
    result: ComparisonResult, pictures: list[Picture], out_dir: str | PathLike
) -> Path:
    """Write report.md, report.html, report.json and the pictures, all together or not at all.

    Args:
        result: what was measured.
        pictures: to be shown, in their order.
        out_dir: folder of the report, made if it does not exist.

    Returns:
        The path of report.html.
    """
    pngs = {f"{PICTURE_FOLDER}/{p.name}.png": to_png(p.figure) for p in pictures}
    captions = [p.caption for p in pictures]
    linked = list(zip(pngs, captions, strict=True))
    embedded = list(zip(pngs.values(), captions, strict=True))
    numbers = json.dumps(_record(result), indent=1, allow_nan=False) + "\n"
    files = dict(pngs)
    files["report.md"] = _markdown(result, linked).encode()
    files["report.html"] = _html(result, embedded).encode()
    files["report.json"] = numbers.encode()
    write_all(Path(out_dir), files)
    return Path(out_dir) / "report.html"


def _record(result: ComparisonResult) -> dict:
    return {
        "jaxcalo_version": result.version,
        "geometry": result.detector.name,
        **result.table.to_json(),
        "published": {name: system.model for name, system in result.published.items()},
        "classifier": {name: score.to_json() for name, score in result.scores.items()},
        "classifier_null": None if result.null is None else result.null.to_json(),
        **({"band_coverage": coverages_json(result.coverage)} if result.coverage else {}),
        "verdicts": {row.name: verdict(row, result) for row in result.table.rows},
    }


def _sections(result: ComparisonResult) -> list[tuple[str, str, Table]]:
    """Title, sentence and table of what follows the main table."""
    sections = [
        (
            "Whole samples",
            "The same distances with the noise of the samples in them.",
            whole_table(result),
        ),
        (
            "By the published protocol",
            "Mean and standard deviation over ten disjoint batches; the smaller the batches, the"
            " more of it is noise, and only equal batches can be compared.",
            protocol_table(result),
        ),
    ]
    if result.table.published:
        text = (
            "Number of observables in which a sample's distance is below a published one by more"
            " than the errors, or compatible with it; too small to be seen: the published distance"
            " is below the floor of these samples."
        )
        sections.insert(0, ("Beside the published systems", text, standing_table(result)))
    if result.scores:
        text = (
            "A perceptron on all observables but the cells' energies, ten folds: 1/2 means that it"
            " cannot tell the sample from Geant4, 1 that it always can."
        )
        sections.append(("Classifier", text, classifier_table(result)))
    return sections


def _title(result: ComparisonResult) -> tuple[str, str]:
    d, n = result.detector, len(result.table.rows)
    title = f"{n} generated sample{'s' if n > 1 else ''} beside Geant4"
    layers = "layer" if d.n_layers == 1 else "layers"
    about = (
        f"Geometry {d.name}: {d.particle}, {d.n_layers} {layers}, {d.n_voxels:,} cells. jaxcalo"
        f" {result.version}."
    )
    return title, about


def _markdown(result: ComparisonResult, pictures: list[tuple[str, str]]) -> str:
    title, about = _title(result)
    parts = [
        f"# {title}",
        *(f"**{verdict(row, result)}**" for row in result.table.rows),
        about,
        "## Distance from Geant4",
        table_markdown(distance_table(result)),
        *coverage_sentences(result),
        "\n".join(f"* {note}" for note in notes(result)),
        *(
            f"## {name}\n\n{text}\n\n{table_markdown(table)}"
            for name, text, table in _sections(result)
        ),
        "## Samples",
        table_markdown(sample_table(result)),
        "## Pictures",
        *(f"{caption}\n\n![{caption}]({path})" for path, caption in pictures),
    ]
    return "\n\n".join(parts) + "\n"


def _html(result: ComparisonResult, pictures: list[tuple[bytes, str]]) -> str:
    title, about = (html.escape(text) for text in _title(result))
    parts = []
    for row in result.table.rows:
        good = " good" if len(agreeing(row)) == len(row.scores) else ""
        parts.append(f'<p class="verdict{good}">{html.escape(verdict(row, result))}</p>')
    parts += [
        f"<p>{about}</p>",
        "<h2>Distance from Geant4</h2>",
        table_html(distance_table(result)),
    ]
    parts += [f"<p>{html.escape(text)}</p>" for text in coverage_sentences(result)]
    parts += [f'<p class="note">{html.escape(note)}</p>' for note in notes(result)]
    for name, text, table in _sections(result):
        parts += [f"<h2>{name}</h2>", f"<p>{html.escape(text)}</p>", table_html(table)]
    parts += ["<h2>Samples</h2>", table_html(sample_table(result)), "<h2>Pictures</h2>"]
    return html_page(title, parts, pictures)
