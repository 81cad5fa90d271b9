"""The recipes on showers: standardised to order one, symmetric, exactly invertible."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcalo.data.toy import toy_showers
from jaxcalo.errors import InputError
from jaxcalo.geometry import load_geometry, symmetries
from jaxcalo.preprocess import IncidentFractions, LayerShapes, augment, fit, prepare

RECIPES = [LayerShapes(), IncidentFractions()]
GEOMETRIES = ["par04_lite", "ecal_crystals", "ds1-photons"]


def prepared(recipe, geometry, n=300):
    detector = load_geometry(geometry)
    energy, voxels, _ = toy_showers(jax.random.key(1), detector, n)
    constants = fit(recipe, detector, [(energy[:100], voxels[:100]), (energy[100:], voxels[100:])])
    return detector, energy, voxels, constants, prepare(recipe, detector, constants)


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: type(r).__name__)
def test_round_trip_on_showers(recipe, geometry):
    _, energy, voxels, _, ready = prepared(recipe, geometry)
    events = jax.vmap(ready.transform.forward)(voxels, energy)
    assert np.isfinite(events).all()
    back = np.asarray(jax.vmap(ready.transform.inverse)(events, energy))
    # The logit of a fraction of the incident energy loses digits near 0, where margin rules.
    atol = 2e-6 * energy.max() if isinstance(recipe, IncidentFractions) else 1e-4
    np.testing.assert_allclose(back, voxels, rtol=2e-3, atol=atol)
    if isinstance(recipe, LayerShapes):
        np.testing.assert_array_equal(back > 0, voxels > 0)


@pytest.mark.parametrize("geometry", GEOMETRIES[:2])
def test_total_energy_survives_any_output_of_a_model(geometry):
    """Nonsense in, physical showers out, and the layers' energies sum to what u_0 says."""
    recipe = LayerShapes()
    _, energy, _, constants, ready = prepared(recipe, geometry)
    events = 2 * jax.random.normal(jax.random.key(2), (50, len(constants.mean)))
    out = np.asarray(jax.vmap(ready.transform.inverse)(events, energy[:50]), np.float64)
    assert np.isfinite(out).all()
    assert (out >= 0).all()
    assert (out.sum(axis=1) > 0).mean() > 0.9


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: type(r).__name__)
def test_standardised_components_have_mean_0_and_width_1(recipe):
    detector, energy, voxels, constants, ready = prepared(recipe, "par04_lite")
    events = np.asarray(jax.vmap(ready.transform.forward)(voxels, energy), np.float64)
    first = recipe.n_layer_energies(detector)
    np.testing.assert_allclose(events[:, 1:first].mean(0), 0, atol=2e-3)
    varies = constants.std[:first] > 2e-3
    np.testing.assert_allclose(events[:, :first].std(0)[varies], 1, atol=0.02)
    conditions = np.asarray(jax.vmap(ready.condition)(energy[:, None]))
    np.testing.assert_allclose(conditions.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(conditions.std(0), 1, atol=1e-3)
    # Over all voxels: those that a symmetry exchanges share their constants.
    np.testing.assert_allclose((events[:, first:] ** 2).mean(), 1, atol=0.05)


def test_fit_weighs_the_total_by_its_resolution():
    """A response whose spread falls as 1/sqrt(E) comes out with one spread at every energy."""
    detector = load_geometry("ecal_crystals")
    key_energy, key_noise = jax.random.split(jax.random.key(0))
    energy = np.exp(np.log(1e3) + np.log(50) * np.asarray(jax.random.uniform(key_energy, (4000,))))
    response = 0.9 + 0.05 / np.sqrt(energy / 1e3) * np.asarray(
        jax.random.normal(key_noise, (4000,))
    )
    voxels = np.zeros((4000, 121), np.float32)
    voxels[:, 60] = response * energy
    energy = energy.astype(np.float32)
    ready = prepare(LayerShapes(), detector, fit(LayerShapes(), detector, [(energy, voxels)]))
    total = np.asarray(jax.vmap(ready.transform.forward)(voxels, energy))[:, 0]
    for low, high in ((1e3, 4e3), (4e3, 15e3), (15e3, 5e4)):
        part = total[(energy > low) & (energy < high)]
        assert abs(part.std() - 1) < 4 / np.sqrt(2 * len(part))
        assert abs(part.mean()) < 4 / np.sqrt(len(part))


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_symmetric_showers_are_equally_preprocessed(geometry):
    """The standardised event of a rotated shower is the rotated standardised event."""
    recipe = LayerShapes()
    detector, energy, voxels, _, ready = prepared(recipe, geometry, n=50)
    first = recipe.n_layer_energies(detector)
    forward = jax.jit(ready.transform.forward)
    event = np.asarray(forward(voxels[0], energy[0]))
    for permutation in symmetries(detector):
        turned = np.asarray(forward(voxels[0][permutation], energy[0]))
        np.testing.assert_allclose(turned[first:], event[first:][permutation], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(turned[:first], event[:first], rtol=1e-3, atol=1e-3)


def test_augment_takes_every_symmetry_equally():
    detector = load_geometry("par04_lite")
    apply = jax.jit(augment(detector))
    table = symmetries(detector)
    shower = jnp.arange(detector.n_voxels)
    found = [np.asarray(apply((i + 0.5) / len(table), shower)) for i in range(len(table))]
    np.testing.assert_array_equal(np.stack(found), table)
    np.testing.assert_array_equal(apply(jnp.asarray(1.0), shower), table[-1])


def test_geometry_without_threshold_is_refused():
    import dataclasses

    detector = dataclasses.replace(load_geometry("ds2"), threshold_mev=0.0)
    with pytest.raises(InputError, match="threshold_mev"):
        LayerShapes().raw_transform(detector)


def test_nothing_to_fit_to():
    with pytest.raises(InputError, match="found none"):
        fit(LayerShapes(), load_geometry("par04_lite"), [])
