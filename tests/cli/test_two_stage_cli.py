"""A two-stage run through every verb that takes a run."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from command_line import assert_one_line, run, spawned

from jaxcalo.data import read_showers, sample_path
from jaxcalo.experiment import load_run

RECIPE = Path(__file__).parent / "tiny_two_stage_recipe.py"
TEST = sample_path("par04_lite_test")


@pytest.fixture(scope="module")
def two_stage(tmp_path_factory):
    """The folder of a finished tiny run of two stages."""
    folder = tmp_path_factory.mktemp("two_stage") / "run"
    code, _, err = spawned("train", RECIPE, "--out", folder)
    assert code == 0, err
    return folder


def log(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def energies_of(folder):
    """The first stage's averaged parameters in the newest checkpoint."""
    return jax.device_get(load_run(folder).params["energies"])


def test_losses_of_both_stages_are_logged(two_stage):
    lines = [line for line in log(two_stage) if "loss" in line]
    assert len(lines) == 6
    for line in lines:
        parts = line["loss_energies"] + line["loss_shapes"]
        np.testing.assert_allclose(line["loss"], parts, rtol=1e-5)
    last = log(two_stage)[-1]
    parts = last["validation_loss_energies"] + last["validation_loss_shapes"]
    np.testing.assert_allclose(last["validation_loss"], parts, rtol=1e-5)
    assert np.isfinite(last["vlb_nats_per_voxel"])


def test_samples_are_physical_and_do_not_depend_on_the_shard(two_stage, tmp_path):
    assert run("sample", two_stage, "-n", 70, "-o", tmp_path / "all.h5") == 0
    assert run("sample", two_stage, "-n", 70, "--shard", "1/2", "-o", tmp_path / "part.h5") == 0
    whole, part = (read_showers(tmp_path / f"{name}.h5") for name in ("all", "part"))
    np.testing.assert_array_equal(whole.voxel_energy_mev[35:], part.voxel_energy_mev)
    ratio = whole.voxel_energy_mev.sum(axis=1) / whole.incident_energy_mev
    assert ((ratio > 0.1) & (ratio < 2.0)).all()


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_bits(two_stage, tmp_path):
    """From the checkpoint of step 20: both stages' parameters, moments and averages."""
    copy = tmp_path / "run"
    shutil.copytree(two_stage, copy)
    shutil.rmtree(copy / "checkpoints" / "24")
    code, _, err = spawned("train", RECIPE, "--out", copy)
    assert code == 0, err
    for name in ("loss_energies", "loss_shapes"):
        assert log(copy)[-2][name] == log(two_stage)[-2][name]
    jax.tree.map(np.testing.assert_array_equal, energies_of(copy), energies_of(two_stage))


@pytest.mark.slow
def test_a_student_keeps_its_teacher_s_energies_and_may_sample_them_faster(
    two_stage, tmp_path, capsys
):
    student = tmp_path / "student"
    options = ["--out", student, "--training.n-steps", 8, "--training.checkpoints.every", 8]
    distill = ["distill", two_stage, "--to", "consistency", *options]
    assert_one_line(capsys, run(*distill, "--energies.width", 8), "--energies", "the teacher's")
    assert run(*distill, "--energies.sampling.n-steps", 3) == 0
    assert load_run(student).experiment.energies.sampling.n_steps == 3
    jax.tree.map(np.testing.assert_array_equal, energies_of(student), energies_of(two_stage))
    assert run("sample", student, "-n", 8, "-o", tmp_path / "made.h5") == 0
    assert (read_showers(tmp_path / "made.h5").voxel_energy_mev.sum(axis=1) > 0).all()


@pytest.mark.slow
def test_grids_likelihood_and_pareto_know_two_stages(two_stage, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(two_stage, copy)
    options = ["--steps", 3, "--iterations", 3, "--n-showers", 16]
    assert run("search-grid", copy, *options) == 0
    assert run("likelihood", copy, "--data", TEST, "-n", 4) == 0
    points = ["--samplers", "dpmpp-2m@searched:3", "-n", 64, "--out", tmp_path / "pareto"]
    assert run("pareto", copy, *points) == 0
    table = (tmp_path / "pareto" / "pareto.md").read_text()
    assert "dpmpp-2m@searched" in table
