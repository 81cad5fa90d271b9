"""Recipes on point clouds make models that fit together, and contradictions are refused."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxcalo.cli.recipes import load_recipe
from jaxcalo.data import PaddedClouds
from jaxcalo.errors import InputError
from jaxcalo.experiment import CloudDiffusion, CloudExperiment, EpicNet, PointWiseNet
from jaxcalo.experiment.cloud_build import build_clouds, no_cloud_constants
from jaxcalo.geometry import load_geometry
from jaxcalo.preprocess import CloudCalibration, PointScales
from jaxcalo.training import Batch

FILES = sorted((Path(__file__).parents[2] / "experiments").glob("*.py"))
LOADED = {path.stem: load_recipe(str(path)) for path in FILES}
RECIPES = {name: found for name, found in LOADED.items() if isinstance(found, CloudExperiment)}
SIZE = 64


def built(experiment):
    detector = load_geometry(experiment.data.geometry)
    constants = no_cloud_constants(experiment, detector)._replace(max_points=np.asarray(SIZE))
    return build_clouds(experiment, detector, constants).model


def test_the_five_systems_have_recipes():
    names = {"calo_clouds_1", "calo_clouds_2", "epic_gan_clouds", "mp_gan_clouds"}
    assert names == set(RECIPES)  # the fifth is the student of calo_clouds_2


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_builds_its_model(name):
    model = built(RECIPES[name])
    cloud = PaddedClouds(np.ones(2), np.ones((2, SIZE, 4), np.float32), np.full(2, SIZE))
    batch = Batch(np.arange(2), cloud)
    params = jax.eval_shape(model.algorithm.init, jax.random.key(0), batch).ema
    made = jax.eval_shape(model.sample, jax.random.key(0), params, np.ones(1, np.float32))
    assert made.shape == (SIZE, 4)


def test_the_published_numbers_of_evaluations_and_parameters():
    assert RECIPES["calo_clouds_1"].sampling.n_evaluations == 100
    assert RECIPES["calo_clouds_2"].sampling.n_evaluations == 25
    net = RECIPES["calo_clouds_2"].model.net.build()
    arrays = [np.zeros(shape, np.float32) for shape in ((1, 8), (1,), (1, 3))]
    params = jax.eval_shape(net.init, jax.random.key(0), *arrays)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 504_920


def test_a_gan_has_no_sampler():
    assert RECIPES["epic_gan_clouds"].sampling is None


def test_points_of_another_threshold_or_grid_are_refused():
    with pytest.raises(InputError, match=r"found 0.01, 0.02 MeV"):
        CloudExperiment(points=PointScales(threshold_mev=0.02))
    with pytest.raises(InputError, match="distinct cells: expected one cell_mm"):
        CloudExperiment(
            points=PointScales(cell_mm=5.0), calibration=CloudCalibration(distinct_cells=True)
        )
    assert CloudExperiment(points=PointScales(cell_mm=5.0)).points.cell_mm == 5.0


def test_layers_of_another_readout_are_refused():
    experiment = CloudExperiment(points=PointScales(n_layers=45))
    with pytest.raises(InputError, match=r"--points\.n-layers: expected the 30 layers"):
        built(experiment)


def test_a_share_of_the_points_is_for_points_that_do_not_see_each_other():
    with pytest.raises(InputError, match="EpicNet; leave it out"):
        CloudDiffusion(net=EpicNet(), points_per_shower=100)
    assert dataclasses.replace(CloudDiffusion(), net=PointWiseNet(), points_per_shower=9)
