"""The four geometries of the CaloChallenge through the command line: train, sample, evaluate."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from command_line import RECIPE, run

from jaxcalo.data import ShowerWriter, read_showers
from jaxcalo.data.toy import toy_showers
from jaxcalo.geometry import load_geometry
from jaxcalo.training import read_metrics

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
TINY_DIT = ["--net.width", 16, "--net.depth", 1, "--net.n-heads", 2]
# Unequal layers with the U-Net and with the transformer; equal layers, fine and very fine. One of
# them holds showers out, since the evaluation on these takes as long to compile as the training.
NONE_HELD_OUT = ["--data.validation-fraction", 0]
CASES = {
    "ds1-photons": (
        EXPERIMENTS / "calochallenge_ds1_photons.py",
        ["--net.channels", 8, 8, "--net.attention", "False", *NONE_HELD_OUT],
    ),
    "ds1-pions": (
        RECIPE,
        ["--data.geometry", "ds1-pions", "--net.patch", 1, 10, 6, *NONE_HELD_OUT],
    ),
    "ds2": (EXPERIMENTS / "calochallenge_ds2.py", [*TINY_DIT, "--net.patch", 5, 16, 3]),
    "ds3": (
        EXPERIMENTS / "calochallenge_ds3.py",
        [*TINY_DIT, "--net.patch", 9, 50, 6, *NONE_HELD_OUT],
    ),
}
N_TRAIN, N_SAMPLE, N_STEPS = 60, 24, 20
PLAN = ["--training.n-steps", N_STEPS, "--training.log-every", 1, "--data.batch-size", 16]
PLAN += ["--optimizer.warmup-steps", 2, "--optimizer.learning-rate", 0.003]
PLAN += ["--sampling.n-steps", 4]


def numbers(value):
    """All numbers in a tree of dictionaries and lists."""
    if isinstance(value, dict | list):
        parts = value.values() if isinstance(value, dict) else value
        return [number for part in parts for number in numbers(part)]
    return [value] if isinstance(value, int | float) else []


QUICK = ("ds1-pions",)  # of unequal layers


@pytest.mark.parametrize(
    "geometry",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CASES],
)
def test_train_sample_evaluate(geometry, tmp_path):
    detector = load_geometry(geometry)
    data, folder, sample = tmp_path / "toy.h5", tmp_path / "run", tmp_path / "sample.h5"
    with ShowerWriter(data, detector.n_voxels) as writer:
        writer.append(toy_showers(jax.random.key(0), detector, N_TRAIN))

    recipe, options = CASES[geometry]
    assert run("train", recipe, "--data", data, "--out", folder, *options, *PLAN) == 0
    records = [r for r in read_metrics(folder / "metrics.jsonl") if "loss" in r]
    assert [record["step"] for record in records] == list(range(1, N_STEPS + 1))
    losses = np.asarray([record["loss"] for record in records])
    assert np.isfinite(losses).all()
    # Noise levels are drawn anew for every batch, which moves its loss by a tenth or two.
    assert 0.0 < losses[-5:].mean() < 1.1 * losses[:5].mean()

    assert run("sample", folder, "--energies-from", data, "-n", N_SAMPLE, "-o", sample) == 0
    incident, energies = read_showers(sample, detector)[:2]
    np.testing.assert_array_equal(incident, read_showers(data)[0][:N_SAMPLE])
    assert energies.shape == (N_SAMPLE, detector.n_voxels)
    assert np.isfinite(energies).all()
    assert (energies[energies != 0] >= detector.threshold_mev).all()
    assert (energies.sum(axis=1) > 0).all()
    if geometry != "ds1-photons":  # the total energy is learned first where it is a number apart
        response = energies.sum(axis=1) / incident
        assert response.min() > 0.8
        assert response.max() < 1.3

    files = ["--reference", data, "--generated", sample, "--geometry", geometry]
    assert run("evaluate", *files, "--out", tmp_path / "report") == 0
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["n_showers"] == {"reference": N_TRAIN, "generated": N_SAMPLE}
    assert len(numbers(report)) > 100
    assert np.isfinite(numbers(report)).all()
