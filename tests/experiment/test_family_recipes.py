"""Recipes of other families on showers make models that fit their geometry."""

from pathlib import Path

import jax
import numpy as np
import pytest

from jaxcalo.cli.recipes import load_recipe
from jaxcalo.data import Showers
from jaxcalo.experiment import FamilyExperiment, build, from_record, to_record
from jaxcalo.geometry import load_geometry
from jaxcalo.preprocess import Constants, Continuous
from jaxcalo.training import Batch

FOLDER = Path(__file__).parents[2] / "experiments"
FOLDERS = ("par04_families", "ecal_families")
FILES = [FOLDER / "par04_lite_ensemble.py"]
FILES += [path for name in FOLDERS for path in sorted((FOLDER / name).glob("*.py"))]
N = 24  # more than the Gaussians of any


@pytest.mark.parametrize("path", FILES, ids=[f"{path.parent.name}/{path.stem}" for path in FILES])
def test_every_recipe_builds_its_model(path):
    experiment = load_recipe(str(path))
    detector = load_geometry(experiment.data.geometry)
    size = experiment.preprocess.n_layer_energies(detector) + detector.n_voxels
    constants = Constants(*(np.ones(shape, np.float32) for shape in (size, size, (), ())))
    further = tuple(Continuous(name, (0.0, 0.0), (1.0, 1.0)) for name in experiment.data.conditions)
    model = build(experiment, detector, constants, conditions=further).model
    ones = np.ones((N, detector.n_voxels + 3), np.float32)
    showers = Showers(ones[:, 0], ones[:, 3:], ones[:, 1:3] if further else None)
    params = jax.eval_shape(model.algorithm.init, jax.random.key(0), Batch(np.arange(N), showers))
    cond = np.ones(3 if further else 1, np.float32)
    made = jax.eval_shape(model.sample, jax.random.key(0), params.ema, cond)
    assert made.shape == (size,)
    assert from_record(to_record(experiment)) == experiment


def test_every_family_has_a_recipe_on_showers():
    kinds = [getattr(load_recipe(str(path)), "family", None) for path in FILES]
    found = {type(kind).__name__ for kind in kinds}
    assert found >= {"VaeFamily", "GanFamily", "FlowFamily", "MixtureFamily", "NearestFamily"}
    assert isinstance(load_recipe(str(FILES[0])), FamilyExperiment)
