"""Toy clouds: seeded, on a grid, and shaped like showers."""

import jax
import numpy as np
import pytest

from jaxcalo.data.toy_clouds import toy_clouds
from jaxcalo.errors import InputError

KEY = jax.random.key(11)


@pytest.fixture(scope="module")
def clouds():
    return toy_clouds(KEY, 300)


def test_points_are_physical(clouds):
    incident, points, n_points = clouds
    assert (incident.dtype, points.dtype, n_points.dtype) == (np.float32, np.float32, np.int32)
    assert 1e4 <= incident.min() < incident.max() <= 9e4
    # uniform: mean and spread within 5 standard errors
    assert abs(incident.mean() - 5e4) < 5 * 8e4 / np.sqrt(12 * 300)
    assert points[:, 3].min() >= np.float32(0.01)
    layer = points[:, 2]
    assert set(layer) <= set(range(30))
    # odd multiples of 1.25 mm, one point a cell
    cell = points[:, :2] / 1.25
    np.testing.assert_array_equal(cell % 2, 1)
    places = np.column_stack([clouds.shower, points[:, :3]])
    assert len(np.unique(places, axis=0)) == len(points) == n_points.sum()
    assert n_points.min() >= 1
    # sorted by layer
    assert (np.diff(clouds.shower * 30 + layer) >= 0).all()


def test_shape_of_the_showers(clouds):
    incident, points, n_points = clouds
    # a few points of the mean share a cell
    assert 85 < n_points.mean() < 105
    # the number grows with the energy, and varies about as a Poisson number
    at_50_gev = n_points / incident * 5e4
    high = incident > 5e4
    assert n_points[high].mean() > 2 * n_points[~high].mean()
    pull = (at_50_gev - at_50_gev.mean()) * np.sqrt(incident / 5e4) / np.sqrt(at_50_gev.mean())
    assert 0.8 < pull.std() < 1.3
    total = np.bincount(clouds.shower, weights=points[:, 3])
    assert np.corrcoef(total, incident)[0, 1] > 0.8
    # the maximum moves by log(9) radiation lengths, a layer is 0.8 of one
    depth = np.bincount(clouds.shower, weights=points[:, 2]) / n_points
    assert 0.2 < depth[high].mean() - depth[~high].mean() < 4
    # density falls with the radius
    radius = np.hypot(points[:, 0], points[:, 1])
    edges = np.asarray([0, 5, 10, 20, 40, 80])
    density = np.histogram(radius, edges)[0] / np.diff(edges**2)
    assert (np.diff(density) < 0).all()
    assert abs(points[:, :2].mean()) < 1


def test_clouds_depend_on_the_key_and_their_number_alone(clouds):
    again, more, other = (
        toy_clouds(KEY, 300),
        toy_clouds(KEY, 301),
        toy_clouds(jax.random.key(12), 300),
    )
    for found, expected in zip(again, clouds, strict=True):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(more.n_points[:300], clouds.n_points)
    np.testing.assert_array_equal(more.rows(slice(300)).points, clouds.points)
    assert (other.incident_energy_mev != clouds.incident_energy_mev).all()


def test_layers_and_numbers_can_be_chosen():
    few = toy_clouds(KEY, 50, n_layers=3, mean_points=2)
    assert set(few.points[:, 2]) <= {0, 1, 2}
    assert 1 <= few.n_points.mean() < 3
    assert few.n_points.min() >= 1


@pytest.mark.parametrize(("n", "layers", "points"), [(0, 1, 1), (1, 0, 1), (1, 1, 0), (1, 1, -2)])
def test_impossible_toys(n, layers, points):
    with pytest.raises(InputError, match="expected 1 shower or more, 1 layer or more"):
        toy_clouds(KEY, n, n_layers=layers, mean_points=points)
