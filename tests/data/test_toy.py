"""Toy showers: seeded, physical, and shaped like showers."""

import jax
import numpy as np
import pytest

from jaxcalo.data.toy import toy_showers
from jaxcalo.errors import InputError
from jaxcalo.geometry import load_geometry, voxels

KEY = jax.random.key(11)


@pytest.mark.parametrize("name", ["par04_lite", "ds1-photons", "ecal_crystals"])
def test_energies_are_physical(name):
    detector = load_geometry(name)
    incident, energy, _ = toy_showers(KEY, detector, 300, (2e3, 3e4))
    assert energy.shape == (300, detector.n_voxels)
    assert energy.dtype == incident.dtype == np.float32
    assert incident.min() >= 2e3 * (1 - 1e-5)
    assert incident.max() <= 3e4 * (1 + 1e-5)
    assert energy[energy > 0].min() >= detector.threshold_mev
    assert (energy == 0).any()
    # unbiased: the mean response is 1 within 6 standard errors
    response = energy.sum(axis=1) / incident
    assert abs(response.mean() - 1) < 6 * response.std() / np.sqrt(300)
    assert response.std() > 0.005


def test_showers_depend_on_the_key_and_their_number_alone():
    detector = load_geometry("par04_lite")
    first, again = toy_showers(KEY, detector, 20), toy_showers(KEY, detector, 20)
    more, other = toy_showers(KEY, detector, 21), toy_showers(jax.random.key(12), detector, 20)
    np.testing.assert_array_equal(first.voxel_energy_mev, again.voxel_energy_mev)
    np.testing.assert_allclose(more.voxel_energy_mev[:20], first.voxel_energy_mev, rtol=1e-4)
    assert (other.incident_energy_mev != first.incident_energy_mev).all()


def test_shape_of_the_showers():
    detector = load_geometry("par04_lite")
    place = voxels(detector)
    low = toy_showers(KEY, detector, 200, (1e3, 1e3)).voxel_energy_mev.mean(axis=0)
    high = toy_showers(KEY, detector, 200, (5e4, 5e4)).voxel_energy_mev.mean(axis=0)
    depths = [np.average(place.layer, weights=energy) for energy in (low, high)]
    # the maximum moves by b-independent log(50) = 3.9 radiation lengths, a layer is 1.7
    assert 1.0 < depths[1] - depths[0] < 3.0
    density = (high / place.area_mm2).reshape(15, 8, 6).sum(axis=(0, 1))
    assert (np.diff(density) < 0).all()


@pytest.mark.parametrize(("n", "energies"), [(0, (1.0, 2.0)), (1, (0.0, 2.0)), (1, (3.0, 2.0))])
def test_impossible_toys(n, energies):
    with pytest.raises(InputError, match="expected 1 shower or more"):
        toy_showers(KEY, load_geometry("ecal_crystals"), n, energies)
