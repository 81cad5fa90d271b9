"""Students through the real command line: made, sampled, killed, resumed, refused."""

import json
import shutil
import signal
import time

import jax
import numpy as np
import pytest
from command_line import assert_one_line, run, spawn, spawned

from jaxcalo.data import read_showers
from jaxcalo.experiment import load_run
from jaxcalo.training import Checkpoints, read_metrics

SHORT = ["--training.n-steps", 6, "--training.log-every", 2]


@pytest.fixture(scope="module")
def teacher(trained, tmp_path_factory):
    """A copy of the tiny run, beside which its students lie."""
    return shutil.copytree(trained, tmp_path_factory.mktemp("teacher") / "run")


@pytest.fixture(scope="module")
def student(teacher):
    """A consistency student of a few steps, at its default place."""
    assert run("distill", teacher, "--to", "consistency", *SHORT) == 0
    return teacher.with_name("run-consistency")


def sampled(folder, path, *options):
    assert run("sample", folder, "-n", 4, "--energy", 10, *options, "-o", path) == 0
    showers = read_showers(path).voxel_energy_mev
    assert np.isfinite(showers).all()
    assert (showers.sum(axis=1) > 0).all()
    return showers


def test_consistency_student_samples_in_one_step_or_more(teacher, student, tmp_path):
    experiment = load_run(student).experiment
    assert experiment.teacher.run == str(teacher)
    assert experiment.teacher.step == 24
    assert experiment.sampling.n_evaluations == 1
    one = sampled(student, tmp_path / "x.h5")
    assert not np.allclose(one, sampled(student, tmp_path / "x.h5", "--steps", 2))
    assert not np.allclose(one, sampled(teacher, tmp_path / "x.h5"))


def test_student_has_its_teachers_preprocessing_and_starts_from_its_parameters(teacher, student):
    old, new = load_run(teacher), load_run(student)
    for a, b in zip(old.constants, new.constants, strict=True):
        np.testing.assert_array_equal(a, b)
    assert old.detector == new.detector
    moved = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), old.params, new.params)
    sizes = jax.tree.map(lambda a: float(np.abs(a).max()), old.params)
    # Six steps of at most 5e-4.
    assert 0 < max(jax.tree.leaves(moved)) < 4e-3
    assert max(jax.tree.leaves(sizes)) > 0.1


@pytest.mark.slow
def test_progressive_student_takes_the_steps_it_was_made_for(teacher, tmp_path, capsys):
    fields = ["--few-steps.first-steps", 4, "--few-steps.last-steps", 2]
    assert run("distill", teacher, "--to", "progressive", *SHORT, *fields) == 0
    folder = teacher.with_name("run-progressive")
    assert str(folder) in capsys.readouterr().out
    assert load_run(folder).experiment.sampling.n_evaluations == 2
    two = sampled(folder, tmp_path / "x.h5")
    assert not np.allclose(two, sampled(folder, tmp_path / "x.h5", "--steps", 4))


@pytest.mark.slow
def test_killed_student_resumes_to_the_bit(teacher, tmp_path):
    common = ["distill", teacher, "--to", "consistency", "--few-steps.target-decay", 0.9]
    common += ["--training.n-steps", 20]
    code, _, err = spawned(*common, "--out", tmp_path / "whole")
    assert code == 0, err
    folder = tmp_path / "broken"
    process, metrics = spawn(*common, "--out", folder), folder / "metrics.jsonl"
    while process.poll() is None and not any(r["step"] >= 8 for r in read_metrics(metrics)):
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "the run ended before it could be killed"
    code, _, err = spawned(*common, "--out", folder)
    assert code == 0, err
    states = []
    for run_folder in (tmp_path / "whole", folder):
        with Checkpoints(run_folder / "checkpoints") as checkpoints:
            assert checkpoints.latest_step == 20
        states.append(jax.tree.leaves(jax.device_get(load_run(run_folder).params)))
    for a, b in zip(*states, strict=True):
        np.testing.assert_array_equal(a, b)
    steps = [r["step"] for r in read_metrics(metrics) if "loss" in r]
    assert steps == sorted(set(steps))


def test_a_teacher_that_was_trained_further_is_refused(teacher, tmp_path, capsys):
    """A student is made of the run as it was at step 20; then it goes on to step 24."""
    early = shutil.copytree(teacher, tmp_path / "early")
    (early / "checkpoints" / "24").rename(tmp_path / "24")
    common = ["distill", early, "--to", "consistency", "--out", tmp_path / "x", *SHORT]
    assert run(*common) == 0
    assert load_run(tmp_path / "x").experiment.teacher.step == 20
    (tmp_path / "24").rename(early / "checkpoints" / "24")
    capsys.readouterr()
    assert_one_line(capsys, run(*common), "teacher.step: 20 -> 24")
    code = run(*common, "--teacher.step", 20)
    assert_one_line(capsys, code, "after 20 steps, found it after 24", "--out")


def test_unusable_requests_in_one_line(teacher, student, tmp_path, capsys):
    out = ["--out", tmp_path / "x"]
    capsys.readouterr()
    code = run("distill", student, "--to", "consistency", *out)
    assert_one_line(capsys, code, "found a student", "distil its teacher")
    assert_one_line(capsys, run("distill", teacher, "--to", "flow", *out), "--to", "'flow'")
    assert_one_line(capsys, run("distill", teacher, "--to=flow", *out), "--to", "'flow'")
    assert_one_line(capsys, run("distill", teacher, "--to"), "--to", "found ''")
    assert_one_line(capsys, run("distill", teacher), "--to consistency or --to progressive")
    code = run("distill", tmp_path / "none", "--to", "consistency", *out)
    assert_one_line(capsys, code, "none", "expected a run folder")
    to = ["distill", teacher, "--to", "progressive", *out]
    assert_one_line(capsys, run(*to, "--net.width", 32), "--net", "the teacher's")
    assert_one_line(capsys, run(*to, "--teacher.guidance", 2), "condition-dropout")
    assert not (tmp_path / "x" / "checkpoints").exists()
    code = run("sample", student, "-n", 2, "--guidance", 2, "-o", tmp_path / "x.h5")
    assert_one_line(capsys, code, "guidance")


def test_impossible_stages_in_one_line(teacher, tmp_path, capsys):
    to = ["distill", teacher, "--to", "progressive", "--out", tmp_path / "x"]
    code = run(*to, "--few-steps.first-steps", 6)
    assert code == 2
    err = capsys.readouterr().err
    assert "first_steps = last_steps times" in err
    assert "Traceback" not in err


def test_another_data_file_of_the_student_is_checked(teacher, student, tmp_path, capsys):
    """It resumes on the data it was started with alone."""
    folder = shutil.copytree(student, tmp_path / "run-consistency")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["data"]["sha256"] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(manifest))
    code = run("distill", teacher, "--to", "consistency", "--out", folder, *SHORT)
    assert_one_line(capsys, code, "another content")


def test_dry_run_and_help(teacher, tmp_path, capsys):
    to = ["distill", teacher, "--to", "progressive", "--few-steps.last-steps", 4]
    assert run(*to, "--dry-run") == 0
    record = json.loads(capsys.readouterr().out)
    assert record["few_steps"]["type"] == "ProgressiveDistillation"
    assert record["sampling"]["n_steps"] == 4
    assert record["training"]["n_steps"] == 32
    assert record["optimizer"]["learning_rate"] == 5e-4
    assert record["teacher"]["run"] == str(teacher)
    assert run("distill", teacher, "--to", "consistency", "--help") == 0
    out = capsys.readouterr().out
    assert "--few-steps.n-intervals" in out
    assert "--optimizer.learning-rate" in out


def test_a_run_named_by_a_dot_has_a_student_beside_it(teacher, monkeypatch, capsys):
    monkeypatch.chdir(teacher)
    to = ["distill", ".", "--to", "consistency", "--dry-run"]
    assert run(*to) == 0
    assert json.loads(capsys.readouterr().out)["teacher"]["run"] == "."
