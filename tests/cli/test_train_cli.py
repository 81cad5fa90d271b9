"""Training through the real command line: killed, resumed, refused, interrupted."""

import json
import re
import signal
import time

import jax
import numpy as np
import pytest
from command_line import RECIPE, run, spawn, spawned

from jaxcalo.experiment import load_run
from jaxcalo.training import read_metrics


def parameters(folder):
    return jax.tree.leaves(jax.device_get(load_run(folder).params))


def assert_equal_to_the_bit(first, second):
    for a, b in zip(parameters(first), parameters(second), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("moment", [5, pytest.param(14, marks=pytest.mark.slow)])
def test_killed_run_resumes_to_the_bit(trained, tmp_path, moment):
    folder = tmp_path / "run"
    process = spawn("train", RECIPE, "--out", folder)
    metrics = folder / "metrics.jsonl"
    # The moment is a step, whatever the speed of the machine; what is being written then is cut.
    while process.poll() is None and not any(r["step"] >= moment for r in read_metrics(metrics)):
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "the run ended before it could be killed"
    code, _, err = spawned("train", RECIPE, "--out", folder)
    assert code == 0, err
    assert_equal_to_the_bit(trained, folder)
    steps = [r["step"] for r in read_metrics(metrics) if "loss" in r]
    assert steps == sorted(set(steps))


def test_interrupt_saves_and_says_how_to_go_on(trained, tmp_path):
    folder = tmp_path / "run"
    process = spawn("train", RECIPE, "--out", folder)
    while process.poll() is None and not read_metrics(folder / "metrics.jsonl"):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.search(r"stopped at step \d+; everything is saved", err)
    assert "Traceback" not in err
    assert spawned("train", RECIPE, "--out", folder)[0] == 0
    assert_equal_to_the_bit(trained, folder)


def test_manifest_says_everything(trained):
    manifest = json.loads((trained / "manifest.json").read_text())
    assert manifest["experiment"]["net"]["width"] == 24
    assert manifest["data"]["n_showers"] == 2728
    assert len(manifest["data"]["sha256"]) == 64
    assert manifest["detector"]["threshold_mev"] == 0.01515
    assert {"jax", "jaxcalo", "python"} <= manifest["versions"].keys()


def test_metrics_have_the_loss_by_noise_level_and_the_bound(trained):
    records = read_metrics(trained / "metrics.jsonl")
    assert [len(r["loss_by_noise_level"]) for r in records if "loss" in r] == [8] * 6
    assert np.isfinite(records[-1]["vlb_nats_per_voxel"])
    assert records[-1]["validation_loss"] < 1.2


def test_another_configuration_is_refused_with_the_difference(trained, capsys):
    before = sorted(path.name for path in trained.rglob("*"))
    assert run("train", RECIPE, "--out", trained, "--net.width", 32, "--seed", 5) == 2
    err = capsys.readouterr().err
    assert "net.width: 24 -> 32" in err
    assert "seed: 0 -> 5" in err
    assert err.count("\n") == 1
    assert sorted(path.name for path in trained.rglob("*")) == before


def test_dry_run_prints_the_configuration(tmp_path, capsys):
    code = run("train", RECIPE, "--out", tmp_path / "x", "--dry-run", "--training.n-steps", 7)
    assert code == 0
    assert json.loads(capsys.readouterr().out)["training"]["n_steps"] == 7
    assert not (tmp_path / "x").exists()


def test_data_option_replaces_the_recipes_file(tmp_path, capsys):
    arguments = ["train", RECIPE, "--out", tmp_path / "x", "--data", tmp_path / "none.h5"]
    assert run(*arguments) == 2
    assert "none.h5" in capsys.readouterr().err


def test_help_lists_fields_with_defaults(capsys):
    assert run("train", RECIPE, "--help") == 0
    out = capsys.readouterr().out
    assert "--optimizer.learning-rate" in out
    assert "--net.patch" in out
    assert "0.001" in out
    assert run("--help") == 0
    out = capsys.readouterr().out
    for verb in ("quickstart", "train", "sample", "evaluate", "inspect", "doctor"):
        assert verb in out
