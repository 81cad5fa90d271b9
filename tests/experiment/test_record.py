"""Configuration <-> JSON, and the differences between two."""

import dataclasses
import json
import runpy
from pathlib import Path

import pytest

from jaxcalo.diffusion import Cosine, Shifted
from jaxcalo.errors import InputError
from jaxcalo.experiment import AnyExperiment, Experiment, differences, from_record, to_record
from jaxcalo.geometry import GEOMETRIES, load_geometry
from jaxcalo.recipes import RECIPES

FOLDER = Path(__file__).parents[2] / "experiments"
FILES = sorted(FOLDER.glob("*.py"))


def through_json(value):
    return from_record(json.loads(json.dumps(to_record(value))))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_recipe_loads_and_survives_json(path):
    experiment = runpy.run_path(str(path))["experiment"]
    assert isinstance(experiment, AnyExperiment)
    assert through_json(experiment) == experiment


def test_there_are_recipes():
    assert len(FILES) >= 5
    assert isinstance(RECIPES["par04_lite"], Experiment)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_detectors_survive_json(name):
    assert through_json(load_geometry(name)) == load_geometry(name)


def test_nested_configuration_survives():
    diffusion = dataclasses.replace(Experiment().diffusion, schedule=Shifted(Cosine(), 1.5))
    experiment = dataclasses.replace(Experiment(), diffusion=diffusion)
    assert through_json(experiment) == experiment


def test_differences_name_the_fields():
    old, new = Experiment(), dataclasses.replace(Experiment(), seed=3)
    new = dataclasses.replace(new, net=dataclasses.replace(new.net, depth=2))
    lines = differences(to_record(old), to_record(new))
    assert sorted(lines) == ["net.depth: 6 -> 2", "seed: 0 -> 3"]
    assert differences(to_record(old), to_record(Experiment())) == []


def test_a_changed_type_is_one_difference():
    old = Experiment()
    shifted = dataclasses.replace(old.diffusion, schedule=Shifted(Cosine(), 1.0))
    new = dataclasses.replace(old, diffusion=shifted)
    assert differences(to_record(old), to_record(new)) == ["diffusion.schedule: Cosine -> Shifted"]


@pytest.mark.parametrize(
    "record", [{"type": "eval", "x": 1}, {"type": "Cosine", "x": 1}, {"seed": 1}]
)
def test_unknown_records_are_refused(record):
    with pytest.raises(InputError, match="manifest: expected a record"):
        from_record(record)
