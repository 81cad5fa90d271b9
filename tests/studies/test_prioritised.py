"""What a term gains: both recipes get equal time, each seed its runs, and the table their W1."""

import dataclasses
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
from jaxcalo.experiment import FamilyExperiment, LeptonExperiment
from jaxcalo.geometry import load_geometry
from jaxcalo.metrics import wasserstein_1

SCRIPT = Path(__file__).parents[2] / "experiments" / "studies" / "prioritised.py"
STUDY = runpy.run_path(str(SCRIPT))


def test_both_train_as_long_and_are_measured(tmp_path, monkeypatch, capsys):
    recipe, reference = tmp_path / "recipe.py", tmp_path / "held.csv"
    recipe.write_text(
        "from jaxcalo.experiment import *\nfrom jaxcalo.training import TrainingPlan\n"
        "experiment = LeptonExperiment(training=TrainingPlan(n_steps=900))"
    )
    events = toy_leptons(jax.random.key(1), 600)
    write_four_lepton(reference, events.rows(slice(300)))
    trained = []

    def train(experiment, run):  # a step with the term takes three times as long
        mass = experiment.terms.mass
        trained.append((run.name, experiment.seed, mass, experiment.training.n_steps))
        run.mkdir(parents=True, exist_ok=True)
        seconds = (9.0, 0.03, 0.03) if mass else (9.0, 0.01, 0.01)  # the first compiles
        lines = [json.dumps({"step": i, "seconds_per_step": s}) for i, s in enumerate(seconds)]
        (run / "metrics.jsonl").write_text("\n".join([*lines, '{"validation_loss": 1.0}']))

    def sample(run, like, out, seed):
        assert like == reference
        momentum = events.momentum_gev[300:] * (1.01 if "prior" in run.name else 1.1) + 1e-6 * seed
        write_four_lepton(out, events.rows(slice(300, None))._replace(momentum_gev=momentum))

    for name, replacement in (("run_training", train), ("sample_like", sample)):
        monkeypatch.setitem(STUDY["main"].__globals__, name, replacement)
    out = tmp_path / "out"
    given = [recipe, "--data", "d.csv", "--reference", reference, "--seeds", "2", "--out", out]
    monkeypatch.setattr(sys, "argv", ["prioritised", *map(str, given)])
    STUDY["main"]()
    assert trained == [
        ("prioritised_0", 0, 1.0, 900),
        ("probe", 0, 0.0, 200),
        ("plain_0", 0, 0.0, 2700),
        ("prioritised_1", 1, 1.0, 900),
        ("plain_1", 1, 0.0, 2700),
    ]
    found = json.loads((out / "prioritised.json").read_text())
    assert found["n_steps"] == {"without": 2700, "with": 900}
    masses = [
        STUDY["observed"](LeptonExperiment(), "mass", path)[:, 0]
        for path in (reference, out / "plain_0_sample.csv")
    ]
    np.testing.assert_allclose(found["w1"]["without"][0], wasserstein_1(*masses), rtol=1e-6)
    means = [np.mean(found["w1"][name]) for name in ("without", "with")]
    np.testing.assert_allclose(found["lowered_by"], 1 - means[1] / means[0], rtol=1e-6)
    assert found["lowered_by"] > 0.3
    assert f"{found['lowered_by']:.0%} lower" in capsys.readouterr().out


def test_showers_are_judged_by_the_terms_observable(tmp_path):
    path = tmp_path / "showers.h5"
    mev = np.random.default_rng(0).lognormal(-3, 2, size=(20, 720)).astype(np.float32)
    with ShowerWriter(path, 720) as writer:
        writer.append(Showers(np.full(20, 5e4, np.float32), mev))
    found = STUDY["observed"](FamilyExperiment(), "e_ratio", path)
    threshold = load_geometry("par04_lite").threshold_mev
    assert 0 < (mev < threshold).mean() < 0.5
    kept = np.where(mev < threshold, 0, mev).sum(axis=1) / 5e4
    np.testing.assert_allclose(found[:, 0], kept, rtol=1e-5)


def test_an_unknown_term_is_refused():
    experiment = FamilyExperiment()
    changed = STUDY["prioritised"](experiment, "centre_z", 2.0)
    assert changed.terms == dataclasses.replace(experiment.terms, centre_z=2.0)
    with pytest.raises(InputError, match="found mass"):
        STUDY["prioritised"](experiment, "mass", 1.0)
