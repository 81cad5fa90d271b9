"""Recipes on four-lepton events make models that fit together."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxcalo.cli.recipes import load_recipe
from jaxcalo.data.toy_leptons import toy_leptons
from jaxcalo.experiment import from_record, to_record
from jaxcalo.experiment.lepton_build import build_leptons, turned
from jaxcalo.preprocess import SparseSlots, fit_leptons, no_lepton_constants
from jaxcalo.training import Batch

FILES = sorted((Path(__file__).parents[2] / "experiments" / "four_lepton").glob("*.py"))
RECIPES = {path.stem: load_recipe(str(path)) for path in FILES}
N = 80  # more than the Gaussians of any


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_builds_its_model(name):
    experiment = RECIPES[name]
    built = build_leptons(experiment, no_lepton_constants(experiment.encoding, 4))
    batch = Batch(np.arange(N), toy_leptons(jax.random.key(0), N))
    params = jax.eval_shape(built.model.algorithm.init, jax.random.key(0), batch).ema
    made = jax.eval_shape(built.physical.sample, jax.random.key(0), params, np.ones(1, np.float32))
    assert made.shape == (4, 5)
    assert from_record(to_record(experiment)) == experiment


def test_the_thesiss_systems_have_recipes_beside_the_good_ones():
    thesis = {name for name in RECIPES if name.startswith("thesis_")}
    assert thesis == {"thesis_vae", "thesis_gan", "thesis_flow", "thesis_mixture"}
    assert all(isinstance(RECIPES[name].encoding, SparseSlots) for name in thesis)
    others = set(RECIPES) - thesis
    assert {"diffusion", "vae", "beta_vae", "gan", "nice", "real_nvp", "maf"} <= others
    assert {"spline_flow", "mixture", "nearest"} <= others


def test_all_are_judged_by_the_same_events():
    assert {experiment.data.validation_fraction for experiment in RECIPES.values()} == {0.5}


def test_turned_events_are_rotations():
    """Products of momenta stay, mirror images none; directions are uniform, beams exchanged."""
    momentum = toy_leptons(jax.random.key(1), 1).momentum_gev[0].astype(np.float32)
    keys = jax.random.split(jax.random.key(2), 2000)
    found = np.asarray(jax.jit(jax.vmap(turned, (0, None)))(keys, momentum))
    np.testing.assert_array_equal(found[:, :, 0], np.tile(momentum[:, 0], (2000, 1)))
    dots = np.einsum("nik,njk->nij", found[:, :, 1:], found[:, :, 1:])
    size = momentum[:, 0].max()
    np.testing.assert_allclose(dots / size**2, np.tile(dots[0], (2000, 1, 1)) / size**2, atol=1e-5)
    volume = np.linalg.det(found[:, :3, 1:].astype(np.float64)) / size**3
    np.testing.assert_allclose(volume, np.linalg.det(momentum[:3, 1:]) / size**3, atol=1e-5)
    side = np.sign(found[:, 0, 3] * momentum[0, 3])
    assert abs(side.mean()) < 0.1
    phi = np.arctan2(found[:, 0, 2], found[:, 0, 1])
    for wave in (np.exp(1j * phi), np.exp(2j * phi), side * np.exp(1j * phi)):
        assert abs(wave.mean()) < 0.1


def test_only_where_it_is_asked_for_events_are_turned():
    events = toy_leptons(jax.random.key(0), 400)
    constants = fit_leptons(RECIPES["nearest"].encoding, events)
    for is_turned in (False, True):
        experiment = RECIPES["nearest"]
        data = dataclasses.replace(experiment.data, turned=is_turned)
        built = build_leptons(dataclasses.replace(experiment, data=data), constants)
        batch = Batch(np.arange(400), events)
        state = jax.jit(built.model.algorithm.init)(jax.random.key(0), batch)
        draw = jax.jit(jax.vmap(built.physical.sample, (0, None, None)))
        cond = np.full(1, -1.0, np.float32)
        made = draw(jax.random.split(jax.random.key(1), 50), state.ema, cond)
        px = np.asarray(made)[:, 0, 2]
        same = np.isclose(px[:, None], events.momentum_gev[:, 0, 1], rtol=1e-3).any(axis=1)
        assert same.all() != is_turned
