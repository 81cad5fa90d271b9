"""Further conditions through the real command line: trained on, asked for, carried on, refused."""

import json
import shutil

import h5py
import jax
import numpy as np
import pytest
from command_line import RECIPE, assert_one_line, run

from jaxcalo.data import Showers, ShowerWriter, open_showers, read_showers

NAMES = ("impact_mm", "pdg")
LAYER = '<Layer id="{}" r_edges="0,5,10" n_bin_alpha="4"/>'
XML = f'<Bins><Bin pid="22" name="photon">{LAYER.format(0)}{LAYER.format(1)}</Bin></Bins>'


def toy(n, seed=0):
    """Showers of 2 layers x 4 azimuth x 2 radius: the class decides which half of the azimuth."""
    keys = jax.random.split(jax.random.key(seed), 4)
    energy = np.array(jax.random.uniform(keys[0], (n,), minval=1e3, maxval=4e3))
    is_photon = np.asarray(jax.random.bernoulli(keys[1], shape=(n,)))
    impact = np.asarray(jax.random.uniform(keys[2], (n, 2), minval=-5.0, maxval=5.0))
    share = np.asarray(jax.random.uniform(keys[3], (n, 2, 4, 2), minval=0.5, maxval=1.5))
    lit = (np.arange(4)[:, None] >= 2) == is_photon[:, None, None, None]
    voxels = energy[:, None] * (share * lit / 8).reshape(n, 16)
    pdg = np.where(is_photon, 22, 11)
    return Showers(energy, voxels, np.column_stack([impact, pdg]).astype(np.float32))


def upper_half(voxels):
    """The share of the energy in the second half of the azimuth."""
    halves = voxels.reshape(-1, 2, 2, 2, 2).sum(axis=(1, 3, 4))
    return halves[:, 1] / halves.sum(axis=1)


def write(path, showers):
    with ShowerWriter(path, 16, None, {"impact_mm": 2, "pdg": 1}, ["pdg"]) as writer:
        writer.append(showers)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("conditions")
    (folder / "toy.xml").write_text(XML)
    return write(folder / "toy.h5", toy(256))


def train_options(data):
    fields = ["--data", data, "--data.geometry", data.parent / "toy.xml", "--data.batch-size", 64]
    fields += ["--data.augment", "False", "--data.conditions", *NAMES]
    fields += ["--data.validation-fraction", 0, "--net.patch", 1, 2, 2]
    fields += ["--training.n-steps", 60, "--training.checkpoints.every", 60]
    return [*fields, "--optimizer.learning-rate", 5e-3, "--optimizer.ema-decay", 0.9]


@pytest.fixture(scope="module")
def conditioned(data):
    """The folder of a run on impact position and class, trained for long enough to heed them."""
    folder = data.parent / "run"
    assert run("train", RECIPE, *train_options(data), "--out", folder) == 0
    return folder


@pytest.fixture(scope="module")
def reference(data):
    """Other showers, fewer than are asked for."""
    return write(data.parent / "reference.h5", toy(50, seed=1))


@pytest.fixture(scope="module")
def sampled(conditioned, reference):
    """96 showers for the conditions of the reference."""
    out = conditioned.parent / "sampled.h5"
    assert run("sample", conditioned, "--energies-from", reference, "-n", 96, "-o", out) == 0
    return out


def test_the_fitted_conditions_are_in_the_manifest(conditioned, data):
    impact, pdg = json.loads((conditioned / "manifest.json").read_text())["conditions"]
    raw = read_showers(data, conditions=NAMES).conditions
    np.testing.assert_allclose(impact["mean"], raw[:, :2].mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(impact["ranges"], np.stack([raw.min(0), raw.max(0)], 1)[:2])
    assert pdg == {"type": "Classes", "name": "pdg", "values": [11, 22]}


def test_showers_depend_on_their_class(sampled):
    made = read_showers(sampled, conditions=("pdg",))
    share, is_photon = upper_half(made.voxel_energy_mev), made.conditions[:, 0] == 22
    assert 20 < is_photon.sum() < 76
    # In the toy showers the share is 0 or 1; a model that ignores the class has 1/2 in both.
    assert share[~is_photon].mean() < 0.2
    assert share[is_photon].mean() > 0.8


def test_a_sample_carries_the_conditions_it_was_made_for(sampled, reference):
    made, asked = (read_showers(path, conditions=NAMES) for path in (sampled, reference))
    again = np.arange(96) % 50
    np.testing.assert_array_equal(made.conditions, asked.conditions[again])
    np.testing.assert_array_equal(made.incident_energy_mev, asked.incident_energy_mev[again])
    with h5py.File(sampled) as file:
        assert file["pdg"].dtype == np.int32


def test_one_condition_for_all(conditioned, tmp_path, capsys):
    path, wanted = tmp_path / "x.h5", ["--condition", "pdg=22", "impact_mm=1.5,-3"]
    assert run("sample", conditioned, "-n", 30, *wanted, "-o", path) == 0
    assert "outside" not in capsys.readouterr().err
    with open_showers(path) as file:
        assert file.attributes["outside_training_domain"] == 0
    made = read_showers(path, conditions=NAMES)
    np.testing.assert_array_equal(made.conditions, [[1.5, -3, 22]] * 30)
    assert upper_half(made.voxel_energy_mev).mean() > 0.8


def test_conditions_beyond_the_training_are_told(conditioned, tmp_path, capsys):
    path, seen = tmp_path / "x.h5", "range 1.01 to 3.99 GeV or the trained impact_mm, pdg"
    asked = ["sample", conditioned, "-n", 4, "-o", path, "--condition", "pdg=22"]
    assert run(*asked, "impact_mm=1.5,-30") == 0
    assert f"4 of 4 showers lie outside the trained {seen}" in capsys.readouterr().err
    assert run("inspect", path) == 0
    assert "outside_training_domain 4\n" in capsys.readouterr().out
    assert run(*asked, "impact_mm=1.5,-3", "--energy", 9, "--dry-run") == 0
    assert "4 of 4 showers lie outside" in capsys.readouterr().err


def test_runs_of_an_older_version_know_the_ranges_alone(conditioned, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(conditioned, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert len(manifest.pop("domain")["anchors"]) == 256
    (folder / "manifest.json").write_text(json.dumps(manifest))
    common = ["sample", folder, "-n", 4, "--dry-run", "-o", tmp_path / "x.h5", "--condition"]
    assert run(*common, "pdg=22", "impact_mm=1.5,-30") == 0
    assert "4 of 4 showers lie outside" in capsys.readouterr().err
    assert run(*common, "pdg=22", "impact_mm=1.5,-3") == 0
    assert "outside" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ([], ("none of impact_mm, pdg", "impact_mm=VALUE,VALUE pdg=11|22", "--energies-from")),
        (["--condition", "pdg=22"], ("none of impact_mm",)),
        (["--condition", "pdg=13", "impact_mm=0,0"], ("pdg=11|22", "found pdg=13")),
        (["--condition", "pdg=22", "pdg=11"], ("each name once", "'pdg=11'")),
        (["--condition", "22"], ("NAME=VALUE", "'22'")),
        (["--condition", "pdg=photon"], ("NAME=VALUE", "'pdg=photon'")),
    ],
)
def test_missing_or_wrong_conditions_in_one_line(conditioned, tmp_path, capsys, options, parts):
    capsys.readouterr()
    code = run("sample", conditioned, "-n", 4, *options, "-o", tmp_path / "x.h5")
    assert_one_line(capsys, code, *parts)
    assert not (tmp_path / "x.h5").exists()


def test_files_that_do_not_have_what_the_run_knows(conditioned, data, tmp_path, capsys):
    capsys.readouterr()
    plain = tmp_path / "plain.h5"
    with ShowerWriter(plain, 16) as writer:
        writer.append(toy(60)._replace(conditions=None))
    for verb in (
        ["sample", conditioned, "--energies-from", plain, "-o", tmp_path / "x.h5"],
        ["likelihood", conditioned, "--data", plain],
        ["pareto", conditioned, "--reference", plain, "--out", tmp_path / "pareto"],
        ["train", RECIPE, *train_options(data), "--data", plain, "--out", tmp_path / "run"],
    ):
        assert_one_line(capsys, run(*verb), "plain.h5", "lacks the data set 'impact_mm'")
    assert not (tmp_path / "run").exists()


def test_classes_that_are_only_in_the_held_out_showers(data, tmp_path, capsys):
    """A file that is sorted by particle; nothing is begun."""
    showers = toy(100)
    showers.conditions[97:, 2] = 211
    mixed = write(tmp_path / "sorted.h5", showers)
    options = [*train_options(data), "--data", mixed, "--data.validation-fraction", 0.05]
    code = run("train", RECIPE, *options, "--out", tmp_path / "run")
    assert_one_line(capsys, code, "sorted.h5", "'pdg' of shower 97", "(11, 22), found 211")
    assert not (tmp_path / "run").exists()


def test_a_student_has_its_teachers_conditions(conditioned, tmp_path, capsys):
    to = ["distill", conditioned, "--to", "consistency", "--out", tmp_path / "student"]
    capsys.readouterr()
    code = run(*to, "--data.conditions", "pdg")
    assert_one_line(capsys, code, "--data.conditions", "the teacher's")
    assert run(*to, "--dry-run") == 0
    assert json.loads(capsys.readouterr().out)["data"]["conditions"] == list(NAMES)


def test_inspect_tells_what_could_be_a_condition(data, capsys):
    assert run("inspect", data) == 0
    out = capsys.readouterr().out
    assert "2 columns, possible as --data.conditions impact_mm" in out
    assert "classes, possible as --data.conditions pdg" in out


@pytest.mark.slow
def test_the_other_verbs_know_the_conditions(conditioned, reference, tmp_path, capsys):
    """A student, a searched grid, the likelihood and pareto."""
    student = tmp_path / "student"
    short = ["--training.n-steps", 4, "--out", student]
    assert run("distill", conditioned, "--to", "consistency", *short) == 0
    old, new = (
        json.loads((folder / "manifest.json").read_text()) for folder in (conditioned, student)
    )
    assert old["conditions"] == new["conditions"]
    out = tmp_path / "x.h5"
    assert run("sample", student, "--energies-from", reference, "-o", out) == 0
    made = read_showers(out, conditions=("pdg",))
    share, is_photon = upper_half(made.voxel_energy_mev), made.conditions[:, 0] == 22
    assert share[is_photon].mean() > share[~is_photon].mean() + 0.2

    folder = shutil.copytree(conditioned, tmp_path / "run")
    search = ["--sampler", "ddim", "--steps", 3, "--iterations", 2, "--n-showers", 8]
    assert run("search-grid", folder, *search) == 0
    large = write(tmp_path / "large.h5", toy(200, seed=2))
    options = ["--reference", large, "--samplers", "ddim:4", "--student-steps", 1]
    assert run("pareto", folder, student, *options, "--out", tmp_path / "pareto") == 0
    points = json.loads((tmp_path / "pareto" / "pareto.json").read_text())["points"]
    assert [point["run"] for point in points] == ["run", "student"]

    def nats(path):
        capsys.readouterr()
        assert run("likelihood", folder, "--data", path, "-n", 20) == 0
        return float(capsys.readouterr().out.split("20 showers ")[1].split()[0])

    swapped = toy(200, seed=2)
    swapped.conditions[:, 2] = 33 - swapped.conditions[:, 2]
    # A shower is far less likely as one of the other class.
    assert nats(large) > nats(write(tmp_path / "swapped.h5", swapped)) + 10
