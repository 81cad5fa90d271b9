"""`jaxcalo pareto`: measured once, the numbers in the file, unusable requests refused."""

import json
import shutil

import pytest
from command_line import assert_one_line, run

from jaxcalo import experiment
from jaxcalo.data import Showers, ShowerWriter, read_showers, sample_path

COMMON = ["-n", 40, "--batch-size", 16]


@pytest.fixture(scope="module")
def measured(trained, tmp_path_factory):
    """The tiny run by two samplers, in a folder that other tests only read or copy."""
    out = tmp_path_factory.mktemp("pareto")
    assert run("pareto", trained, "--out", out, "--samplers", "ddim:1,2", "heun:2", *COMMON) == 0
    return out


def record_of(folder):
    return json.loads((folder / "pareto.json").read_text())


def test_numbers_of_every_point_and_the_floor(measured):
    record = record_of(measured)
    points = record["points"]
    found = [(p["run"], p["sampler"], p["n_evaluations"]) for p in points]
    assert found == [("run", "ddim", 1), ("run", "ddim", 2), ("run", "heun", 3)]
    for point in points:
        # A batch of 16 is filled up to whole blocks of every device: there is a time even so.
        assert 0 < point["ms_per_shower"] < 1e4
        assert point["w1_mean"]["value"] > record["floor"]["w1_mean"]["value"] > 0
        assert 0 < point["separation_mean"] <= 1
        assert point["fpd"]["value"] > 0
        assert point["measured"]["step"] == 24
    assert set(record["floor"]) == {"w1_mean", "separation_mean", "fpd"}
    assert record["settings"]["n_showers"] == 40
    assert record["settings"]["reference"] == "par04_lite_test.h5"
    assert (measured / "pareto.png").read_bytes().startswith(b"\x89PNG")
    table = (measured / "pareto.md").read_text()
    assert table.count("\n") == 2 + 3 + 1
    assert "| run | heun | 3 |" in table


def test_a_second_call_measures_only_what_is_new(trained, measured, tmp_path, monkeypatch):
    out = shutil.copytree(measured, tmp_path / "out")
    first, real, asked = record_of(out), experiment.measure, []

    def watched(trained, sampling, *rest, **options):
        asked.append(sampling.n_steps)
        return real(trained, sampling, *rest, **options)

    monkeypatch.setattr(experiment, "measure", watched)
    same = ["pareto", trained, "--out", out, *COMMON, "--samplers", "ddim:1,2"]
    assert run(*same, "heun:2") == 0
    assert asked == []
    assert record_of(out) == first
    assert run(*same[:-1], "ddim:1,3", "heun:2") == 0
    assert asked == [3]
    points = record_of(out)["points"]
    assert points[:3] == first["points"]
    assert [p["n_evaluations"] for p in points] == [1, 2, 3, 3]
    assert (out / "pareto.md").read_text().count("\n") == 2 + 3 + 1


def test_other_settings_are_refused_and_nothing_is_lost(trained, measured, tmp_path, capsys):
    out = shutil.copytree(measured, tmp_path / "out")
    before = (out / "pareto.json").read_bytes()
    capsys.readouterr()
    changed = (
        ["-n", 50, "--batch-size", 16],
        ["-n", 40, "--batch-size", 32],
        [*COMMON, "--seed", 1],
    )
    for settings in changed:
        code = run("pareto", trained, "--out", out, "--samplers", "ddim:1", *settings)
        assert_one_line(capsys, code, "pareto.json", "the same settings", "another --out")
    assert (out / "pareto.json").read_bytes() == before
    for content in ("not json", "[]", '{"settings": {}}', json.dumps({"settings": 3, "floor": {}})):
        (out / "pareto.json").write_text(content)
        code = run("pareto", trained, "--out", out, "--samplers", "ddim:1", *COMMON)
        assert_one_line(capsys, code, "pareto.json", "another --out")


@pytest.mark.parametrize("text", ["ddim", "ddim:", "ddim:0", "ddim:4,x", "best:4", "ddim:-1", ":4"])
def test_bad_samplers(trained, text, tmp_path, capsys):
    code = run("pareto", trained, "--out", tmp_path / "x", "--samplers", text)
    assert_one_line(capsys, code, "--samplers", repr(text))
    assert not (tmp_path / "x").exists()


def test_unusable_requests_in_one_line(trained, tmp_path, capsys):
    out = ["--out", tmp_path / "x", "--samplers", "ddim:1"]
    assert_one_line(capsys, run("pareto", trained, *out, "-n", 0), "-n", "found 0")
    code = run("pareto", trained, *out, "--batch-size", 0)
    assert_one_line(capsys, code, "--batch-size", "found 0")
    assert_one_line(capsys, run("pareto", tmp_path, *out), "expected a run folder")
    assert_one_line(capsys, run("pareto", trained, trained, *out), "different names")
    assert_one_line(capsys, run("pareto", trained, *out, "-n", 4), "FPD")
    assert not (tmp_path / "x").exists()


def test_a_reference_is_needed_for_runs_on_other_data(trained, tmp_path, capsys):
    folder = shutil.copytree(trained, tmp_path / "other")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["experiment"]["data"]["path"] = "mine.h5"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    out = ["--out", tmp_path / "x", "--samplers", "ddim:1", *COMMON]
    assert_one_line(capsys, run("pareto", folder, *out), "--reference", "mine.h5")
    assert run("pareto", folder, *out, "--reference", sample_path("par04_lite_test")) == 0


def test_a_reference_of_another_geometry(trained, tmp_path, capsys):
    energy, voxels, _ = read_showers(sample_path("par04_lite_test"))
    with ShowerWriter(tmp_path / "wide.h5", 700) as writer:
        writer.append(Showers(energy[:50], voxels[:50, :700]))
    out = ["--out", tmp_path / "x", "--samplers", "ddim:1", *COMMON]
    code = run("pareto", trained, *out, "--reference", tmp_path / "wide.h5")
    assert_one_line(capsys, code, "wide.h5", "700 voxels")
    code = run("pareto", trained, *out, "--reference", tmp_path / "none.h5")
    assert_one_line(capsys, code, "none.h5")


@pytest.mark.parametrize("few_steps", ["consistency", "progressive"])
def test_students_are_measured_with_their_own_steps(trained, few_steps, tmp_path):
    """A run made into a student in its manifest alone: how it is sampled is all that matters."""
    from jaxcalo.diffusion import Consistency, Ddim
    from jaxcalo.experiment import to_record
    from jaxcalo.families import ConsistencyDistillation, ProgressiveDistillation, Sampling

    method, sampling, expected = {
        "consistency": (ConsistencyDistillation(), Sampling(Consistency(), 1), [1, 3]),
        "progressive": (ProgressiveDistillation(4, 2), Sampling(Ddim(), 2), [2]),
    }[few_steps]
    folder = shutil.copytree(trained, tmp_path / "student")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["experiment"] |= {"few_steps": to_record(method), "sampling": to_record(sampling)}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    arguments = [folder, "--out", tmp_path / "x", "--student-steps", 1, 3]
    assert run("pareto", *arguments, *COMMON) == 0
    assert [p["n_evaluations"] for p in record_of(tmp_path / "x")["points"]] == expected
