"""Configurations make networks that fit their geometry, as large as published."""

from pathlib import Path

import jax
import numpy as np
import pytest

from jaxcalo.cli.recipes import load_recipe
from jaxcalo.errors import InputError
from jaxcalo.experiment import DiTNet, Experiment, UNetNet
from jaxcalo.geometry import load_geometry
from jaxcalo.preprocess import IncidentFractions

FILES = sorted((Path(__file__).parents[2] / "experiments").glob("*.py"))
RECIPES = [path for path in FILES if isinstance(load_recipe(str(path)), Experiment)]


def shapes(net, n_numbers, n_conditions=1):
    """The parameters and the result for one event, as shapes."""
    arrays = [np.zeros(s, np.float32) for s in ((1, n_numbers), (1,), (1, n_conditions))]
    out, params = jax.eval_shape(net.init_with_output, jax.random.key(0), *arrays)
    return params["params"], out


def n_parameters(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(
    ("geometry", "net", "published", "in_maps"),
    [
        ("ds1-photons", UNetNet(channels=(16, 16, 16, 32), azimuth_channel=True), 521_581, 3_180),
        ("ds1-pions", UNetNet(channels=(16, 16, 16, 32), azimuth_channel=True), 525_901, 3_404),
        ("ds2", UNetNet(channels=(16, 16, 16, 32)), 517_969, 0),
        ("ds3", UNetNet(channels=(32, 32, 32, 32)), 1_221_153, 0),
    ],
)
def test_calodiffusion_is_as_large_as_published(geometry, net, published, in_maps):
    detector = load_geometry(geometry)
    n_layer_energies = IncidentFractions().n_layer_energies(detector)
    params, out = shapes(net.build(detector, n_layer_energies, False), detector.n_voxels)
    assert n_parameters(params) == published
    assert n_parameters([params.get("encoder"), params.get("decoder")]) == in_maps
    assert out.shape == (1, detector.n_voxels)


@pytest.mark.parametrize(
    "config", [DiTNet(patch=(1, 10, 5), width=8, depth=1, n_heads=2), UNetNet(channels=(8, 8))]
)
def test_layer_conditions_fit_equal_and_unequal_layers(config):
    for geometry in ("par04_lite", "ds1-pions"):
        detector = load_geometry(geometry)
        n = detector.n_layers
        net = config.build(detector, n, True, n_layer_conditions=n)
        _, out = shapes(net, n + detector.n_voxels, n_conditions=1 + n)
        assert out.shape == (1, 2 * (n + detector.n_voxels))


def test_azimuth_channel_needs_a_cylinder_and_the_coordinates():
    with pytest.raises(InputError, match=r"--net\.azimuth-channel"):
        UNetNet(coordinates=False, azimuth_channel=True)
    with pytest.raises(InputError, match="leave the azimuth out"):
        UNetNet(azimuth_channel=True).build(load_geometry("ecal_crystals"), 0, False)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_builds_its_network_on_its_geometry(path):
    experiment = load_recipe(str(path))
    detector = load_geometry(experiment.data.geometry, experiment.data.particle)
    n_layer_energies = experiment.preprocess.n_layer_energies(detector)
    n = n_layer_energies + detector.n_voxels
    learned = experiment.diffusion.learned_variance
    _, out = shapes(experiment.net.build(detector, n_layer_energies, learned), n)
    assert out.shape == (1, n * (1 + learned))
