"""What generated events are worth, as files: report.json, .md, .html and the picture."""

import html
import json
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from jaxcalo.metrics.amplification import Worth, at_least_events, equivalent_events
from jaxcalo.metrics.estimate import N_SIGMA, Estimate
from jaxcalo.plots.amplification import amplification_figure
from jaxcalo.plots.report import PICTURE_FOLDER
from jaxcalo.plots.style import to_png
from jaxcalo.plots.text import Table, html_page, table_html, table_markdown
from jaxcalo.whole_files import write_all

_CAPTION = (
    "Worth of samples of several sizes in training events. Grey: as many true events; arrows: more"
    " than that, the truth has too few events to say how many."
)


@dataclass(frozen=True)
class WorthResult:
    """What several generated samples are worth.

    Attributes:
        observables: what the events were compared in, in words.
        n_quantiles: of each observable.
        n_truth: events of the truth.
        curves: by the samples' names, samples of increasing size, the last of all events.
        version: of jaxcalo.
    """

    observables: tuple[str, ...]
    n_quantiles: tuple[int, ...]
    n_truth: int
    curves: Mapping[str, list[Worth]]
    version: str


def _events(inverse: Estimate, unit: float = 1.0) -> str:
    """N of an estimate of 1/N, over a unit; a limit where only that is known."""
    digits = 2 if unit != 1.0 else 0
    found = equivalent_events(inverse)
    if found is None:
        return f">= {at_least_events(inverse) / unit:,.{digits}f}"
    return f"{found.value / unit:,.{digits}f} ± {found.error / unit:,.{digits}f}"


def worth_table(result: WorthResult) -> Table:
    """Return the worth of the training events themselves and of all events of each sample.

    Args:
        result: the worth.
    """
    header = (
        "sample",
        "events",
        "worth in training events",
        "worth of infinitely many",
        "amplification",
    )
    whole = {name: curve[-1] for name, curve in result.curves.items()}
    some = next(iter(whole.values()))
    rows = [("training events", f"{some.n_training:,}", _events(some.inverse_training), "-", "-")]
    rows += [
        (
            name,
            f"{worth.n_generated:,}",
            _events(worth.inverse),
            _events(worth.inverse_limit),
            _events(worth.inverse_limit, worth.n_training),
        )
        for name, worth in whole.items()
    ]
    return Table(header, frozenset(range(1, len(header))), rows, [None] * len(rows))


def worth_notes(result: WorthResult) -> list[str]:
    """Return how to read the table, a sentence each."""
    cells = " x ".join(str(number) for number in result.n_quantiles)
    return [
        f"Observables: {', '.join(result.observables)}; the truth, {result.n_truth:,} events, is"
        f" divided into {cells} cells of equal probability.",
        "Worth: how many independent true events miss the truth in these cells by as much. What"
        " infinitely many generated events are worth is what the model itself knows; the"
        " amplification is that over the number of training events, 1 for events that are only"
        " drawn from them again.",
        f">=: the truth is too small to tell the number from infinity ({N_SIGMA:g} errors).",
    ]


def write_worth(result: WorthResult, out_dir: str | PathLike) -> Path:
    """Write report.md, report.html, report.json and the picture, all together or not at all.

    Args:
        result: the worth.
        out_dir: folder of the report, made if it does not exist.

    Returns:
        The path of report.html.
    """
    path, png = f"{PICTURE_FOLDER}/worth.png", to_png(amplification_figure(result.curves))
    title, about = "What generated events are worth", f"jaxcalo {result.version}."
    table, notes = worth_table(result), worth_notes(result)
    record = {
        "jaxcalo_version": result.version,
        "observables": list(result.observables),
        "n_quantiles": list(result.n_quantiles),
        "n_truth": result.n_truth,
        "samples": {name: [w.to_json() for w in curve] for name, curve in result.curves.items()},
    }
    markdown = [
        f"# {title}",
        table_markdown(table),
        "\n".join(f"* {note}" for note in notes),
        f"![{_CAPTION}]({path})",
        f"{_CAPTION} {about}",
    ]
    page = [table_html(table), *(f'<p class="note">{html.escape(note)}</p>' for note in notes)]
    page.append(f"<p>{html.escape(about)}</p>")
    files = {
        path: png,
        "report.json": (json.dumps(record, indent=1, allow_nan=False) + "\n").encode(),
        "report.md": ("\n\n".join(markdown) + "\n").encode(),
        "report.html": html_page(title, page, [(png, _CAPTION)]).encode(),
    }
    write_all(Path(out_dir), files)
    return Path(out_dir) / "report.html"
