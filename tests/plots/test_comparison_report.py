"""Tables, verdicts and files of a comparison, from numbers made by hand."""

import dataclasses
import json
import re

import numpy as np
import pytest

from jaxcalo.geometry import CartesianLayer, Detector
from jaxcalo.metrics import OBSERVABLES, Estimate
from jaxcalo.metrics.cloud_classifier import CloudClassifierScore
from jaxcalo.metrics.cloud_table import CloudRow, CloudScore, CloudTable, published_clouds
from jaxcalo.plots.comparison_report import write_comparison
from jaxcalo.plots.comparison_tables import (
    COLUMNS,
    ComparisonResult,
    agreeing,
    classifier_table,
    distance_table,
    protocol_table,
    published_of,
    sample_table,
    standing_table,
    terminal_table,
    verdict,
    whole_table,
)
from jaxcalo.plots.pictures import Picture
from jaxcalo.plots.style import new_figure

DETECTOR = Detector("box", "photon", 22, (CartesianLayer(0, (0, 1, 2), (0, 1)),), 0.1)
PUBLISHED = {system.model: system for system in published_clouds()}


def score(excess, w1, floor=(0.03, 0.01)):
    return CloudScore(
        protocol=Estimate(w1 + 0.2, 0.05, 40),
        protocol_floor=Estimate(0.25, 0.06, 40),
        w1=Estimate(w1, 0.01, 400),
        floor=Estimate(*floor, 400),
        excess=Estimate(excess, 0.02, 400),
    )


def row(name, scores, n=400, paired=True):
    return CloudRow(name, f"{name} & co.h5", n, n // 10, paired, scores)


def near(**changes):
    return {name: changes.get(name, score(0.0, 0.03)) for name in OBSERVABLES}


def auc(value):
    return CloudClassifierScore(Estimate(value, 0.012, 400), 0.03, np.full(10, value))


@pytest.fixture
def result():
    far = near(e_radial=score(0.5, 0.51), n_hits=score(0.045, 0.06))
    table = CloudTable(
        "geant4.h5", 400, 0.1, (row("II", near()), row("GAN", far)), published_clouds()
    )
    return ComparisonResult(
        detector=DETECTOR,
        table=table,
        scores={"II": auc(0.55), "GAN": auc(0.97)},
        null=auc(0.501),
        published={"II": PUBLISHED["CaloClouds II"]},
        version="9.9",
    )


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("CaloClouds", "CaloClouds"),
        ("calo_clouds_1", "CaloClouds"),
        ("I", "CaloClouds"),
        ("CaloClouds II", "CaloClouds II"),
        ("calo-clouds-2", "CaloClouds II"),
        ("ii", "CaloClouds II"),
        ("CaloClouds II (CM)", "CaloClouds II (CM)"),
        ("caloclouds_2_cm", "CaloClouds II (CM)"),
        ("cm", "CaloClouds II (CM)"),
        ("EPiC-GAN", None),
        ("CaloClouds 3", None),
        ("2", None),
        ("GEANT4", None),
        ("", None),
    ],
)
def test_names_of_published_systems(name, model):
    found = published_of(name, published_clouds())
    assert (found.model if found else None) == model


def test_the_main_table_has_the_floor_once_and_published_rows_below_their_sample(result):
    table = distance_table(result)
    assert table.header[1:] == tuple(COLUMNS.values())
    names = [cells[0] for cells in table.rows]
    assert names == ["Geant4 with itself", "II", "CaloClouds II, published", "GAN"]
    by_name = dict(zip(names, (dict(zip(COLUMNS, c[1:], strict=True)) for c in table.rows),
                       strict=True))  # fmt: skip
    assert by_name["Geant4 with itself"]["n_hits"] == "3.0 ± 1.0"
    assert by_name["GAN"]["e_radial"] == "50.0 ± 2.0"
    assert by_name["CaloClouds II, published"]["e_ratio"] == "26.4 ± 0.4"
    assert table.agrees == [None, True, None, False]


def test_samples_of_other_sizes_have_their_own_floor(result):
    small = row("small", near(n_hits=score(0, 0.1, floor=(0.09, 0.03))), n=100, paired=False)
    table = result.table
    result = result._replace(table=dataclasses.replace(table, rows=(*table.rows, small)))
    names = [cells[0] for cells in distance_table(result).rows]
    assert names[:2] == [
        "Geant4 with itself (400 showers, at equal energies)",
        "Geant4 with itself (100 showers)",
    ]
    assert distance_table(result).rows[1][1] == "9.0 ± 3.0"
    assert sample_table(result).rows[-1] == ("small", "small & co.h5", "100", "no")


def test_further_tables_hold_whole_samples_and_the_protocol(result):
    whole = {cells[0]: cells[1] for cells in whole_table(result).rows}
    assert whole == {
        "Geant4 with itself": "3.0 ± 1.0", "II": "3.0 ± 1.0", "GAN": "6.0 ± 1.0",
    }  # fmt: skip
    protocol = {cells[0]: cells[1] for cells in protocol_table(result).rows}
    assert protocol["Geant4 with itself (batches of 40)"] == "25.0 ± 6.0"
    assert protocol["GAN (batches of 40)"] == "26.0 ± 5.0"
    assert protocol["Geant4, published"] == "0.7 ± 0.2"
    assert protocol["CaloClouds II (CM), published"] == "6.1 ± 0.7"


def test_standing_counts_observables_below_each_published_system(result):
    header, (second, gan) = standing_table(result).header, standing_table(result).rows
    assert header[1:] == (
        "beside CaloClouds", "beside CaloClouds II", "beside CaloClouds II (CM)",
    )  # fmt: skip
    # 0 +- 2 is below all but E_long, 2.0 +- 1.4, and m1_z, 1.4 +- 0.5, which the floor of 3 hides
    assert second[1] == "6 below, 2 compatible (2 too small to be seen)"
    # n_hits 4.5 against 3.6 is compatible, e_radial 50 is above
    assert gan[2] == "6 below, 1 compatible"


def test_verdicts(result):
    good, bad = (verdict(r, result) for r in result.table.rows)
    assert good == (
        "II: all 8 observables agree with Geant4 within its own floor; 8 of 8 are below the"
        " published CaloClouds II's, 0 compatible with them; a classifier tells it from Geant4"
        " with AUC 0.5500 ± 0.0120."
    )
    # w1 of n_hits 6 is more than the floor 3 +- 1 allows
    assert agreeing(result.table.rows[1]) == [
        n for n in OBSERVABLES if n not in ("n_hits", "e_radial")
    ]
    assert bad.startswith("GAN: 6 of 8 observables agree")
    assert "the farthest is E_radial (50.0 ± 2.0)" in bad
    assert "published" not in bad


def test_classifier_table_has_null_and_published(result):
    assert classifier_table(result).rows == [
        ("Geant4 with itself", "0.5010 ± 0.0120", "-"),
        ("II", "0.5500 ± 0.0120", "0.9281 ± 0.0014"),
        ("GAN", "0.9700 ± 0.0120", "-"),
    ]


def test_terminal_table_is_aligned_and_has_the_auc(result):
    lines = terminal_table(result).splitlines()
    assert len({len(line) for line in lines if not line.endswith("-")}) == 1
    assert lines[0].split()[-1] == "AUC"
    assert lines[1].endswith("0.5010 ± 0.0120")
    assert lines[3].startswith("CaloClouds II, published")
    assert lines[3].endswith("0.9281 ± 0.0014")
    without = terminal_table(result._replace(scores={}, null=None))
    assert "AUC" not in without


def picture(name):
    figure = new_figure(1, 1)
    figure.subplots()
    return Picture(name, f"Picture of {name} <1>.", figure)


def test_the_files_hold_tables_numbers_and_pictures(result, tmp_path):
    path = write_comparison(result, [picture("distances")], tmp_path / "new")
    folder = tmp_path / "new"
    assert path == folder / "report.html"
    text = (folder / "report.md").read_text()
    assert text.index("all 8 observables agree") < text.index("| x 10^-2 |")
    assert "| CaloClouds II, published | 3.6 ± 0.5 |" in text
    assert re.findall(r"\]\((.*)\)", text) == ["pictures/distances.png"]
    assert (folder / "pictures" / "distances.png").read_bytes()[:4] == b"\x89PNG"
    page = path.read_text()
    assert "II &amp; co.h5" in page
    assert "<1>" not in page
    assert page.count('class="verdict good"') == page.count('class="verdict"') == 1
    assert page.count("data:image/png;base64,") == 1
    record = json.loads((folder / "report.json").read_text(), parse_constant=pytest.fail)
    assert record["published"] == {"II": "CaloClouds II"}
    assert record["classifier"]["GAN"]["value"] == 0.97
    assert record["classifier_null"]["value"] == 0.501
    assert record["rows"][1]["scores"]["e_radial"]["excess"] == {"value": 0.5, "error": 0.02}
    assert set(record["verdicts"]) == {"II", "GAN"}


def test_without_classifier_or_published_systems_nothing_is_said_of_them(result, tmp_path):
    table = dataclasses.replace(result.table, published=())
    bare = result._replace(table=table, scores={}, null=None, published={})
    write_comparison(bare, [], tmp_path)
    text = (tmp_path / "report.md").read_text()
    for word in ("lassifier", "AUC", "published systems", "CaloClouds"):
        assert word not in text
    assert json.loads((tmp_path / "report.json").read_text())["classifier_null"] is None


def test_an_error_while_drawing_leaves_the_old_files(result, tmp_path, monkeypatch):
    write_comparison(result, [picture("a")], tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    def fail(figure):
        raise RuntimeError("no ink")

    monkeypatch.setattr("jaxcalo.plots.comparison_report.to_png", fail)
    with pytest.raises(RuntimeError, match="no ink"):
        write_comparison(result._replace(scores={}), [picture("a")], tmp_path)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
