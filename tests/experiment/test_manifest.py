"""The manifest: what an older version wrote, and the further conditions fitted into it."""

import dataclasses
import json

import numpy as np
import pytest

from jaxcalo.data import Showers, ShowerWriter, open_showers
from jaxcalo.errors import InputError
from jaxcalo.experiment import Data, Experiment, from_record, to_record
from jaxcalo.experiment.manifest import new_manifest, resumed_manifest, sha256
from jaxcalo.geometry import load_geometry
from jaxcalo.preprocess import Classes, Continuous

CRYSTALS = load_geometry("ecal_crystals")
NAMES = ("pdg", "impact_mm")


@pytest.fixture
def older(tmp_path):
    """A run folder of a version that knew no further conditions, and its data file."""
    data = tmp_path / "showers"
    data.write_text("showers")
    record = json.loads(json.dumps(to_record(Experiment())))
    del record["data"]["conditions"]
    manifest = {"format": 1, "experiment": record, "data": {"sha256": sha256(data)}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path, data


def resumed(experiment, folder, data):
    return resumed_manifest(experiment, folder, data, pytest.fail)


def test_a_run_of_an_older_version_goes_on(older):
    assert resumed(Experiment(), *older)["format"] == 1
    with pytest.raises(InputError, match=r"found other values \(seed: 0 -> 3\)"):
        resumed(dataclasses.replace(Experiment(), seed=3), *older)
    changed = Data(conditions=("pdg",), augment=False)
    with pytest.raises(InputError, match=r"data.conditions: \[\] -> \['pdg'\]"):
        resumed(dataclasses.replace(Experiment(), data=changed), *older)


def test_another_data_file_is_refused(older):
    folder, data = older
    data.write_text("other showers")
    with pytest.raises(InputError, match="found another content in"):
        resumed(Experiment(), folder, data)


def made(path, n_train, pdg, conditions=None):
    """The manifest of training on the first showers of a file with these particles."""
    n = len(pdg)
    impact = np.arange(2.0 * n, dtype=np.float32).reshape(n, 2)
    with ShowerWriter(path, 121, None, {"impact_mm": 2, "pdg": 1}, ["pdg"]) as writer:
        further = np.append(impact, np.reshape(pdg, (n, 1)), axis=1)
        writer.append(Showers(np.full(n, 1e3), np.ones((n, 121)), further))
    experiment = Experiment(data=Data(conditions=NAMES, augment=False))
    with open_showers(path, CRYSTALS, NAMES) as file:
        return new_manifest(experiment, CRYSTALS, file, n_train, conditions)


def test_conditions_are_fitted_to_the_training_showers_alone(tmp_path):
    manifest = made(tmp_path / "x.h5", 4, [22, 11, 22, 11, 22, 22])
    found = from_record(json.loads(json.dumps(manifest["conditions"])))
    exact = np.arange(8.0).reshape(4, 2)
    mean, std = tuple(exact.mean(axis=0)), tuple(exact.std(axis=0))
    impact = Continuous("impact_mm", mean, std, ((0.0, 6.0), (1.0, 7.0)))
    assert found == (Classes("pdg", (11, 22)), impact)
    domain = from_record(json.loads(json.dumps(manifest["domain"])))
    assert domain.names == ("log E_inc", "pdg[11]", "pdg[22]", "impact_mm[0]", "impact_mm[1]")
    assert len(domain.anchors) == 4


def test_a_student_keeps_its_teachers_conditions(tmp_path):
    teachers = (Classes("pdg", (11, 22)), Continuous("impact_mm", (9.0, 9.0), (1.0, 1.0)))
    manifest = made(tmp_path / "x.h5", 3, [22, 22, 22], teachers)
    assert from_record(json.loads(json.dumps(manifest["conditions"]))) == teachers
    with pytest.raises(InputError, match=r"x.h5: 'pdg' of shower 1 .* \(11, 22\), found 13"):
        made(tmp_path / "x.h5", 3, [22, 13, 22], teachers)
    with pytest.raises(InputError, match=r"expected 1 columns of conditions .* found 3"):
        made(tmp_path / "x.h5", 3, [22, 22, 22], teachers[:1])


def test_a_class_in_the_held_out_showers_alone_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"'pdg' of shower 3 must be one of .* found 13"):
        made(tmp_path / "x.h5", 3, [22, 11, 22, 13])
