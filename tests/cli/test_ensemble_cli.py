"""Ensembles from the command line: trained, sampled as a whole and member by member."""

import jax
import numpy as np
import pytest
from command_line import assert_one_line, run

from jaxcalo.cli.sample import sample_like
from jaxcalo.data import read_four_lepton, write_four_lepton
from jaxcalo.data.toy_leptons import toy_leptons
from jaxcalo.experiment import load_trained, n_members, one_member

RECIPE = """
from jaxcalo.experiment import *
from jaxcalo.families import *
from jaxcalo.training import *
experiment = LeptonExperiment(
    data=LeptonData(batch_size=16, validation_fraction={held_out}),
    family={family},
    ensemble={ensemble},
    training=TrainingPlan(n_steps=2, checkpoints=CheckpointPlan(every=2)),
)
"""
VAE = "VaeFamily(PlainNet((8,)), Vae(n_latent=2))"
DIFFUSION = "DiffusionFamily(8, 1, sampling=Sampling(n_steps=2))"
REPULSIVE, MASKED = "RepulsiveEnsemble(2)", "MaskedEnsemble(2, 0.5)"
SLOW = {
    "diffusion": (DIFFUSION, REPULSIVE),
    "vae": (VAE, REPULSIVE),
    "gan": ("GanFamily(PlainNet((8,)), PlainNet((8,)), VectorGan(n_noise=4))", REPULSIVE),
    "bvae": (
        "VaeFamily(PlainNet((8,)), Vae(2, 0.1, FixedWidth(0.5), DensityBuffer(32)))",
        REPULSIVE,
    ),
    "flow": ("FlowFamily(CouplingFlow('real-nvp', 2, (8,)))", REPULSIVE),
    "maf": ("FlowFamily(AutoregressiveFlow(1, (8,)))", REPULSIVE),
    "masked": (DIFFUSION, MASKED),
}


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    """A file of toy events."""
    path = tmp_path_factory.mktemp("leptons") / "events.csv"
    write_four_lepton(path, toy_leptons(jax.random.key(1), 64))
    return path


def write_recipe(folder, family, ensemble, held_out=0.0):
    path = folder / "recipe.py"
    path.write_text(RECIPE.format(family=family, ensemble=ensemble, held_out=held_out))
    return path


def trained_run(folder, events, family, ensemble, held_out=0.0):
    recipe = write_recipe(folder, family, ensemble, held_out)
    assert run("train", recipe, "--out", folder / "run", "--data", events) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def vae_run(tmp_path_factory, events):
    ensemble = "RepulsiveEnsemble(2, None)"  # pushes take long to compile
    return trained_run(tmp_path_factory.mktemp("ensemble"), events, VAE, ensemble)


def made(folder, out, *options):
    assert run("sample", folder, "-n", 8, "-o", out, *options) == 0
    return read_four_lepton(out)


def test_each_member_makes_its_own_events_of_equal_flavours(vae_run, tmp_path):
    drawn = made(vae_run, tmp_path / "drawn.csv")
    first, second = (made(vae_run, tmp_path / f"{m}.csv", "--member", m) for m in range(2))
    np.testing.assert_array_equal(first.pdg, second.pdg)  # equal seeds, equal conditions
    np.testing.assert_array_equal(first.pdg, drawn.pdg)
    assert np.abs(first.momentum_gev - second.momentum_gev).max() > 1.0
    sample_like(vae_run, tmp_path / "0.csv", tmp_path / "like.csv", member=1)
    like = read_four_lepton(tmp_path / "like.csv")
    np.testing.assert_array_equal(like.momentum_gev, second.momentum_gev)


def test_a_member_is_a_single_model(vae_run):
    trained = load_trained(vae_run)
    assert n_members(trained.experiment) == 2
    one = one_member(trained, 1)
    assert n_members(one.experiment) is None
    whole, part = (sum(leaf.size for leaf in jax.tree.leaves(t.params)) for t in (trained, one))
    assert whole == 2 * part


def test_bad_input_gets_one_line(vae_run, events, tmp_path, capsys):
    out = tmp_path / "x.csv"
    code = run("sample", vae_run, "-n", 2, "-o", out, "--member", 2)
    assert_one_line(capsys, code, "--member", "expected 0 to 1, found 2")
    recipe = write_recipe(tmp_path, "NearestFamily()", REPULSIVE)
    code = run("train", recipe, "--out", tmp_path / "run", "--data", events)
    assert_one_line(capsys, code, "RepulsiveEnsemble", "found NearestFamily")
    recipe = write_recipe(tmp_path, "NearestFamily()", None)
    assert run("train", recipe, "--out", tmp_path / "run", "--data", events) == 0
    capsys.readouterr()
    code = run("sample", tmp_path / "run", "-n", 2, "-o", out, "--member", 0)
    assert_one_line(capsys, code, "--member 0", "found a single model")
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", SLOW.values(), ids=SLOW)
def test_every_family_is_an_ensemble(kind, events, tmp_path):
    folder = trained_run(tmp_path, events, *kind, held_out=0.5)
    first, second = (made(folder, tmp_path / f"{m}.csv", "--member", m) for m in range(2))
    np.testing.assert_array_equal(first.pdg, second.pdg)
    assert np.abs(first.momentum_gev - second.momentum_gev).max() > 1e-3
    assert np.isfinite(made(folder, tmp_path / "drawn.csv").momentum_gev).all()
