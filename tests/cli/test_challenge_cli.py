"""`jaxcalo challenge`: the row in files and on the terminal, resumed, and unusable requests."""

import json
import shutil

import h5py
import jax
import numpy as np
import pytest
from command_line import assert_one_line, run

from jaxcalo.data import Showers, ShowerWriter, read_showers
from jaxcalo.data.toy import toy_showers
from jaxcalo.geometry import load_geometry
from jaxcalo.metrics import challenge
from jaxcalo.metrics.leaderboard import published

NO_TRAINING = ["--classifiers"]
N_STEPS = 15  # observables, voxels, KPD, FPD and PRDC of the floor and of two samples


def written(path, showers):
    with ShowerWriter(path, showers.voxel_energy_mev.shape[1]) as writer:
        writer.append(showers)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Toy showers of data set 1: a reference, two samples like it, one with a dead layer."""
    folder = tmp_path_factory.mktemp("showers")
    detector = load_geometry("ds1-photons")
    energy, voxels, *_ = toy_showers(jax.random.key(0), detector, 360)
    dead = voxels[240:].copy()
    dead[:, detector.offsets[1] : detector.offsets[2]] = 0
    return {
        "ref": written(folder / "ref.h5", Showers(energy[:240], voxels[:240])),
        "one": written(folder / "one.h5", Showers(energy[240:], voxels[240:])),
        "two": written(folder / "two.h5", Showers(energy[60:180], voxels[60:180])),
        "dead": written(folder / "dead.h5", Showers(energy[240:], dead)),
    }


def arguments(files, out, *generated, dataset="1-photons"):
    names = [files[name] for name in generated]
    common = ["--fast", "--reference", files["ref"], "--out", out]
    return ["challenge", "--dataset", dataset, *common, "--generated", *names]


def record_of(folder):
    return json.loads((folder / "challenge.json").read_text())


@pytest.fixture(scope="module")
def measured(files, tmp_path_factory):
    """Two samples with one classifier, in a folder that other tests only read or copy."""
    out = tmp_path_factory.mktemp("challenge")
    assert run(*arguments(files, out, "one", "dead"), "--classifiers", "high") == 0
    return out


def test_the_record_holds_rows_floor_and_judgement(measured, files):
    record = record_of(measured)
    agrees = record["agrees_with_geant4"]
    assert all(agrees["one.h5"].values()), record["rows"]["one.h5"]
    assert not any(
        agrees["dead.h5"][name] for name in ("auc_high", "fpd_excess", "kpd", "separation")
    )
    assert record["n_showers"] == {"reference": 240, "one.h5": 120, "dead.h5": 120}
    row, floor = record["rows"]["one.h5"], record["floors"]["one.h5"]
    assert row["precision"]["error"] is None  # JSON has no NaN
    assert row["fpd"]["value"] < record["rows"]["dead.h5"]["fpd"]["value"]
    assert floor["kpd"]["n"] == 120
    assert record["settings"]["reference"]["name"] == "ref.h5"
    assert len(record["settings"]["reference"]["sha256"]) == 64
    assert record["differences_from_protocol"][0].startswith("FAST MODE")


def test_the_report_has_the_published_rows_in_their_place(measured):
    text = (measured / "challenge.md").read_text()
    board = text.partition("## Leaderboard")[2].partition("##")[0]
    lines = [line for line in board.splitlines() if line.startswith("| ")][2:]
    names = [line.split("|")[1].strip() for line in lines]
    models = [row.model for row in published("1-photons")[1:]]
    floor = "Geant4 (halves of the reference, 120 showers)"
    assert set(names) == {*models, "Geant4 (published)", "**one.h5**", "**dead.h5**", floor}
    # there is no low-level classifier: sorted by the high-level one, a dead layer comes late
    aucs = [float(line.split("|")[3].split()[0]) for line in lines]
    assert aucs == sorted(aucs)
    assert names.index("**dead.h5**") > names.index("CaloDiffusion")
    assert "CaloINN | 0.6259 ± 0.0042 | 0.6377 | 3.90 | 0.233 |" in board
    assert "**one.h5: all 5 distances agree with Geant4 within its own floor.**" in text
    assert "* FAST MODE" in text
    assert "| dead.h5 | measured | floor | agrees |" in text


def test_an_interrupted_call_goes_on_where_it_stopped(files, measured, tmp_path, monkeypatch):
    real, count = challenge.Step, []

    class Watched(real):
        __slots__ = ()

        def __new__(cls, row, name, seconds, act):
            def counted(observe):
                if len(count) == 4:
                    raise KeyboardInterrupt
                count.append((row, name))
                return act(observe)

            return real.__new__(cls, row, name, seconds, counted)

    monkeypatch.setattr(challenge, "Step", Watched)
    same = [*arguments(files, tmp_path, "one", "dead"), *NO_TRAINING]
    assert run(*same) == 130
    half = record_of(tmp_path)
    assert sum(len(taken) for taken in half["measured"].values()) == len(count) == 4
    assert "rows" not in half
    assert not (tmp_path / "challenge.md").exists()
    count.append("no further interruption")
    assert run(*same) == 0
    assert len(set(count)) == N_STEPS + 1
    whole = record_of(measured)["measured"]
    for taken in whole.values():
        del taken["high"]
    assert record_of(tmp_path)["measured"] == whole
    before = len(count)
    assert run(*same) == 0
    assert len(count) == before


def test_samples_of_one_model_have_a_mean(files, tmp_path, capsys):
    same = [*arguments(files, tmp_path, "one", "two"), *NO_TRAINING]
    assert run(*same, "--one-model") == 0
    shown = capsys.readouterr().out
    record = record_of(tmp_path)
    rows, mean = record["rows"], record["rows"]["mean of 2 samples"]
    for name in ("kpd", "precision", "e_layer"):
        values = [rows[file][name]["value"] for file in ("one.h5", "two.h5")]
        assert mean[name]["value"] == pytest.approx(np.mean(values))
        assert mean[name]["error"] >= np.std(values, ddof=1) / 2**0.5 * 0.999
    assert set(record["measured"]) == {"one.h5", "two.h5", "floor of 120"}
    assert record["floors"]["mean of 2 samples"] == record["floors"]["one.h5"]
    assert "> mean of 2 samples" in shown
    assert "Geant4 (published)" in shown
    assert "No classifier was trained." in (tmp_path / "challenge.md").read_text()


def test_a_detector_outside_the_challenge_has_no_published_rows(files, tmp_path, capsys):
    same = arguments(files, tmp_path, "one")
    assert run("challenge", "--geometry", "ds1-photons", *same[3:], *NO_TRAINING) == 0
    text = (tmp_path / "challenge.md").read_text()
    assert "## All rows" in text
    assert "CaloDiffusion" not in text + capsys.readouterr().out
    assert "all 4 distances agree" in text


def test_another_result_in_the_folder_is_refused(files, measured, tmp_path, capsys):
    out = shutil.copytree(measured, tmp_path / "out")
    before = (out / "challenge.json").read_bytes()
    same = arguments(files, out, "one", "dead")
    capsys.readouterr()
    for changed, message in (
        (arguments(files, out, "one", "two"), "other generated"),
        (arguments(files, out, "one"), "other generated"),
        ([*same, "--seed", 1], "other protocol"),
        ([*same, "--repeats", 2], "other protocol"),
    ):
        assert_one_line(capsys, run(*changed), "challenge.json", message, "another --out")
    assert (out / "challenge.json").read_bytes() == before
    for content in ("not json", "[]", '{"settings": {}}', '{"settings": 3, "measured": {}}'):
        (out / "challenge.json").write_text(content)
        assert_one_line(capsys, run(*same), "challenge.json", "found something else")


def test_unusable_requests_in_one_line(files, tmp_path, capsys):
    out = tmp_path / "x"
    good = arguments(files, out, "one")

    def refused(parts, *call):
        assert_one_line(capsys, run(*call), *parts)

    refused(["368 voxels", "6480"], *arguments(files, out, "one", dataset="2"))
    refused(["either --dataset or --geometry", "both"], *good, "--geometry", "ds1-photons")
    refused(["either --dataset or --geometry", "neither"], "challenge", *good[3:])
    refused(["--one-model", "found 1"], *good, "--one-model")
    refused(["log posterior", "found 1"], *good, "--log-posterior")
    refused(["resnet", "ds1-photons"], *good, "--classifiers", "resnet")
    refused(["n_repeats", "found 0"], *good, "--repeats", 0)
    refused(["particle"], *good, "--particle", "pion")
    refused(["different names", "one.h5, one.h5"], *arguments(files, out, "one", "one"))
    refused(["none.h5"], *good, tmp_path / "none.h5")
    assert not out.exists()


def test_unusable_files_in_one_line(files, tmp_path, capsys):
    energy, voxels, *_ = read_showers(files["one"])
    bad = written(tmp_path / "nan.h5", Showers(energy, voxels))
    with h5py.File(bad, "r+") as file:
        file["showers"][7, 3] = np.nan
    few = written(tmp_path / "few.h5", Showers(energy[:10], voxels[:10]))
    call = ["challenge", "--dataset", "1-photons", "--fast", "--out", tmp_path / "x"]
    for ref, gen, parts in (
        (files["ref"], bad, ["nan.h5", "shower 7"]),
        (bad, files["one"], ["nan.h5", "shower 7"]),
        (files["ref"], few, ["few.h5", "at least 20 showers, found 10"]),
        (few, files["one"], ["few.h5", "at least 40 showers, found 10"]),
    ):
        code = run(*call, "--reference", ref, "--generated", gen)
        assert_one_line(capsys, code, *parts)
    blocked = tmp_path / "file"
    blocked.write_text("")
    code = run(*arguments(files, blocked, "one"), *NO_TRAINING)
    assert_one_line(capsys, code, "file")


def test_too_little_memory_is_said_before_anything_is_measured(
    files, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("jaxcalo.data.memory.available_memory_bytes", lambda: 1000)
    assert_one_line(capsys, run(*arguments(files, tmp_path / "x", "one")), "memory", "--fast")
    assert not (tmp_path / "x").exists()
