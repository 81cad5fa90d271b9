"""The recipes on the unequal layers of data set 1: the energy of every layer survives."""

import jax
import numpy as np
import pytest

from jaxcalo.data.toy import toy_showers
from jaxcalo.geometry import load_geometry
from jaxcalo.preprocess import IncidentFractions, LayerShapes, fit, prepare

RECIPES = [LayerShapes(max_deposit=3.1), IncidentFractions(max_deposit=3.1)]


@pytest.mark.parametrize("geometry", ["ds1-photons", "ds1-pions"])
def test_round_trip_keeps_the_energy_of_every_layer(geometry):
    detector = load_geometry(geometry)
    energy, voxels = toy_showers(jax.random.key(1), detector, 200)[:2]
    expected = np.add.reduceat(voxels.astype(float), detector.offsets[:-1], axis=1)
    assert (expected > 0).all(axis=1).mean() > 0.5
    for recipe in RECIPES:
        ready = prepare(recipe, detector, fit(recipe, detector, [(energy, voxels)]))
        there_and_back = jax.jit(
            jax.vmap(lambda x, e, t=ready.transform: t.inverse(t.forward(x, e), e))
        )
        back = np.asarray(there_and_back(voxels, energy), float)
        found = np.add.reduceat(back, detector.offsets[:-1], axis=1)
        np.testing.assert_allclose(found, expected, rtol=1e-5, err_msg=type(recipe).__name__)
