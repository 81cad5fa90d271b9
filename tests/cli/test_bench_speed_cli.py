"""`jaxcalo bench sampling|training|io|scaling` on tiny networks: rows, records, figures."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from command_line import RECIPE, assert_one_line, run

from jaxcalo.cli.recipes import load_recipe
from jaxcalo.data import sample_path
from jaxcalo.experiment import Peak, compute_type, with_compute_type
from jaxcalo.experiment.flops import count_flops
from jaxcalo.geometry import load_geometry

CLOUD_RECIPE = str(Path(__file__).parent / "tiny_cloud_recipe.py")


@pytest.fixture(scope="module", autouse=True)
def known_peak():
    """The machine's peak has its own test, and takes a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jaxcalo.experiment.measure_peak", lambda dtype: Peak(dtype, 512, 80.0, 40.0))
        yield


def recorded(folder, *arguments):
    """The record of a benchmark; it has written a figure beside it and nothing else."""
    out = folder / "new" / "bench.json"
    assert run("bench", *arguments, "-o", out) == 0
    assert sorted(path.name for path in out.parent.iterdir()) == ["bench.json", "bench.png"]
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    record = json.loads(out.read_text())
    assert record["devices"] == ["cpu"] * len(jax.devices())
    assert "commit" in record
    return record


def network_flops(n):
    """Of one evaluation of the tiny recipe's network for n showers."""
    net = load_recipe(RECIPE).net.build(load_geometry("par04_lite"), 15, False)
    inputs = np.zeros((n, 735), np.float32), np.zeros(n), np.zeros((n, 1))
    params = jax.eval_shape(net.init, jax.random.key(0), *inputs)
    return count_flops(net.apply, params, *inputs)


def assert_rates(row, peaks):
    assert row["gflops_per_cpu_s"] == pytest.approx(40.0 * row["cpu_fraction_of_peak"])
    assert row["gflops_per_s"] == pytest.approx(80.0 * row["fraction_of_peak"])
    assert peaks["float32"]["gflops_per_cpu_s"] == 40.0


def test_sampling(trained, tmp_path, capsys):
    options = ["--batch-sizes", 1, 3, "--steps", 1, 2, "--repeats", 2]
    record = recorded(tmp_path, "sampling", trained, *options)
    rows = record["rows"]
    assert [(r["n_evaluations"], r["batch_size"]) for r in rows] == [(1, 1), (1, 3), (2, 1), (2, 3)]
    for row in rows:
        assert_rates(row, record["peaks"])
        assert row["sampling"]["sampler"]["type"] == "Ddim"
        median_ms = np.median(row["repeats_ms"])
        assert row["showers_per_s"] == pytest.approx(1e3 / median_ms)
        assert row["gflop"] * row["showers_per_s"] == pytest.approx(row["gflops_per_s"])
        assert row["planned_bytes"] > 4 * 720 * row["batch_size"]
        assert row["process_peak_bytes"] > 1e7
    one, two = rows[0]["gflop"], rows[2]["gflop"]
    # A second step is a second evaluation; the rest is done once.
    assert 1e9 * (two - one) == pytest.approx(network_flops(1))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("peak of float32 products: 80 GFLOP/s, 40 GFLOP a second of CPU")
    assert lines[1].startswith("ddim, 1 evaluations")
    assert "% of the peak" in lines[1]


def test_training_and_its_networks(tmp_path):
    record = recorded(tmp_path, "training", RECIPE, "--batch-sizes", 8, "--repeats", 1)
    forward, both, step = record["rows"]
    parts = ["forward", "forward and backward", "training step"]
    assert [row["part"] for row in record["rows"]] == parts
    for row in record["rows"]:
        assert (row["recipe"], row["dtype"], row["batch_size"]) == ("tiny_recipe", "float32", 8)
        assert row["compile_s"] > 0
        assert row["planned_bytes"] > 0
        assert_rates(row, record["peaks"])
    assert step["events_per_s"] == pytest.approx(8 * step["steps_per_s"])
    assert 1e9 * forward["gflop"] == pytest.approx(network_flops(8))
    assert 2.5 < both["gflop"] / forward["gflop"] < 3.0
    assert both["gflop"] <= step["gflop"] < 1.1 * both["gflop"]


@pytest.mark.parametrize("recipe", [RECIPE, CLOUD_RECIPE])
def test_the_type_of_numbers_can_be_changed(recipe):
    experiment = load_recipe(recipe)
    assert compute_type(experiment) == "float32"
    changed = with_compute_type(experiment, "bfloat16")
    assert compute_type(changed) == "bfloat16"
    assert with_compute_type(changed, "float32") == experiment


def test_io(tmp_path, capsys):
    record = recorded(tmp_path, "io", RECIPE, "--steps", 10, "--repeats", 1)
    reading, preprocessing, feeding, training = record["rows"]
    parts = ["reading", "preprocessing", "feeding", "training"]
    assert [row["part"] for row in record["rows"]] == parts
    assert reading["mb_per_s"] == pytest.approx(4e-6 * 720 * reading["events_per_s"])
    assert (preprocessing["n_events"], feeding["n_events"]) == (32, 50 * 32)
    assert training["n_steps"] == 8  # of 10 the first 2 do not count
    assert 0 <= training["data_wait"] < 1
    assert training["seconds_per_step"] > 0
    capsys.readouterr()
    assert run("bench", "io", sample_path("par04_lite_test")) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("reading  ")


@pytest.mark.slow
def test_scaling(tmp_path, capsys, monkeypatch):
    devices = jax.local_devices()[:2]
    monkeypatch.setattr(jax, "devices", lambda: devices)
    options = ["--batch-per-device", 4, "--repeats", 1]
    record = recorded(tmp_path, "scaling", RECIPE, *options)
    one, two = record["rows"]
    assert [(row["n_devices"], row["batch_size"]) for row in record["rows"]] == [(1, 4), (2, 8)]
    assert (one["efficiency"], one["cpu_efficiency"]) == (1.0, 1.0)
    expected = two["events_per_s"] / (2 * one["events_per_s"])
    assert two["efficiency"] == pytest.approx(expected)
    assert two["gflop"] == pytest.approx(2 * one["gflop"], rel=1e-6)
    assert "share its cores" in capsys.readouterr().out


def test_a_recipe_on_other_data(tmp_path, capsys):
    shutil.copy(sample_path("par04_lite_test"), tmp_path / "other.h5")
    assert_one_line(capsys, run("bench", "io", RECIPE, "--data", tmp_path / "none.h5"), "none.h5")


def test_unusable_requests_in_one_line(trained, tmp_path, capsys):
    cases = [
        (["sampling", trained, "--devices", 9], "--devices", "found 9"),
        (["sampling", trained, "--batch-sizes", 0], "--batch-sizes", "found 0"),
        (["sampling", trained, "-o", tmp_path], "-o", str(tmp_path)),
        (["training", RECIPE, "--batch-sizes", 0], "--batch-sizes", "found 0"),
        (["training", RECIPE, "--repeats", 0], "--repeats", "found 0"),
        (["training", "nothing.py"], "nothing.py"),
        (["io", RECIPE, "--steps", 3], "--steps", "found 3"),
        (["io", tmp_path / "none.h5"], "none.h5"),
        (["scaling", RECIPE, "--devices", 0], "--devices", "found 0"),
        (["scaling", RECIPE, "--batch-per-device", -1], "--batch-per-device", "found -1"),
    ]
    for arguments, *parts in cases:
        assert_one_line(capsys, run("bench", *arguments), *parts)
