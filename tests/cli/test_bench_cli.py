"""`jaxcalo bench timing`: the table, the record, the showers that were timed."""

import json
import shutil

import jax
import numpy as np
import pytest
from command_line import assert_one_line, run

from jaxcalo.data import read_showers
from jaxcalo.experiment import load_run
from jaxcalo.experiment.flops import count_flops
from jaxcalo.experiment.timed_batch import prepare_batch
from jaxcalo.preprocess import prepare
from jaxcalo.training import data_mesh


@pytest.fixture(scope="module")
def measured(trained, tmp_path_factory):
    """The record of a tiny run at two batch sizes."""
    out = tmp_path_factory.mktemp("bench") / "new" / "timing.json"
    options = ["--batch-sizes", 3, 1, "--repeats", 2, "--sampler", "heun", "--steps", 2]
    assert run("bench", "timing", trained, *options, "-o", out) == 0
    assert [path.name for path in out.parent.iterdir()] == ["timing.json"]
    return json.loads(out.read_text())


def test_the_record(measured):
    assert measured["run"] == "run"
    assert measured["trained_steps"] == 24
    assert (measured["geometry"], measured["n_voxels"]) == ("par04_lite", 720)
    assert measured["sampling"]["sampler"]["type"] == "Heun"
    assert (measured["n_evaluations"], measured["n_energy_evaluations"]) == (3, 0)
    assert measured["geant4_cpu_ms_per_shower"] == 471.0
    assert [batch["batch_size"] for batch in measured["batches"]] == [1, 3]
    for batch in measured["batches"]:
        assert len(batch["repeats_ms"]) == 2
        assert batch["ms_per_shower"] == pytest.approx(np.mean(batch["repeats_ms"]))
        assert batch["ms_per_shower"] > 0 <= batch["ms_per_shower_std"]
        assert batch["layout"]["n_computed"] == batch["batch_size"]
        assert batch["planned_bytes"] > 4 * (measured["n_parameters"] + 720 * batch["batch_size"])
    settings = measured["settings"]
    assert (settings["repeats"], settings["limit_s"], settings["seed"]) == (2, 600.0, 0)
    assert settings["devices"] == ["cpu"]
    assert settings["cores"] >= 1
    assert settings["versions"]["jax"] == jax.__version__


def test_parameters_and_operations_are_those_of_the_network(trained, measured):
    model = load_run(trained)
    leaves = jax.tree.leaves(model.params)
    assert measured["n_parameters"] == sum(np.asarray(leaf).size for leaf in leaves)
    assert measured["n_parameters_training"] == measured["n_parameters"]
    net = model.experiment.net.build(model.detector, 15, False)
    inputs = np.zeros((1, 15 + 720)), np.zeros(1), np.zeros((1, 1))
    of_network = count_flops(net.apply, model.params, *inputs)
    to_mev = prepare(model.experiment.preprocess, model.detector, model.constants).transform.inverse
    of_sums = count_flops(to_mev, inputs[0][0], np.float32(1e3))  # over the layers
    assert of_network > of_sums
    assert measured["flops_per_shower"] == 3 * of_network + of_sums


def test_the_table_and_a_limit_that_is_too_short(trained, capsys):
    options = ["--batch-sizes", 1, 500, "--repeats", 3, "--limit", 1e-6]
    assert run("bench", "timing", trained, *options) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "ddim, 4 steps, 4 network evaluations and" in lines[0]
    assert "ms per shower" in lines[2]
    assert lines[3].startswith("       1  ")
    assert lines[3].endswith("(1 of 3 repeats: the limit is 1e-06 s)")
    assert lines[4].startswith("     500  not run: a call is expected to take")
    assert "471 of CPU time on one core" in lines[5]


def test_what_is_timed_is_what_sample_writes(trained, tmp_path):
    assert run("sample", trained, "-n", 3, "--seed", 4, "-o", tmp_path / "a.h5") == 0
    energy, voxels = read_showers(tmp_path / "a.h5")[:2]
    batch = prepare_batch(load_run(trained), 3, seed=4, mesh=data_mesh(jax.devices()[:1]))
    np.testing.assert_array_equal(batch.cond[:, 0], energy)
    found = batch.run()
    # Rounding may move a voxel over the threshold.
    assert np.isclose(found, voxels, rtol=1e-3, atol=1e-3).mean() > 0.999
    np.testing.assert_allclose(found.sum(axis=1), voxels.sum(axis=1), rtol=1e-3)


def test_a_run_without_its_data_is_timed_all_the_same(trained, tmp_path, capsys):
    folder = shutil.copytree(trained, tmp_path / "moved")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["experiment"]["data"]["path"] = "nowhere.h5"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert run("bench", "timing", folder, "--batch-sizes", 1, "--repeats", 1, "--steps", 1) == 0
    assert "Geant4" not in capsys.readouterr().out


def test_unusable_requests_in_one_line(trained, tmp_path, capsys):
    bench = ["bench", "timing"]
    assert_one_line(capsys, run(*bench, tmp_path), "expected a run folder")
    assert_one_line(capsys, run(*bench, trained, "--batch-sizes", 0), "--batch-sizes", "found 0")
    assert_one_line(capsys, run(*bench, trained, "--repeats", 0), "--repeats", "found 0")
    assert_one_line(capsys, run(*bench, trained, "--limit", 0), "--limit", "found 0")
    assert_one_line(capsys, run(*bench, trained, "--steps", 0), "--steps", "found 0")
    assert_one_line(capsys, run(*bench, trained, "-o", tmp_path), "-o", str(tmp_path))
    (tmp_path / "file").write_text("")
    code = run(*bench, trained, "-o", tmp_path / "file" / "x.json")
    assert_one_line(capsys, code, str(tmp_path / "file"))
    assert run("bench") == 2
    assert run("bench", "memory", trained) == 2
