"""Point clouds through every verb that takes them, at the smallest size."""

import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command_line import assert_one_line, run, spawned

from jaxcalo.data import CloudWriter, open_clouds, read_clouds
from jaxcalo.data.toy_clouds import toy_clouds
from jaxcalo.experiment import load_cloud_run
from jaxcalo.preprocess import calibrated_number
from jaxcalo.training import read_metrics

RECIPE = Path(__file__).parent / "tiny_cloud_recipe.py"
GAN = """
import dataclasses, runpy
from jaxcalo.experiment import CloudGan, EpicPlayers
from jaxcalo.training import AdamW
experiment = dataclasses.replace(
    runpy.run_path({recipe!r})["experiment"],
    model=CloudGan(EpicPlayers(16, 4, 1, 1), optimizer=AdamW(), critic_optimizer=AdamW()),
)
"""
LATENT = """
import dataclasses, runpy
from jaxcalo.diffusion import Ddpm
from jaxcalo.experiment import LatentCloudDiffusion, PointWiseNet
from jaxcalo.families import LatentCloud, Sampling
experiment = dataclasses.replace(
    runpy.run_path({recipe!r})["experiment"],
    model=LatentCloudDiffusion(
        PointWiseNet((16, 16)), 16, 1, 2, (16,), LatentCloud(4), sampling=Sampling(Ddpm(), 3)
    ),
)
"""


@pytest.fixture(scope="session")
def clouds(tmp_path_factory):
    """A file of toy clouds."""
    path = tmp_path_factory.mktemp("clouds") / "clouds.h5"
    made = toy_clouds(jax.random.key(1), 60)
    with CloudWriter(path, int(made.n_points.max())) as writer:
        writer.append(made)
    return path


@pytest.fixture(scope="session")
def cloud_run(tmp_path_factory, clouds):
    """The folder of a finished tiny run on them."""
    folder = tmp_path_factory.mktemp("cloud_run") / "run"
    train(RECIPE, folder, clouds)
    return folder


def train(recipe, folder, clouds, *options):
    """In a process with one device, whose sums are the same to the bit every time."""
    arguments = ("train", recipe, "--out", folder, "--data", clouds, *options)
    code, _, err = spawned(*arguments)
    assert code == 0, err


def parameters(folder):
    return jax.device_get(load_cloud_run(folder).params)


def sample(folder, out, *options):
    assert run("sample", folder, "-o", out, *options) == 0
    return read_clouds(out)


def test_metrics_of_both_families_are_logged(cloud_run):
    lines = read_metrics(cloud_run / "metrics.jsonl")
    for line in lines[:-1]:
        parts = line["loss_summary"] + line["loss_points"]
        np.testing.assert_allclose(line["loss"], parts, rtol=1e-5)
    assert np.isfinite([lines[-1]["validation_loss"], lines[-1]["validation_loss_summary"]]).all()


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_bits(cloud_run, clouds, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(cloud_run, copy)
    shutil.rmtree(copy / "checkpoints" / "12")
    train(RECIPE, copy, clouds)
    jax.tree.map(np.testing.assert_array_equal, parameters(copy), parameters(cloud_run))


def test_samples_do_not_depend_on_the_shard_or_the_batch(cloud_run, tmp_path):
    whole = sample(cloud_run, tmp_path / "all.h5", "-n", 9)
    part = sample(cloud_run, tmp_path / "part.h5", "-n", 9, "--shard", "1/2", "--batch-size", 3)
    for all_of_them, some in zip(whole.rows(slice(4, None)), part, strict=True):
        np.testing.assert_array_equal(all_of_them, some)
    assert (whole.points[:, 3] > 0).all()
    assert set(np.unique(whole.points[:, 2])) <= set(range(30))


def test_energies_of_a_file_and_another_sampler(cloud_run, clouds, tmp_path):
    options = ("--energies-from", clouds, "-n", 3, "--sampler", "heun", "--steps", 2)
    made = sample(cloud_run, tmp_path / "x.h5", *options)
    expected = read_clouds(clouds).incident_energy_mev[:3]
    np.testing.assert_allclose(made.incident_energy_mev, expected, rtol=1e-6)


def test_dry_run_writes_nothing(cloud_run, tmp_path, capsys):
    code = run("sample", cloud_run, "-n", 5, "--energy", 20, "-o", tmp_path / "x.h5", "--dry-run")
    assert code == 0
    assert "would write 5 showers (numbers 0 to 4) of 20 to 20 GeV" in capsys.readouterr().out
    assert not (tmp_path / "x.h5").exists()


@pytest.mark.slow
def test_a_student_keeps_its_teachers_flow_and_needs_one_step(cloud_run, tmp_path, capsys):
    student = tmp_path / "student"
    to_another = ("distill", cloud_run, "--to", "consistency", "--out", student)
    code = run(*to_another, "--model.net.widths", "8", "8")
    assert_one_line(capsys, code, "--model.net", "the teacher's")
    assert run(*to_another) == 0
    old, new = parameters(cloud_run), parameters(student)
    jax.tree.map(np.testing.assert_array_equal, old["summary"], new["summary"])
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), old["points"], new["points"])
    assert max(jax.tree.leaves(moved)) > 1e-4
    assert load_cloud_run(student).experiment.sampling.n_evaluations == 1
    assert sample(student, tmp_path / "x.h5", "-n", 2).n_showers == 2


@pytest.mark.slow
@pytest.mark.parametrize("text", [GAN, LATENT], ids=["gan", "latent"])
def test_other_families_train_and_sample(text, clouds, tmp_path):
    recipe, folder = tmp_path / "recipe.py", tmp_path / "run"
    recipe.write_text(text.format(recipe=str(RECIPE)))
    train(recipe, folder, clouds, "--training.n-steps", 4, "--data.n-buckets", 1)
    assert sample(folder, tmp_path / "x.h5", "-n", 3).n_showers == 3
    code = run("sample", folder, "-n", 3, "-o", tmp_path / "y.h5", "--steps", 2)
    assert code == (2 if text is GAN else 0)  # a GAN has one way to sample


@pytest.mark.slow
def test_a_calibrated_run_makes_other_numbers_of_points(cloud_run, clouds, tmp_path, capsys):
    copy = tmp_path / "run"
    shutil.copytree(cloud_run, copy)
    assert run("calibrate", copy, "-n", 20) == 0
    assert "for the hits of 1000 points of Monte Carlo" in capsys.readouterr().out
    hits = load_cloud_run(copy).hits
    options = ("--energies-from", clouds, "-n", 8)
    plain = sample(cloud_run, tmp_path / "plain.h5", *options)
    made = sample(copy, tmp_path / "calibrated.h5", *options)
    expected = calibrated_number(hits, jnp.asarray(plain.n_points, jnp.float32))
    np.testing.assert_array_equal(made.n_points, expected)
    np.testing.assert_allclose(visible(made), visible(plain), rtol=1e-4)

    record = json.loads((copy / "hit_calibration.json").read_text())
    (copy / "hit_calibration.json").write_text(json.dumps(record | {"trained_steps": 11}))
    capsys.readouterr()
    code = run("sample", copy, "-n", 2, "-o", tmp_path / "x.h5")
    assert_one_line(capsys, code, "after 12 steps", "after 11", "jaxcalo calibrate")
    (copy / "hit_calibration.json").write_text("{")
    code = run("sample", copy, "-n", 2, "-o", tmp_path / "x.h5")
    assert_one_line(capsys, code, "hit_calibration.json", "something else")


def visible(clouds):
    """Visible energy of each shower, MeV."""
    return np.bincount(clouds.shower, clouds.points[:, 3], clouds.n_showers)


def test_bad_input_gets_one_line(cloud_run, trained, clouds, tmp_path, capsys):
    out = tmp_path / "x.h5"
    code = run("train", RECIPE, "--out", cloud_run, "--data", clouds, "--seed", 3)
    assert_one_line(capsys, code, "seed: 0 -> 3")
    code = run("likelihood", cloud_run, "--data", clouds)
    assert_one_line(capsys, code, "diffusion on showers of voxels", "CloudExperiment")
    code = run("sample", cloud_run, "-n", 2, "-o", out, "--condition", "pdg=11")
    assert_one_line(capsys, code, "--condition", "knows only the energy")
    code = run("distill", cloud_run, "--to", "progressive")
    assert_one_line(capsys, code, "--to consistency")
    code = run("train", RECIPE, "--out", tmp_path / "y", "--data", tmp_path / "none.h5")
    assert_one_line(capsys, code, "none.h5")
    assert not out.exists()


def test_a_file_with_layers_the_readout_lacks_is_refused(clouds, tmp_path, capsys):
    made = read_clouds(clouds)
    made.points[5, 2] = 30.0
    path = tmp_path / "deep.h5"
    with CloudWriter(path, int(made.n_points.max())) as writer:
        writer.append(made)
    code = run("train", RECIPE, "--out", tmp_path / "run", "--data", path)
    assert_one_line(capsys, code, "deep.h5", "shower 0", "layer 30", "0 to 29")


def test_manifest_and_file_say_what_they_are(cloud_run, tmp_path):
    manifest = json.loads((cloud_run / "manifest.json").read_text())
    assert manifest["experiment"]["model"]["type"] == "CloudDiffusion"
    assert manifest["data"]["n_showers"] == 60
    sample(cloud_run, tmp_path / "x.h5", "-n", 2)
    with open_clouds(tmp_path / "x.h5") as file:
        assert file.attributes["geometry"] == "ild_ecal"
