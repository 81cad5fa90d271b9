"""Members of a sample on the command line: bands in both reports, and how runs become members."""

import json

import jax
import pytest
from command_line import assert_one_line, run

import jaxcalo.cli.given_samples as given_samples
from jaxcalo.cli.given_samples import Given
from jaxcalo.data import Showers, ShowerWriter
from jaxcalo.data.toy import toy_showers
from jaxcalo.geometry import CartesianLayer, Detector, write_binning

EDGES = (-30.0, -10.0, 10.0, 30.0)
DETECTOR = Detector("small", "photon", 22, (CartesianLayer(0, EDGES, EDGES),), 0.5)
SENTENCE = "the bands of its 2 members cover the difference to "


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("members")
    write_binning(folder / "small.xml", DETECTOR)
    showers = toy_showers(jax.random.key(0), DETECTOR, 90)
    for number, name in enumerate(("ref", "a", "b")):
        rows = slice(30 * number, 30 * number + 30)
        with ShowerWriter(folder / f"{name}.h5", DETECTOR.n_voxels) as writer:
            writer.append(Showers(*(array[rows] for array in showers[:2])))
    return folder


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    for module in ("comparison_report", "report"):
        monkeypatch.setattr(f"jaxcalo.plots.{module}.to_png", lambda figure: b"drawn")


def common(files, out):
    return ("--reference", files / "ref.h5", "--geometry", files / "small.xml", "--out", out)


def assert_told_everywhere(out, shown):
    assert SENTENCE in shown
    assert "68 % are expected." in shown
    for name in ("report.md", "report.html"):
        assert SENTENCE in (out / name).read_text()
        assert "2 members" in (out / name).read_text()
    return json.loads((out / "report.json").read_text())


def test_evaluate_with_members(files, tmp_path, capsys):
    options = ("--generated", files / "a.h5", "--members", files / "b.h5")
    assert run("evaluate", *options, *common(files, tmp_path)) == 0
    shown = capsys.readouterr().out
    record = assert_told_everywhere(tmp_path, shown)
    assert "W1, 2 members" in shown.splitlines()[0]
    assert record["members"] == [str(files / "b.h5")]
    assert set(record["band_coverage"]) == {"value", "error", "n_bins"}
    assert record["observables"]["e_ratio"]["members"]["error"] > 0


def test_compare_with_members(files, tmp_path, capsys):
    samples = (f"two={files / 'a.h5'},{files / 'b.h5'}", f"one={files / 'a.h5'}")
    assert run("compare", *samples, *common(files, tmp_path), "--no-classifier") == 0
    shown = capsys.readouterr().out
    record = assert_told_everywhere(tmp_path, shown)
    assert [line.split("  ")[0] for line in shown.splitlines()[2:5]] == [
        "two", "two, 2 members", "one"
    ]  # fmt: skip
    two, one = record["rows"]
    assert two["scores"] == one["scores"]
    w1 = two["bands"]["e_ratio"]["w1"]
    assert w1["value"] != two["scores"]["e_ratio"]["w1"]["value"]
    assert "bands" not in one
    assert list(record["band_coverage"]) == ["two"]


def test_an_unusable_member_is_one_line(files, tmp_path, capsys):
    options = ("--generated", files / "a.h5", "--members", files / "none.h5")
    code = run("evaluate", *options, *common(files, tmp_path))
    assert_one_line(capsys, code, "none.h5")


def test_runs_and_ensembles_are_sampled_once_for_each_member(tmp_path, monkeypatch):
    """The runs are folders alone: what they are is told by n_members."""
    members = {"plain": None, "five": 3}
    for name in members:
        (tmp_path / name).mkdir()
    made = []
    monkeypatch.setattr(
        "jaxcalo.experiment.manifest.trained_manifest", lambda folder: (None, folder.name)
    )
    monkeypatch.setattr("jaxcalo.experiment.n_members", members.get)
    monkeypatch.setattr(
        given_samples,
        "sample_like",
        lambda folder, _, out, seed, member: made.append((folder.name, out.name, seed, member)),
    )
    plain, five, file = tmp_path / "plain", tmp_path / "five", tmp_path / "x.h5"
    texts = (f"one={plain}", f"many={five}", f"mixed={file},{plain}")
    found = given_samples.given_samples(texts, tmp_path / "ref.h5", tmp_path, 7)
    folder = tmp_path / "samples"
    assert found == [
        Given("one", ((folder / "one.h5",),)),
        Given("many", tuple((folder / f"many-{i}.h5",) for i in range(3))),
        Given("mixed", ((file,), (folder / "mixed-1.h5",))),
    ]
    assert made == [
        ("plain", "one.h5", 7, None),
        ("five", "many-0.h5", 7, 0),
        ("five", "many-1.h5", 8, 1),
        ("five", "many-2.h5", 9, 2),
        ("plain", "mixed-1.h5", 8, None),
    ]
