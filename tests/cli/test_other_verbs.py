"""evaluate, inspect, doctor and the crystals' two-dimensional job."""

import json

import jax
import numpy as np
import pytest
from command_line import RECIPE, run

from jaxcalo.data import Showers, ShowerWriter, read_showers, sample_path
from jaxcalo.data.toy import toy_showers
from jaxcalo.geometry import load_geometry

OBSERVABLES = (
    ["e_ratio", "n_hits", "e_cell", "e_long", "e_radial"] + ["centre_x", "centre_y", "centre_z"]
)  # fmt: skip


def write(path, showers):
    with ShowerWriter(path, showers.voxel_energy_mev.shape[1]) as writer:
        writer.append(showers)
    return path


def halves(tmp_path):
    energy, voxels, _ = read_showers(sample_path("par04_lite_test"))
    first = write(tmp_path / "a.h5", Showers(energy[::2], voxels[::2]))
    second = write(tmp_path / "b.h5", Showers(energy[1::2], voxels[1::2]))
    worse = write(tmp_path / "c.h5", Showers(energy[1::2], 1.1 * voxels[1::2]))
    return first, second, worse


def test_evaluate_tells_geant4_from_a_shifted_copy(tmp_path, capsys):
    first, second, worse = halves(tmp_path)
    reports = {}
    for name, generated in (("same", second), ("worse", worse)):
        files = ("--reference", first, "--generated", generated)
        assert run("evaluate", *files, "--geometry", "par04_lite", "--out", tmp_path / name) == 0
        reports[name] = json.loads((tmp_path / name / "report.json").read_text())["observables"]
        assert "W1 to the reference" in capsys.readouterr().out
    for name in OBSERVABLES:
        for report in reports.values():
            for number in (report[name]["w1"], report[name]["floor"]):
                assert set(number) == {"value", "error"}
                assert np.isfinite(list(number.values())).all()
        same = reports["same"][name]
        error = np.hypot(same["w1"]["error"], same["floor"]["error"])
        assert same["w1"]["value"] < same["floor"]["value"] + 4 * error
    assert reports["worse"]["e_ratio"]["w1"]["value"] > 1.0
    html = (tmp_path / "same" / "report.html").read_text()
    assert html.count("data:image/png;base64,") >= 10
    assert "http" not in html.replace("http-equiv", "")


def test_inspect_says_what_is_there(capsys):
    assert run("inspect", sample_path("par04_lite_test"), "--geometry", "par04_lite") == 0
    out = capsys.readouterr().out
    for part in ("800 showers of 720 voxels", "par04_lite", "Geant4 11.4.0"):
        assert part in out


def test_doctor_checks_the_machine(capsys):
    assert run("doctor") == 0
    out = capsys.readouterr().out
    assert "compiled == reference yes" in out
    assert "jax " in out


@pytest.mark.slow
@pytest.mark.parametrize("net", ["dit", "unet"])
def test_crystal_matrix_trains_and_samples(net, tmp_path):
    """The same verbs in two dimensions, with both networks."""
    crystals = load_geometry("ecal_crystals")
    data = write(tmp_path / "crystals.h5", toy_showers(jax.random.key(0), crystals, 64))
    recipe = tmp_path / "unet.py"
    recipe.write_text(
        "import dataclasses, runpy\n"
        "from jaxcalo.experiment import UNetNet\n"
        f"tiny = runpy.run_path({RECIPE!r})['experiment']\n"
        "experiment = dataclasses.replace(tiny, net=UNetNet(channels=(8, 8, 8)))\n"
    )
    fields = ["--data", data, "--data.geometry", "ecal_crystals", "--data.batch-size", 16]
    fields += ["--training.n-steps", 3]
    arguments = {"dit": [RECIPE, *fields, "--net.patch", 4, 4], "unet": [recipe, *fields]}[net]
    assert run("train", *arguments, "--out", tmp_path / "run") == 0
    assert run("sample", tmp_path / "run", "-n", 4, "-o", tmp_path / "x.h5") == 0
    showers = read_showers(tmp_path / "x.h5", crystals)
    assert (showers.voxel_energy_mev.sum(axis=1) > 0).all()


@pytest.mark.slow
def test_official_binning_file_without_threshold(tmp_path):
    """The smallest energy of the training data is the threshold when the XML has none."""
    other = '<Bin pid="22" name="photon"><Layer id="0" r_edges="0,1" n_bin_alpha="1"/></Bin>'
    text = f'<Bins>{other}<Bin pid="11" name="electron">' + "".join(
        f'<Layer id="{i}" r_edges="0,5,10" n_bin_alpha="4"/>' for i in range(3)
    )
    geometry = tmp_path / "mine.xml"
    geometry.write_text(text + "</Bin></Bins>")
    voxels = np.array(jax.random.uniform(jax.random.key(0), (64, 24), minval=0.25, maxval=90.0))
    voxels[:, ::3] = 0.0
    data = write(tmp_path / "x.h5", Showers(np.full(64, 1e3, np.float32), voxels))
    arguments = ["--data", data, "--data.geometry", geometry, "--data.batch-size", 16]
    arguments += ["--training.n-steps", 2, "--net.patch", 1, 4, 2, "--out", tmp_path / "run"]
    assert run("train", RECIPE, *arguments) == 2  # two particles, none named
    assert run("train", RECIPE, *arguments, "--data.particle", "electron") == 0
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["detector"]["threshold_mev"] == voxels[:61][voxels[:61] > 0].min()
