"""Coverage on several seeds: runs are trained, kept and judged on their own kind of data."""

import json
import runpy
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxcalo.data import Showers, ShowerWriter, write_four_lepton
from jaxcalo.data.toy_leptons import toy_leptons
from jaxcalo.errors import InputError
from jaxcalo.experiment import CloudExperiment, FamilyExperiment

SCRIPT = Path(__file__).parents[2] / "experiments" / "studies" / "gan_seeds.py"
STUDY = runpy.run_path(str(SCRIPT))


def test_every_seed_is_trained_sampled_and_measured(tmp_path, monkeypatch, capsys):
    data, reference, recipe = (tmp_path / name for name in ("data.csv", "held.csv", "recipe.py"))
    recipe.write_text("from jaxcalo.experiment import *\nexperiment = LeptonExperiment()")
    events = toy_leptons(jax.random.key(1), 700)
    write_four_lepton(reference, events.rows(slice(300)))
    trained, sampled = [], []

    def train(experiment, run):
        trained.append((experiment.data.path, experiment.seed, run.name))

    def sample(run, like, out):  # the first seed is a good one, the second has collapsed
        sampled.append((run.name, like))
        rows = np.arange(300, 600) if run.name == "seed_0" else 300 + np.arange(300) % 3
        out.parent.mkdir(exist_ok=True)
        write_four_lepton(out, events.rows(rows))

    for name, replacement in (("run_training", train), ("sample_like", sample)):
        monkeypatch.setitem(STUDY["main"].__globals__, name, replacement)
    out = tmp_path / "out"
    arguments = [recipe, "--data", data, "--reference", reference, "--seeds", "2", "--out", out]
    monkeypatch.setattr(sys, "argv", ["gan_seeds", *map(str, arguments)])
    out.mkdir()
    STUDY["main"]()
    assert trained == [(str(data), 0, "seed_0"), (str(data), 1, "seed_1")]
    assert sampled == [("seed_0", reference), ("seed_1", reference)]
    seeds = json.loads((out / "coverage.json").read_text())["seeds"]
    assert seeds["0"]["coverage"]["ratio"] > 0.9
    worst = seeds["1"]["coverage"]["ratio"]
    assert worst < 0.5
    shown = capsys.readouterr().out
    assert f"smallest coverage over floor of 2 seeds: {worst:.3f}" in shown
    STUDY["main"]()
    assert len(sampled) == 2  # samples that are there are kept


def test_showers_are_judged_on_all_voxels(tmp_path):
    experiment = FamilyExperiment()
    draws = np.random.default_rng(0)
    n_voxels = 720  # of par04_lite
    mev = draws.lognormal(size=(120, n_voxels)).astype(np.float32)
    paths = [tmp_path / name for name in ("reference.h5", "same.h5", "collapsed.h5")]
    for path, rows in zip(
        paths, (np.arange(60), np.arange(60, 120), np.arange(60) % 3), strict=True
    ):
        with ShowerWriter(path, n_voxels) as writer:
            writer.append(Showers(np.ones(60, np.float32), mev[rows]))
    same = STUDY["overlaps"](experiment, paths[0], paths[1])["coverage"]
    collapsed = STUDY["overlaps"](experiment, paths[0], paths[2])["coverage"]
    assert same.ratio > 0.7
    assert collapsed.ratio < 0.5


def test_clouds_have_another_verb(tmp_path):
    with pytest.raises(InputError, match="found one on point clouds"):
        STUDY["overlaps"](CloudExperiment(), tmp_path / "a.h5", tmp_path / "b.h5")
