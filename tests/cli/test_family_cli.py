"""Showers of voxels by other families than diffusion, at the smallest size."""

import jax
import numpy as np
import pytest
from command_line import assert_one_line, run

from jaxcalo.data import open_showers, sample_path
from jaxcalo.experiment import load_family_run

HEAD = """
from jaxcalo.experiment import *
from jaxcalo.families import *
from jaxcalo.training import *
experiment = FamilyExperiment(
    data=Data(path="par04_lite_test", batch_size=16, validation_fraction=0.5),
    family={family},
    training=TrainingPlan(n_steps=2, checkpoints=CheckpointPlan(every=1)),
)
"""
VAE = "VaeFamily(ConvolutionalNet((4, 4), 8), Vae(n_latent=2))"
NEAREST = "NearestFamily()"
SLOW = {
    "gan": "GanFamily(ConvolutionalNet((4, 4), 8), ConvolutionalNet((4, 4), 8))",
    "flow": "FlowFamily(CouplingFlow('real-nvp', 2, (8,)))",
    "mixture": "MixtureFamily(GaussianMixture(2, 'diagonal'))",
    "diffusion": "DiffusionFamily(8, 1, sampling=Sampling(n_steps=2))",
}
REFERENCE = sample_path("par04_lite_test")


def trained_run(folder, family):
    folder.mkdir()
    recipe = folder / "recipe.py"
    recipe.write_text(HEAD.format(family=family))
    assert run("train", recipe, "--out", folder / "run") == 0
    return folder / "run"


def made(folder, out, n):
    options = ("--energies-from", REFERENCE, "-n", n)
    assert run("sample", folder, "-o", out, *options) == 0
    with open_showers(out) as file:
        return file.read(0, n)


@pytest.fixture(scope="module")
def vae_run(tmp_path_factory):
    return trained_run(tmp_path_factory.mktemp("family") / "vae", VAE)


def test_showers_have_the_energies_that_were_asked_for(vae_run, tmp_path):
    showers = made(vae_run, tmp_path / "x.h5", 5)
    with open_showers(REFERENCE) as file:
        expected = file.read(0, 5).incident_energy_mev
    np.testing.assert_allclose(showers.incident_energy_mev, expected, rtol=1e-6)
    total = showers.voxel_energy_mev.sum(axis=1)
    assert (total > 0).all()
    assert (showers.voxel_energy_mev >= 0).all()


def test_the_nearest_neighbours_showers_are_of_the_training_half(tmp_path):
    showers = made(trained_run(tmp_path / "nearest", NEAREST), tmp_path / "x.h5", 20)
    with open_showers(REFERENCE) as file:
        known = file.read(0, 400)
    nearest = np.abs(
        np.log(showers.incident_energy_mev[:, None] / known.incident_energy_mev)
    ).argmin(axis=1)
    ratio = showers.voxel_energy_mev.sum(axis=1) / known.voxel_energy_mev[nearest].sum(axis=1)
    expected = showers.incident_energy_mev / known.incident_energy_mev[nearest]
    np.testing.assert_allclose(ratio, expected, rtol=2e-3)  # its fractions, at the asked energy


@pytest.mark.slow
@pytest.mark.parametrize("family", SLOW.values(), ids=SLOW)
def test_every_family_trains_and_samples(family, tmp_path):
    showers = made(trained_run(tmp_path / "run", family), tmp_path / "x.h5", 3)
    assert np.isfinite(showers.voxel_energy_mev).all()


def test_verbs_of_diffusion_say_that_they_are(vae_run, tmp_path, capsys):
    code = run("sample", vae_run, "-n", 2, "-o", tmp_path / "x.h5", "--steps", 4)
    assert_one_line(capsys, code, "--steps", "one way")
    code = run("search-grid", vae_run, "--sampler", "ddim", "--steps", 4)
    assert_one_line(capsys, code, "FamilyExperiment")
    assert load_family_run(vae_run).experiment.sampling is None
    assert jax.tree.leaves(load_family_run(vae_run).params)
