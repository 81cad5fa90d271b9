"""Recipes on four-lepton events make models that fit together."""

from pathlib import Path

import jax
import numpy as np
import pytest

from jaxcalo.cli.recipes import load_recipe
from jaxcalo.data.toy_leptons import toy_leptons
from jaxcalo.experiment import from_record, to_record
from jaxcalo.experiment.lepton_build import build_leptons
from jaxcalo.preprocess import SparseSlots, no_lepton_constants
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
