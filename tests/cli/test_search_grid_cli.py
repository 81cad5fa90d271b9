"""`jaxcalo search-grid` and `jaxcalo likelihood` on a tiny run."""

import json
import shutil

import jax
import numpy as np
import pytest
from command_line import run

from jaxcalo.data import read_showers, sample_path
from jaxcalo.experiment import load_run, log_likelihoods


@pytest.fixture
def copied(trained, tmp_path):
    """A copy of the tiny run, whose folder may be changed."""
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    return folder


def test_a_searched_grid_is_kept_and_used(copied, tmp_path, capsys):
    options = ("--sampler", "ddim", "--steps", 3, "--iterations", 2, "--n-showers", 8)
    assert run("search-grid", copied, *options) == 0
    assert "standard deviations" in capsys.readouterr().out
    kept = json.loads((copied / "grids.json").read_text())["ddim:3"]
    assert kept["error"] <= kept["start_error"]
    showers = []
    for grid in ("searched", "uniform"):
        out = tmp_path / f"{grid}.h5"
        ask = ("--sampler", "ddim", "--steps", 3, "--grid", grid, "-n", 5, "-o", out)
        assert run("sample", copied, *ask) == 0
        showers.append(read_showers(out).voxel_energy_mev)
    assert np.abs(showers[0] - showers[1]).max() > 0


def test_a_grid_that_was_not_searched_is_refused(copied, tmp_path, capsys):
    ask = ("--sampler", "unipc", "--steps", 3, "--grid", "searched", "-n", 5)
    assert run("sample", copied, *ask, "-o", tmp_path / "a.h5") == 2
    assert "jaxcalo search-grid" in capsys.readouterr().err


def test_a_grid_of_fewer_steps_of_training_is_refused(copied, tmp_path, capsys):
    grid = {"trained_steps": 1, "times": [1, 0.5, 0], "start_error": 1, "error": 1}
    (copied / "grids.json").write_text(json.dumps({"ddim:2": grid}))
    ask = ("--sampler", "ddim", "--steps", 2, "--grid", "searched", "-n", 5)
    assert run("sample", copied, *ask, "-o", tmp_path / "a.h5") == 2
    assert "after 24 steps" in capsys.readouterr().err


@pytest.mark.parametrize(("steps", "sampler"), [(1, "ddim"), (3, "ddpm")])
def test_impossible_searches_are_refused(copied, capsys, steps, sampler):
    assert run("search-grid", copied, "--steps", steps, "--sampler", sampler) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (copied / "grids.json").exists()


def test_likelihood_is_that_of_the_library(trained, capsys):
    data = sample_path("par04_lite_test")
    assert run("likelihood", trained, "--data", data, "-n", 4) == 0
    printed = float(capsys.readouterr().out.split("4 showers ")[1].split()[0])
    model = load_run(trained)
    showers = read_showers(data, model.detector)
    few = jax.tree.map(lambda values: values[:4], showers)
    nats = log_likelihoods(model, few)
    assert printed == pytest.approx(nats.mean(), abs=0.06)
    # An untrained net's density is about that of standard normal components: -1.4 nats each.
    assert -3 < nats.mean() / 735 < 3


def test_likelihood_of_one_shower_has_no_error(trained, capsys):
    assert run("likelihood", trained, "--data", sample_path("par04_lite_test"), "-n", 1) == 2
    assert "at least 2" in capsys.readouterr().err
