"""`jaxcalo export`: what is written, and what cannot be."""

import json

import jax
import numpy as np
import pytest
from command_line import assert_one_line, run
from jax import export

from jaxcalo.data import write_four_lepton
from jaxcalo.data.toy_leptons import toy_leptons
from jaxcalo.experiment import (
    LeptonData,
    LeptonExperiment,
    NearestFamily,
    train_leptons,
)
from jaxcalo.training import TrainingPlan


def test_options_are_those_of_sample(trained, tmp_path, capsys):
    out = tmp_path / "new" / "showers.stablehlo"
    options = ["--noise", "--steps", 1, "--sampler", "euler", "--batch-size", 2]
    assert run("export", trained, "-o", out, *options) == 0
    line = capsys.readouterr().out
    assert "noise, incident_energy_mev -> voxel_energy_mev" in line
    assert {path.name for path in out.parent.iterdir()} == {
        out.name + suffix for suffix in ("", ".json", ".mlirbc")
    }
    record = json.loads((tmp_path / "new" / "showers.stablehlo.json").read_text())
    assert "Euler" in record["sampling"]
    assert "n_steps=1" in record["sampling"]
    assert [port["shape"] for port in record["inputs"]] == [[2, 735], [2]]
    program = export.deserialize(bytearray(out.read_bytes()))
    assert program.platforms == ("cpu", "cuda", "tpu")


@pytest.fixture(scope="module")
def lepton_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("leptons")
    write_four_lepton(folder / "events.csv", toy_leptons(jax.random.key(1), 40))
    data = LeptonData(path=str(folder / "events.csv"), validation_fraction=0.0)
    experiment = LeptonExperiment(data, family=NearestFamily(), training=TrainingPlan(n_steps=1))
    train_leptons(experiment, folder / "run")
    return folder / "run"


def test_what_cannot_be_exported_is_told_in_one_line(trained, lepton_run, tmp_path, capsys):
    out = tmp_path / "showers"
    cases = [
        ([trained, "--batch-size", 0], "--batch-size", "found 0"),
        ([trained, "--noise", "--sampler", "ddpm"], "noise as an input", "Ddpm", "--sampler ddim"),
        ([trained, "--member", 0], "member"),
        ([lepton_run], "found a LeptonExperiment", "cannot be exported"),
        ([tmp_path / "none"], "none"),
    ]
    for arguments, *parts in cases:
        assert_one_line(capsys, run("export", *arguments, "-o", out), *parts)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    code = run("export", trained, "-o", tmp_path / "file" / "x", "--noise", "--steps", 1)
    assert_one_line(capsys, code, "cannot be written", "choose another --out")


def test_a_seed_makes_other_showers(trained, tmp_path):
    """The exported seed decides: same seed same showers, another seed others."""
    out = tmp_path / "x"
    assert run("export", trained, "-o", out, "--steps", 1, "--batch-size", 1) == 0
    program = jax.jit(export.deserialize(bytearray(out.read_bytes())).call)
    energy = np.full(1, 2e4, np.float32)
    made = [
        program(np.uint32(s), np.uint32(i), energy) for s, i in ((1, 0), (1, 0), (2, 0), (1, 1))
    ]
    np.testing.assert_array_equal(made[0], made[1])
    assert np.abs(made[0] - made[2]).max() > 1
    assert np.abs(made[0] - made[3]).max() > 1
