"""`jaxcalo compare`: the common table of clouds and of voxels, and unusable requests."""

import json
from functools import partial

import jax
import numpy as np
import pytest
from command_line import assert_one_line, run

import jaxcalo.metrics.cloud_classifier as classifier
from jaxcalo.data import Clouds, CloudWriter, Showers, ShowerWriter
from jaxcalo.data.toy import toy_showers
from jaxcalo.data.toy_clouds import toy_clouds
from jaxcalo.geometry import CartesianLayer, Detector, load_geometry, write_binning
from jaxcalo.metrics import OBSERVABLES
from jaxcalo.metrics.cloud_classifier import CloudClassifierProtocol

EDGES = tuple(np.linspace(-100.0, 100.0, 41).tolist())
STACK = Detector(
    "stack", "photon", 22, tuple(CartesianLayer(i, EDGES, EDGES) for i in range(6)), 0.1
)
PICTURES = {"distances.png", "distributions.png"}


def cloud_file(path, clouds):
    with CloudWriter(path, int(clouds.n_points.max())) as writer:
        writer.append(clouds)
    return path


def shower_file(path, showers):
    with ShowerWriter(path, showers.voxel_energy_mev.shape[1]) as writer:
        writer.append(showers)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Clouds of one formula: reference, more of it, a sample like it, one with scaled energies."""
    folder = tmp_path_factory.mktemp("clouds")
    write_binning(folder / "stack.xml", STACK)
    clouds = toy_clouds(jax.random.key(0), 180, n_layers=6)
    wrong = clouds.rows(slice(120, 180))
    points = wrong.points * np.float32([1, 1, 1, 1.5])
    return {
        "geometry": folder / "stack.xml",
        "ref": cloud_file(folder / "ref.h5", clouds.rows(slice(0, 60))),
        "more": cloud_file(folder / "more.h5", clouds.rows(slice(60, 120))),
        "good": cloud_file(folder / "good.h5", clouds.rows(slice(120, 180))),
        "wrong": cloud_file(folder / "wrong.h5", wrong._replace(points=points)),
    }


def call(files, out, *samples, **options):
    return run(
        "compare", *samples, "--reference", files["ref"], "--geometry", files["geometry"],
        "--out", out, *options.pop("extra", ()),
    )  # fmt: skip


@pytest.fixture(scope="module")
def compared(files, tmp_path_factory):
    """The whole command, with small classifiers; the null's has the others' shapes to compile."""
    out = tmp_path_factory.mktemp("compared")
    short = CloudClassifierProtocol(n_folds=3, n_epochs=1, min_steps=30)
    classify = partial(classifier.classify_clouds, protocol=short)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "DEFAULT_PROTOCOL", short)
        patch.setattr(classifier, "classify_clouds", classify)
        patch.setattr(classifier, "classifier_null", lambda known, **k: classify(known, known, **k))
        patch.setattr("jaxcalo.plots.comparison_report.to_png", lambda figure: b"drawn")
        samples = (f"ii={files['good']}", f"GAN={files['wrong']}")
        assert call(files, out, *samples) == 0
    return out


def record_of(folder):
    return json.loads((folder / "report.json").read_text())


def test_the_table_judges_every_sample(compared, files):
    record = record_of(compared)
    good, wrong = record["rows"]
    assert (good["name"], wrong["name"]) == ("ii", "GAN")
    assert record["n_reference"] == good["n_showers"] == 60
    assert tuple(good["scores"]) == OBSERVABLES
    scores = wrong["scores"]
    assert scores["e_ratio"]["excess"]["value"] > 5 * scores["e_ratio"]["floor"]["value"]
    for name in ("centre_x", "centre_y", "centre_z"):  # a common factor moves no centre
        assert scores[name]["w1"]["value"] == pytest.approx(
            good["scores"][name]["w1"]["value"], abs=0.05
        )
    assert "all 8 observables agree" in record["verdicts"]["ii"]
    assert "the farthest is E_" in record["verdicts"]["GAN"]


def test_classifiers_are_trained_for_every_sample_and_the_null(compared):
    record = record_of(compared)
    assert set(record["classifier"]) == {"ii", "GAN"}
    assert record["classifier_null"]["folds"] == pytest.approx([0.5] * 3)
    assert record["classifier"]["GAN"]["value"] > record["classifier"]["ii"]["value"]


def test_named_samples_stand_beside_their_published_row(compared):
    assert record_of(compared)["published"] == {"ii": "CaloClouds II"}
    text = (compared / "report.md").read_text()
    table = text.partition("## Distance from Geant4")[2].partition("##")[0]
    names = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")]
    assert names[2:] == ["Geant4 with itself", "ii", "CaloClouds II, published", "GAN"]
    assert {path.name for path in (compared / "pictures").iterdir()} == {*PICTURES, "clouds.png"}


def test_more_geant4_lowers_the_floor(files, compared, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("jaxcalo.plots.comparison_report.to_png", lambda figure: b"drawn")
    more = ("--also-reference", files["more"], f"{files['good']}", "--no-classifier")
    assert call(files, tmp_path, extra=more) == 0
    record = record_of(tmp_path)
    assert record["n_reference"] == 120
    assert record["rows"][0]["name"] == "good"  # the file's name
    floors = [
        np.mean([s["floor"]["value"] for s in r["rows"][0]["scores"].values()])
        for r in (record_of(compared), record)
    ]
    # of 60 and 60 showers sqrt(1/60 + 1/60), of 120 and 60 sqrt(1/120 + 1/60): 0.87 times
    assert 0.75 < floors[1] / floors[0] < 0.95
    assert record["classifier_null"] is None
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        "x", "10^-2", "N_hits", "E_vis/E_inc", "E_cell", "E_long", "E_radial", "m1_x", "m1_y",
        "m1_z",
    ]  # fmt: skip
    assert lines[1].startswith("Geant4 with itself")
    assert lines[2].startswith("good ")


def test_showers_at_the_energies_of_the_reference_are_paired(files, tmp_path, monkeypatch):
    monkeypatch.setattr("jaxcalo.plots.comparison_report.to_png", lambda figure: b"drawn")
    assert call(files, tmp_path, f"copy={files['ref']}", extra=["--no-classifier"]) == 0
    (row,) = record_of(tmp_path)["rows"]
    assert row["paired"]
    assert all(score["w1"]["value"] == 0 for score in row["scores"].values())


def test_voxel_files_are_compared_without_published_rows(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxcalo.plots.comparison_report.to_png", lambda figure: b"drawn")
    detector = load_geometry("ds1-photons")
    showers = toy_showers(jax.random.key(0), detector, 80)
    parts = [Showers(*(a[rows] for a in showers[:2])) for rows in (slice(40), slice(40, 80))]
    ref, gen = (shower_file(tmp_path / f"{i}.h5", part) for i, part in enumerate(parts))
    code = run("compare", f"ii={gen}", "--reference", ref, "--geometry", "ds1-photons",
               "--out", tmp_path / "out", "--no-classifier")  # fmt: skip
    assert code == 0
    record = record_of(tmp_path / "out")
    assert record["published"] == {}
    assert record["rows"][0]["comparison"] == {}
    assert "CaloClouds" not in (tmp_path / "out" / "report.md").read_text()
    assert {path.name for path in (tmp_path / "out" / "pictures").iterdir()} == PICTURES
    floors = [score["floor"]["value"] for score in record["rows"][0]["scores"].values()]
    assert all(0 < floor < 0.5 for floor in floors)


def test_unusable_requests_are_one_line(files, tmp_path, capsys):
    good, out = files["good"], tmp_path / "out"
    few = toy_clouds(jax.random.key(0), 12, n_layers=6)
    few = cloud_file(tmp_path / "few.h5", few)
    deep = toy_clouds(jax.random.key(0), 30, n_layers=9)
    deep = cloud_file(tmp_path / "deep.h5", deep)
    dark = Clouds(np.float32([1e4] * 30), np.float32([[0, 0, 0, 1e-3]] * 30), np.ones(30, np.int32))
    dark = cloud_file(tmp_path / "dark.h5", dark)
    for samples, parts in (
        ((), ["NAME=FILE", "none"]),
        ((f"a={good}", f"a={good}"), ["a name of its own"]),
        ((f"={good}",), ["a name of its own"]),
        ((f"Geant4={good}",), ["not Geant4"]),
        ((f"run={tmp_path}",), ["manifest.json", "found none"]),
        ((f"a={tmp_path / 'none.h5'}",), ["none.h5", "cannot read"]),
        ((f"a={few}",), ["few.h5", "at least 20 showers, found 12"]),
        ((f"a={deep}",), ["deep.h5", "expected layers 0 to 5"]),
    ):
        code = call(files, out, *samples, extra=["--no-classifier"])
        assert_one_line_after_bar(capsys, code, *parts)
    code = run("compare", f"a={good}", "--reference", dark, "--geometry", files["geometry"],
               "--out", out)  # fmt: skip
    assert_one_line_after_bar(capsys, code, "no cell at or above the threshold")
    code = call(files, out, f"a={good}", extra=["--threshold", -1])
    assert_one_line(capsys, code, "--threshold: expected 0 MeV or more")
    assert not (out / "report.json").exists()


def assert_one_line_after_bar(capsys, code, *parts):
    """As assert_one_line; a bar may have appeared before."""
    lines = [line for line in capsys.readouterr().err.splitlines() if "jaxcalo: error: " in line]
    assert code == 2
    assert len(lines) == 1
    for part in parts:
        assert part in lines[0]
