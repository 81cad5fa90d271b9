"""Four-lepton events through every verb that takes them, at the smallest size."""

import json
import shutil

import jax
import numpy as np
import pytest
from command_line import assert_one_line, run

from jaxcalo.data import read_four_lepton, write_four_lepton
from jaxcalo.data.toy_leptons import toy_leptons
from jaxcalo.experiment import load_lepton_run

HEAD = """
from jaxcalo.experiment import *
from jaxcalo.families import *
from jaxcalo.preprocess import *
from jaxcalo.training import *
data = LeptonData(batch_size=16, validation_fraction=0.5)
plan = TrainingPlan(n_steps=4, log_every=2, checkpoints=CheckpointPlan(every=2))
"""
FAMILIES = {
    "diffusion": "DiffusionFamily(8, 1, sampling=Sampling(n_steps=2))",
    "vae": "VaeFamily(ResidualNet(8, 1), Vae(n_latent=2))",
    "bvae": "VaeFamily(PlainNet((8,)), Vae(2, 0.1, FixedWidth(0.5), DensityBuffer(32)))",
    "gan": "GanFamily(ResidualNet(8, 1), ResidualNet(8, 1), VectorGan(n_noise=4))",
    "flow": "FlowFamily(CouplingFlow('real-nvp', 2, (8,)))",
    "maf": "FlowFamily(AutoregressiveFlow(1, (8,)))",
    "mixture": "MixtureFamily(GaussianMixture(2))",
    "nearest": "NearestFamily()",
}


def recipe(folder, family, name="recipe", more=""):
    path = folder / f"{name}.py"
    parts = f"data=data, family={family}, training=plan{more}"
    path.write_text(f"{HEAD}experiment = LeptonExperiment({parts})\n")
    return path


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    """A file of toy events."""
    path = tmp_path_factory.mktemp("leptons") / "events.csv"
    write_four_lepton(path, toy_leptons(jax.random.key(1), 120))
    return path


@pytest.fixture(scope="module")
def lepton_run(tmp_path_factory, events):
    """The folder of a finished tiny run on them."""
    folder = tmp_path_factory.mktemp("lepton_run")
    assert (
        run("train", recipe(folder, FAMILIES["diffusion"]), "--out", folder, "--data", events) == 0
    )
    return folder


def made(folder, out, *options):
    assert run("sample", folder, "-o", out, *options) == 0
    return read_four_lepton(out)


def assert_on_shell(found):
    energy, momentum = found.momentum_gev[..., 0], found.momentum_gev[..., 1:]
    mass = np.where(np.abs(found.pdg) == 13, 0.1056583755, 0.00051099895)
    expected = np.sqrt(np.sum(momentum**2, axis=2) + mass**2)
    np.testing.assert_allclose(energy, expected, rtol=1e-5)


QUICK = ("nearest",)  # the mathematics of the others is tested elsewhere


@pytest.mark.parametrize(
    "family",
    [
        pytest.param(text, id=name, marks=[pytest.mark.slow] * (name not in QUICK))
        for name, text in FAMILIES.items()
    ],
)
def test_every_family_trains_and_makes_physical_events(family, events, tmp_path):
    path, folder = recipe(tmp_path, family), tmp_path / "run"
    assert run("train", path, "--out", folder, "--data", events) == 0
    found = made(folder, tmp_path / "x.csv", "-n", 5)
    assert found.n_events == 5
    assert_on_shell(found)


def test_the_nearest_neighbour_returns_events_of_the_training_half(events, tmp_path):
    folder = tmp_path / "run"
    path = recipe(tmp_path, FAMILIES["nearest"])
    assert run("train", path, "--out", folder, "--data", events) == 0
    found = made(folder, tmp_path / "x.csv", "-n", 1000)
    known = read_four_lepton(events).momentum_gev[:, 0, 1:]
    distance = np.abs(found.momentum_gev[:, None, 0, 1:] - known).max(axis=2)
    assert distance.min(axis=1).max() < 0.05  # GeV; every event is one of the file
    assert set(distance.argmin(axis=1)) == set(range(60))  # of its first half, each of them


def test_the_thesiss_encoding_may_be_unphysical(events, tmp_path):
    path = recipe(tmp_path, FAMILIES["mixture"], more=", encoding=SparseSlots()")
    folder = tmp_path / "run"
    assert run("train", path, "--out", folder, "--data", events) == 0
    found = made(folder, tmp_path / "x.csv", "-n", 50)
    energy = np.linalg.norm(found.momentum_gev[..., 1:], axis=2)
    assert np.abs(found.momentum_gev[..., 0] / energy - 1).max() > 0.01


def test_a_stopped_run_goes_on_to_the_same_bits(lepton_run, events, tmp_path):
    folder, path = tmp_path / "run", recipe(tmp_path, FAMILIES["diffusion"])
    options = ("--out", folder, "--data", events)
    assert run("train", path, *options) == 0
    whole = jax.device_get(load_lepton_run(folder).params)
    jax.tree.map(
        np.testing.assert_array_equal, whole, jax.device_get(load_lepton_run(lepton_run).params)
    )
    shutil.rmtree(folder / "checkpoints" / "4")
    assert run("train", path, *options) == 0
    jax.tree.map(
        np.testing.assert_array_equal, whole, jax.device_get(load_lepton_run(folder).params)
    )


def test_events_do_not_depend_on_the_shard_or_the_batch(lepton_run, tmp_path):
    whole = made(lepton_run, tmp_path / "all.csv", "-n", 9)
    parts = [tmp_path / f"part{i}.csv" for i in range(2)]
    for i, path in enumerate(parts):
        options = ("-n", 9, "--shard", f"{i}/2", "--batch-size", 3)
        assert made(lepton_run, path, *options).n_events == 4 + i
    assert run("merge", tmp_path / "out.csv", *parts) == 0
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "all.csv").read_bytes()
    assert whole.n_events == 9


def test_flavours_can_be_asked_for(lepton_run, tmp_path, capsys):
    options = ("-n", 4, "--condition", "pdg=11,-11,13,-13")
    found = made(lepton_run, tmp_path / "x.csv", *options)
    np.testing.assert_array_equal(found.pdg, np.tile([11, -11, 13, -13], (4, 1)))
    capsys.readouterr()
    code = run(
        "sample", lepton_run, "-n", 4, "-o", tmp_path / "y.csv", "--condition", "pdg=11,11,11,11"
    )
    assert_one_line(capsys, code, "--condition", "pdg=11,-11,13,-13", "found pdg=11,11,11,11")


def test_bad_input_gets_one_line(lepton_run, events, tmp_path, capsys):
    out = tmp_path / "x.csv"
    code = run("sample", lepton_run, "-n", 2, "-o", out, "--energy", 10)
    assert_one_line(capsys, code, "--energy", "no incident energy")
    code = run("sample", lepton_run, "-n", 2, "-o", out, "--steps", 2)
    assert_one_line(capsys, code, "--steps")
    code = run("distill", lepton_run, "--to", "consistency")
    assert_one_line(capsys, code, "LeptonExperiment")
    code = run("bench", "timing", lepton_run)
    assert_one_line(capsys, code, "LeptonExperiment")
    broken = tmp_path / "broken.csv"
    broken.write_text(events.read_text().replace("pdg3", "kind3", 1))
    code = run(
        "train", recipe(tmp_path, FAMILIES["nearest"]), "--out", tmp_path / "y", "--data", broken
    )
    assert_one_line(capsys, code, "broken.csv", "pdg3")
    terms = ", terms=LeptonTerms(mass=1.0)"
    path = recipe(tmp_path, FAMILIES["nearest"], "terms", terms)
    code = run("train", path, "--out", tmp_path / "z", "--data", events)
    assert_one_line(capsys, code, "physics terms")
    assert not out.exists()


@pytest.mark.slow
def test_physics_terms_are_trained_and_logged(events, tmp_path):
    path = recipe(tmp_path, FAMILIES["gan"], more=", terms=LeptonTerms(mass=1.0, pt=0.5)")
    folder = tmp_path / "run"
    assert run("train", path, "--out", folder, "--data", events) == 0
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert np.isfinite([lines[0]["physics_mass"], lines[0]["physics_pt"]]).all()


def test_runs_and_files_are_compared(lepton_run, events, tmp_path, capsys):
    out = tmp_path / "comparison"
    code = run(
        "compare", f"run={lepton_run}", f"same={events}", "--reference", events, "--out", out
    )
    assert code == 0
    shown = capsys.readouterr().out
    assert "GAN, thesis" in shown
    record = json.loads((out / "report.json").read_text())
    rows = {row["name"]: row for row in record["rows"]}
    assert rows["same"]["scores"]["w1_mass_gev"]["value"] == 0.0
    assert rows["run"]["scores"]["w1_mass_gev"]["value"] > 0.0
    assert read_four_lepton(out / "samples" / "run.csv").n_events == 120
    assert (out / "report.html").exists()


def test_a_contest_measures_all_and_goes_on(events, tmp_path, capsys):
    names = "nearest", "second"
    paths = [recipe(tmp_path, FAMILIES["nearest"], name) for name in names]
    out = tmp_path / "contest"
    command = ("contest", *paths, "--data", events, "--out", out)
    assert run(*command) == 0
    assert read_four_lepton(out / "reference.csv").n_events == 60
    costs = [json.loads((out / name / "cost.json").read_text()) for name in names]
    assert min(min(cost.values()) for cost in costs) > 0.0
    capsys.readouterr()
    assert run(*command) == 0
    assert "training" not in capsys.readouterr().err  # all is there
    other = recipe(tmp_path, FAMILIES["nearest"], "other")
    other.write_text(other.read_text().replace("0.5)", "0.25)"))
    code = run("contest", paths[0], other, "--data", events, "--out", tmp_path / "second")
    assert_one_line(capsys, code, "0.25, 0.5", "--reference")
    code = run("contest", paths[0], "par04_lite", "--data", events, "--out", tmp_path / "third")
    assert_one_line(capsys, code, "four-lepton events", "showers of voxels")
