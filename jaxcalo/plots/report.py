"""Write an evaluation as files: report.json, report.md, report.html and the pictures."""

import json
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from jaxcalo.data.point_cloud import Clouds
from jaxcalo.geometry import Detector
from jaxcalo.metrics.evaluation import Evaluation
from jaxcalo.metrics.sample import Sample
from jaxcalo.plots.pictures import draw_pictures
from jaxcalo.plots.style import to_png
from jaxcalo.plots.text import to_html, to_markdown
from jaxcalo.whole_files import write_all

PICTURE_FOLDER = "pictures"


def write_report(
    evaluation: Evaluation,
    reference: Sample,
    generated: Sample,
    detector: Detector,
    out_dir: str | PathLike,
    labels: tuple[str, str] = ("Geant4", "generated"),
    clouds: tuple[Clouds, Clouds] | None = None,
    members: Sequence[Sample] = (),
) -> Path:
    """Write the report of an evaluation.

    Args:
        evaluation: the numbers of the two samples.
        reference: the reference sample, for the pictures.
        generated: the generated sample, for the pictures.
        detector: their readout.
        out_dir: folder of the report, made if it does not exist.
        labels: names of reference and generated sample in pictures and text.
        clouds: a few clouds of reference and generated sample, of similar energies, to be shown
            one by one.
        members: further members of the generated sample, an ensemble: histograms then have bands.

    Returns:
        The path of report.json; report.md, report.html (which needs no other file) and the folder
        of pictures stand beside it. All files are replaced together or not at all.
    """
    generated_all = (generated, *members)
    pictures = draw_pictures(evaluation, reference, generated_all, detector, labels, clouds)
    files, embedded, linked = {}, [], []
    for picture in pictures:
        path, png = f"{PICTURE_FOLDER}/{picture.name}.png", to_png(picture.figure)
        files[path] = png
        embedded.append((png, picture.caption))
        linked.append((path, picture.caption))
    files["report.md"] = to_markdown(evaluation, labels, linked).encode()
    files["report.html"] = to_html(evaluation, labels, embedded).encode()
    numbers = json.dumps(evaluation.to_json(), indent=2, allow_nan=False)
    files["report.json"] = (numbers + "\n").encode()
    write_all(Path(out_dir), files)
    return Path(out_dir) / "report.json"
