"""Sampling through the real command line: the same showers whatever the batch, devices or shard."""

import json
import shutil

import h5py
import jax
import numpy as np
import pytest
from command_line import assert_one_line, run, spawned

from jaxcalo.data import open_showers, read_showers, sample_path
from jaxcalo.geometry import load_geometry

N = 150


@pytest.fixture(scope="module")
def showers(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("samples") / "all.h5"
    code, _, err = spawned("sample", trained, "-n", N, "--seed", 7, "-o", path)
    assert code == 0, err
    return read_showers(path, load_geometry("par04_lite"))


def assert_same(expected, found):
    np.testing.assert_array_equal(found.incident_energy_mev, expected.incident_energy_mev)
    np.testing.assert_array_equal(found.voxel_energy_mev, expected.voxel_energy_mev)


@pytest.mark.parametrize("batch", [10, pytest.param(100, marks=pytest.mark.slow), 250])
def test_batch_changes_nothing(trained, showers, tmp_path, batch):
    path = tmp_path / "x.h5"
    arguments = ["-n", N, "--seed", 7, "--batch-size", batch, "-o", path]
    code, _, err = spawned("sample", trained, *arguments)
    assert code == 0, err
    assert_same(showers, read_showers(path))


def test_devices_change_nothing_but_rounding_and_from_two_on_nothing(trained, showers, tmp_path):
    """XLA's program of a single device differs from that of several."""
    found = []
    for devices, batch in ((4, 16), (2, 250)):
        path = tmp_path / f"{devices}.h5"
        arguments = ["-n", N, "--seed", 7, "--batch-size", batch, "-o", path]
        code, _, err = spawned("sample", trained, *arguments, devices=devices)
        assert code == 0, err
        found.append(read_showers(path))
    assert_same(*found)
    np.testing.assert_array_equal(found[0].incident_energy_mev, showers.incident_energy_mev)
    np.testing.assert_allclose(
        found[0].voxel_energy_mev, showers.voxel_energy_mev, rtol=1e-4, atol=1e-4
    )


def content(path):
    """The data sets and the attributes of a file."""
    with h5py.File(path) as file:
        return {name: file[name][:] for name in file}, dict(file.attrs)


def test_merged_shards_are_the_whole(trained, tmp_path, capsys):
    whole, parts = tmp_path / "whole.h5", []
    common = ["sample", trained, "-n", N, "--seed", 7]
    assert run(*common, "-o", whole) == 0
    for shard in ("0/2", "1/2"):
        parts.append(tmp_path / f"part{shard[0]}.h5")
        assert run(*common, "--shard", shard, "--batch-size", 20, "-o", parts[-1]) == 0
    assert run("merge", tmp_path / "out.h5", *parts) == 0
    (expected, facts), (found, said) = content(whole), content(tmp_path / "out.h5")
    jax.tree.map(np.testing.assert_array_equal, expected, found)
    assert facts == said
    assert run(*common, "--shard", "1/2", "--steps", 2, "-o", parts[1]) == 0
    capsys.readouterr()
    code = run("merge", tmp_path / "new.h5", *parts)
    assert_one_line(capsys, code, "part1.h5", "another run, way of sampling, or conditions")
    assert not (tmp_path / "new.h5").exists()


def test_another_seed_makes_other_showers(trained, showers, tmp_path):
    assert run("sample", trained, "-n", N, "--seed", 8, "-o", tmp_path / "x.h5") == 0
    found = read_showers(tmp_path / "x.h5")
    assert not np.allclose(found.incident_energy_mev, showers.incident_energy_mev)


def test_energies_are_what_was_asked(trained, tmp_path, capsys):
    path = tmp_path / "x.h5"
    assert run("sample", trained, "-n", 5, "--energy", 20, "-o", path) == 0
    np.testing.assert_allclose(read_showers(path).incident_energy_mev, 2e4)
    assert run("sample", trained, "-n", 50, "--energy-range", 2, 4, "-o", path) == 0
    energy = read_showers(path).incident_energy_mev
    assert energy.min() >= 2e3
    assert energy.max() <= 4e3
    assert energy.std() > 300
    test = sample_path("par04_lite_test")
    assert run("sample", trained, "--energies-from", test, "-n", 9, "-o", path) == 0
    expected = read_showers(test).incident_energy_mev[:9]
    np.testing.assert_array_equal(read_showers(path).incident_energy_mev, expected)
    assert "outside the trained range" not in capsys.readouterr().err
    assert run("sample", trained, "-n", 2, "--energy", 900, "-o", path) == 0
    assert "2 of 2 showers lie outside the trained range" in capsys.readouterr().err
    with open_showers(path) as file:
        assert file.attributes["outside_training_domain"] == 2


def test_samplers_and_steps(trained, tmp_path):
    made = {}
    for name, steps in (("ddim", 4), ("ddpm", 4), ("ddim", 2)):
        path = tmp_path / "x.h5"
        arguments = ["-n", 4, "--energy", 10, "--sampler", name, "--steps", steps, "-o", path]
        assert run("sample", trained, *arguments) == 0
        made[name, steps] = read_showers(path).voxel_energy_mev
        assert np.isfinite(made[name, steps]).all()
        assert made[name, steps].sum() > 0
    assert not np.allclose(made["ddim", 4], made["ddpm", 4])
    assert not np.allclose(made["ddim", 4], made["ddim", 2])


def test_file_says_where_it_comes_from(trained, tmp_path):
    path = tmp_path / "x.h5"
    assert run("sample", trained, "-n", 3, "--seed", 4, "-o", path) == 0
    with open_showers(path) as file:
        assert file.attributes["generator"] == "jaxcalo"
        assert file.attributes["seed"] == 4
        assert file.attributes["trained_steps"] == 24


def test_runs_of_an_older_version_are_sampled(trained, tmp_path, capsys):
    """Their manifests do not speak of further conditions."""
    folder = shutil.copytree(trained, tmp_path / "run")
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["conditions"], manifest["experiment"]["data"]["conditions"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert run("sample", folder, "-n", 3, "--dry-run", "-o", tmp_path / "x.h5") == 0
    assert "would write 3 showers" in capsys.readouterr().out


def test_dry_run_writes_nothing(trained, tmp_path, capsys):
    assert run("sample", trained, "-n", 3, "--dry-run", "-o", tmp_path / "x.h5") == 0
    assert "would write 3 showers" in capsys.readouterr().out
    assert not (tmp_path / "x.h5").exists()
