"""Unusable input: one clear line, exit code 2, and nothing already made is lost."""

import dataclasses
import json
import os
import shutil

import h5py
import numpy as np
import pytest
from command_line import RECIPE, assert_one_line, run, spawned

from jaxcalo.data import sample_path


def showers(path, n=40, voxels=720, **changes):
    """A small valid file with one thing changed: an array, or a data set left out (None)."""
    with h5py.File(sample_path("par04_lite_test")) as source:
        content = {
            "incident_energies": source["incident_energies"][:n],
            "showers": source["showers"][:n, :voxels],
        }
    for name, change in changes.items():
        content[name] = None if change is None else change(content[name].copy())
    with h5py.File(path, "w") as file:
        for name, array in content.items():
            if array is not None:
                file[name] = array
    return path


def put(row, column, value):
    def change(array):
        array[row, column] = value
        return array

    return change


def renamed(path):
    with h5py.File(showers(path), "r+") as file:
        file.move("showers", "shower")
    return path


def truncated(path):
    content = showers(path).read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def written(path, content):
    path.write_bytes(content)
    return path


BAD_FILES = {
    "missing_dataset": (lambda p: showers(p, incident_energies=None), "incident_energies"),
    "misnamed_dataset": (renamed, "lacks the data set 'showers'"),
    "wrong_voxel_count": (lambda p: showers(p, voxels=700), "700 voxels"),
    "nan": (lambda p: showers(p, showers=put(7, 3, np.nan)), "shower 7"),
    "inf": (lambda p: showers(p, showers=put(8, 3, np.inf)), "shower 8"),
    "negative_energy": (lambda p: showers(p, showers=put(9, 3, -1.0)), "shower 9"),
    "zero_incident_energy": (lambda p: showers(p, incident_energies=put(5, 0, 0)), "shower 5"),
    "truncated": (truncated, "damaged or cut short"),
    "not_hdf5": (lambda p: written(p, b"E,x,y\n" * 99), "not an HDF5 file"),
    "empty_file": (lambda p: written(p, b""), "empty (0 bytes)"),
    "no_showers": (lambda p: showers(p, n=0), "holds no showers"),
    "no_file": (lambda p: p, "cannot read"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_bad_file_in_every_verb(kind, tmp_path, capsys):
    make, message = BAD_FILES[kind]
    bad, good = make(tmp_path / "bad.h5"), showers(tmp_path / "good.h5")
    out, geometry = tmp_path / "out", ("--geometry", "par04_lite")
    code = run("train", RECIPE, "--out", out, "--data", bad, "--data.batch-size", 8)
    assert_one_line(capsys, code, "bad.h5", message)
    assert not (out / "checkpoints").exists()
    for reference, generated in ((bad, good), (good, bad)):
        files = ("--reference", reference, "--generated", generated)
        code = run("evaluate", *files, *geometry, "--out", out)
        assert_one_line(capsys, code, "bad.h5", message)
    assert not (out / "report.json").exists()
    assert_one_line(capsys, run("inspect", bad, *geometry), "bad.h5", message)


def test_bad_energies_file_keeps_the_old_sample(trained, tmp_path, capsys):
    out = written(tmp_path / "x.h5", b"precious")
    bad = showers(tmp_path / "bad.h5", incident_energies=put(5, 0, np.nan))
    code = run("sample", trained, "--energies-from", bad, "-o", out)
    assert_one_line(capsys, code, "shower 5")
    assert out.read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<Bins><Bin", "not well-formed XML"),
        ("<Bins></Bins>", "expected <Bins> with <Bin> inside"),
        ('<Bins><Bin pid="1" name="x"><Layer id="0" r_edges="5,1" n_bin_alpha="2"/></Bin></Bins>',
         "must increase"),
    ],
)  # fmt: skip
def test_bad_geometry_file(text, message, tmp_path, capsys):
    xml, good = written(tmp_path / "g.xml", text.encode()), showers(tmp_path / "good.h5")
    assert_one_line(capsys, run("inspect", good, "--geometry", xml), "g.xml", message)


def test_geometry_that_does_not_fit_or_exist(tmp_path, capsys):
    good = showers(tmp_path / "good.h5")
    code = run("inspect", good, "--geometry", "ds2")
    assert_one_line(capsys, code, "720 voxels", "6480", "use par04_lite")
    code = run("inspect", good, "--geometry", "ds9")
    assert_one_line(capsys, code, "ds9", "par04_lite")


def test_checkpoint_of_another_recipe(trained, tmp_path, capsys):
    """The manifest says one network, the checkpoint holds another."""
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["experiment"]["net"]["width"] = 32
    (folder / "manifest.json").write_text(json.dumps(manifest))
    code = run("sample", folder, "-n", 3, "-o", tmp_path / "x.h5")
    assert_one_line(capsys, code, "checkpoint 24 cannot be read as this recipe's")
    code = run("train", RECIPE, "--net.width", 32, "--out", folder)
    assert_one_line(capsys, code, "checkpoint 24 cannot be read as this recipe's")
    assert (folder / "checkpoints" / "24").is_dir()


@pytest.mark.parametrize("content", [b"{}", b"not json", b'{"format": 99}', b"[1]", b"\xff\xfe"])
def test_foreign_manifest(content, tmp_path, capsys):
    written(tmp_path / "manifest.json", content)
    code = run("sample", tmp_path, "-n", 3, "-o", tmp_path / "x.h5")
    assert_one_line(capsys, code, "manifest")


def test_manifest_with_an_unknown_type(trained, tmp_path, capsys):
    manifest = json.loads((trained / "manifest.json").read_text())
    manifest["experiment"]["net"] = {"type": "os.system", "command": "true"}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    code = run("sample", tmp_path, "-n", 3, "-o", tmp_path / "x.h5")
    assert_one_line(capsys, code, "os.system")


def test_not_a_run(tmp_path, capsys):
    code = run("sample", tmp_path, "-n", 3, "-o", tmp_path / "x.h5")
    assert_one_line(capsys, code, "expected a run folder")
    assert list(tmp_path.iterdir()) == []


def test_another_data_file_under_the_same_name(trained, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["data"]["sha256"] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert_one_line(capsys, run("train", RECIPE, "--out", folder), "another content")


def test_unwritable_output(trained, tmp_path, capsys):
    good = showers(tmp_path / "good.h5")
    blocked = written(tmp_path / "file", b"") / "inside"
    code = run("sample", trained, "-n", 3, "-o", blocked / "x.h5")
    assert_one_line(capsys, code, "cannot write")
    assert_one_line(capsys, run("train", RECIPE, "--out", blocked), "inside")
    files = ("--reference", good, "--generated", good, "--geometry", "par04_lite")
    assert_one_line(capsys, run("evaluate", *files, "--out", blocked), "inside")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_full_disk_keeps_the_old_sample(trained, tmp_path, capsys, monkeypatch):
    """A disk that fills while the showers are written."""
    out = written(tmp_path / "x.h5", b"precious")
    full = os.open("/dev/full", os.O_RDWR)
    real = os.pwrite

    def pwrite(number, data, offset):
        return real(full if offset > 100_000 else number, data, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    code = run("sample", trained, "-n", 300, "-o", out)
    os.close(full)
    assert code == 2
    assert "No space left on device" in capsys.readouterr().err.splitlines()[-1]
    assert out.read_bytes() == b"precious"
    assert [path.name for path in tmp_path.iterdir()] == ["x.h5"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-n", 0], "at least 1"),
        ([], "number of showers"),
        (["-n", 3, "--energy", -5], "positive"),
        (["-n", 3, "--energy", "nan"], "positive"),
        (["-n", 3, "--energy-range", 9, 2], "LO <= HI"),
        (["-n", 3, "--energy", 5, "--energy-range", 1, 2], "found several"),
        (["-n", 3, "--shard", "2/2"], "I = 0 ... N-1"),
        (["-n", 3, "--shard", "half"], "expected I/N"),
        (["-n", 3, "--batch-size", 0], "--batch-size"),
        (["-n", 3, "--steps", 0], "--steps: expected at least 1"),
        (["-n", 3, "--guidance", 2], "condition-dropout"),
        (["-n", 3, "--condition", "pdg=22"], "knows only the energy, found pdg"),
    ],
)
def test_impossible_requests(trained, tmp_path, capsys, arguments, message):
    code = run("sample", trained, *arguments, "-o", tmp_path / "x.h5")
    assert_one_line(capsys, code, message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("experiment = 3", "found int"),
        ("import nothing_like_this", "ModuleNotFoundError"),
        ("x = 1", "expected a recipe that defines"),
    ],
)
def test_bad_recipe(text, message, tmp_path, capsys):
    recipe = written(tmp_path / "r.py", text.encode())
    assert_one_line(capsys, run("train", recipe, "--out", tmp_path / "x"), "r.py", message)


def test_unknown_options_exit_with_2(tmp_path):
    assert run("train", RECIPE, "--out", tmp_path / "x", "--no.such.field", 1) == 2
    assert run("fly") == 2


def test_loss_that_diverges_stops_with_the_last_good_checkpoint(tmp_path):
    arguments = ["--optimizer.learning-rate", 1e30, "--optimizer.clip-norm", 1e30]
    code, _, err = spawned("train", RECIPE, "--out", tmp_path / "run", *arguments)
    assert code == 1
    assert "expected a finite loss" in err
    assert "Traceback" not in err


def test_batch_larger_than_the_data(tmp_path, capsys):
    small = showers(tmp_path / "small.h5", n=20)
    code = run("train", RECIPE, "--out", tmp_path / "run", "--data", small)
    assert_one_line(capsys, code, "the batch size must be from 1 to the 19 showers")


def test_fields_out_of_range_are_refused():
    from jaxcalo.experiment import Data

    with pytest.raises(ValueError, match="validation-fraction"):
        dataclasses.replace(Data(), validation_fraction=1.5)
