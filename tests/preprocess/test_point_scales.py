"""Standardised points: places in cells, exact inverse, symmetry, padding, the fit against draws."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxcalo.data.point_cloud import pad
from jaxcalo.data.toy_clouds import toy_clouds
from jaxcalo.errors import InputError
from jaxcalo.preprocess import (
    PointScales,
    cloud_condition,
    fit_points,
    no_point_constants,
    point_transform,
    turn,
)

SCALES = PointScales()
CONTINUOUS = dataclasses.replace(SCALES, cell_mm=0.0)


@pytest.fixture(scope="module")
def clouds():
    return toy_clouds(jax.random.key(1), 40, mean_points=150)


@pytest.fixture(scope="module")
def constants(clouds):
    return fit_points(SCALES, [clouds])


def one(clouds, row, size=400):
    padded = pad(clouds.rows(slice(row, row + 1)), size)
    return padded.points[0], int(padded.n_points[0])


def test_a_point_stays_in_its_cell_and_layer(clouds, constants):
    """Each point has its own place, evenly spread over the cell and the layer."""
    transform = point_transform(SCALES, constants)
    round_trip = jax.jit(lambda *cloud: transform.inverse(transform.forward(*cloud)))
    places = []
    for row in range(20):
        points, n = one(clouds, row)
        back = np.asarray(round_trip(jax.random.key(row), points, n))[:n]
        np.testing.assert_array_equal(np.floor(back[:, 2]), points[:n, 2])
        np.testing.assert_allclose(back[:, 3], points[:n, 3], rtol=1e-5)
        places.append((back - points[:n])[:, :3] / np.asarray([2.5, 2.5, 1.0]))
    places = np.concatenate(places)
    # In single precision x is known to 1e-7 of asinh's argument: 1e-4 of a cell far outside.
    assert np.abs(places[:, :2]).max() < 0.5 + 1e-4
    n = len(places)
    assert n > 2000
    np.testing.assert_allclose(places.mean(axis=0), [0, 0, 0.5], atol=5 / np.sqrt(12 * n))
    np.testing.assert_allclose(places.std(axis=0), 1 / np.sqrt(12), atol=5 * 0.13 / np.sqrt(n))
    assert abs(np.corrcoef(places.T)[np.triu_indices(3, 1)]).max() < 5 / np.sqrt(n)
    assert abs(np.corrcoef(places[1:, 0], places[:-1, 0])[0, 1]) < 5 / np.sqrt(n)


@jax.jit
def there_and_back(points):
    fitted = no_point_constants(CONTINUOUS)._replace(
        mean=np.float32([0, 0, 16, -1]),
        std=np.float32([1.2, 1.2, 6, 1.3]),
        largest_mev=np.float32(30),
    )
    transform = point_transform(CONTINUOUS, fitted)
    return transform.inverse(transform.forward(jax.random.key(0), points, len(points)))


@settings(max_examples=50, deadline=None)
@given(
    x=st.floats(-249, 249, width=32),
    y=st.floats(-249, 249, width=32),
    layer=st.integers(0, 29),
    log_energy=st.floats(np.log(0.0101), np.log(30)),
)
def test_continuous_points_come_back(x, y, layer, log_energy):
    point = jnp.asarray([[x, y, layer, np.exp(log_energy)]], jnp.float32)
    back = there_and_back(point)
    np.testing.assert_allclose(back[:, :2], point[:, :2], rtol=1e-5, atol=1e-5)
    assert layer - 1e-5 <= back[0, 2] <= layer + 1 + 1e-5
    np.testing.assert_allclose(back[:, 3], point[:, 3], rtol=1e-5)


def test_constants_are_the_moments_of_drawn_points(clouds, constants):
    """The averages over the place agree with 60 draws; chunks do not matter."""
    raw = point_transform(SCALES, no_point_constants(SCALES)).forward
    points = jnp.asarray(clouds.points)
    keys = jax.random.split(jax.random.key(2), 60)
    draw = jax.jit(jax.vmap(lambda key: raw(key, points, len(points))))
    drawn = np.asarray(draw(keys), np.float64)
    n = drawn.shape[0] * drawn.shape[1]
    mean, std = drawn.mean(axis=(0, 1)), drawn.std(axis=(0, 1))
    # The energies have no place: only rounding there.
    np.testing.assert_allclose(constants.mean[2:], mean[2:], rtol=1e-4)
    np.testing.assert_allclose(constants.std[2:], std[2:], rtol=2e-3)
    np.testing.assert_array_equal(constants.mean[:2], 0)
    square = (drawn[..., :2] ** 2).mean()
    np.testing.assert_allclose(constants.std[:2], np.sqrt(square), rtol=5 / np.sqrt(n) + 5e-4)
    assert constants.std[0] == constants.std[1]
    np.testing.assert_array_equal(constants.largest_mev, clouds.points[:, 3].max())
    logs = np.log([clouds.incident_energy_mev, clouds.n_points])
    np.testing.assert_allclose(constants.condition_mean, logs.mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(constants.condition_std, logs.std(axis=1), rtol=1e-4)
    in_parts = fit_points(SCALES, [clouds.rows(slice(0, 7)), clouds.rows(slice(7, None))])
    for part, whole in zip(in_parts, constants, strict=True):
        assert part.dtype == np.float32
        np.testing.assert_allclose(part, whole, rtol=1e-6)


def test_standardised_points_are_of_order_one(clouds, constants):
    points = jnp.asarray(clouds.points)
    forward = jax.jit(point_transform(SCALES, constants).forward)
    found = np.asarray(forward(jax.random.key(3), points, len(points)))
    np.testing.assert_allclose(found[:, :2].std(), 1.0, atol=0.02)
    np.testing.assert_allclose(found[:, 2:].std(axis=0), 1.0, atol=0.02)
    np.testing.assert_allclose(found.mean(axis=0), 0.0, atol=0.05)
    assert np.abs(found).max() < 6


def test_padding_is_zero_and_changes_nothing(clouds, constants):
    """Rows behind n_points may hold anything."""
    points, n = one(clouds, 4)
    forward = jax.jit(point_transform(SCALES, constants).forward)
    short = np.asarray(forward(jax.random.key(4), points, n))
    np.testing.assert_array_equal(short[n:], 0.0)
    assert (np.abs(short[:n]).max(axis=1) > 0).all()
    rubbish = np.tile(np.float32([np.nan, 1e30, -1, -1]), (112, 1))
    long = np.asarray(forward(jax.random.key(4), np.concatenate([points, rubbish]), n))
    np.testing.assert_allclose(long[:400], short, atol=1e-6)
    np.testing.assert_array_equal(long[n:], 0.0)


def test_whatever_a_model_makes_is_physical(constants):
    wild = jnp.asarray([[s * 10.0**k] * 4 for k in range(-3, 39) for s in (-1, 1)] + [[0.0] * 4])
    wild = jnp.concatenate([wild, jnp.full((1, 4), jnp.inf), jnp.full((1, 4), -jnp.inf)])
    found = np.asarray(point_transform(SCALES, constants).inverse(wild))
    assert np.isfinite(found).all()
    assert np.abs(found[:, :2]).max() <= 250 * (1 + 1e-5)
    assert found[:, 2].min() >= 0
    assert np.floor(found[:, 2]).max() == 29
    assert found[:, 3].min() >= 0.01 * (1 - 1e-5)
    assert found[:, 3].max() <= 2 * constants.largest_mev * (1 + 1e-5)
    # Nothing is clipped where points are.
    inside = jnp.linspace(-2.0, 2.0, 9)[:, None] * jnp.asarray([1, 1, 0.5, 0.5])
    assert (np.diff(point_transform(SCALES, constants).inverse(inside), axis=0) > 0).all()


def test_a_turned_cloud_is_one_of_eight(clouds):
    points, n = one(clouds, 2)
    turned = np.asarray(
        jax.vmap(partial(turn, points=points))(jax.random.split(jax.random.key(5), 400))
    )
    np.testing.assert_array_equal(turned[..., 2:], np.broadcast_to(points[:, 2:], (400, 400, 2)))
    np.testing.assert_array_equal(turned[:, n:], 0.0)
    x, y = np.asarray(points[:, :2]).T
    copies = [np.stack(c, axis=1) for a, b in ((x, y), (y, x)) for c in
              ((a, b), (-a, b), (a, -b), (-a, -b))]  # fmt: skip
    counts = [(turned[..., :2] == copy).all(axis=(1, 2)).sum() for copy in copies]
    assert sum(counts) == 400
    np.testing.assert_allclose(counts, 50, atol=5 * np.sqrt(400 * 7 / 64))


def test_the_condition_is_two_features_and_the_number(clouds, constants):
    condition = jax.jit(jax.vmap(partial(cloud_condition, SCALES, constants)))
    found = np.asarray(condition(clouds.incident_energy_mev, clouds.n_points))
    np.testing.assert_array_equal(found[:, 2], clouds.n_points)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:, :2].mean(axis=0), 0.0, atol=1e-4)
    np.testing.assert_allclose(found[:, :2].std(axis=0), 1.0, atol=1e-4)
    logs = np.log([clouds.incident_energy_mev, clouds.n_points])
    for column in (0, 1):
        assert np.corrcoef(found[:, column], logs[column])[0, 1] > 1 - 1e-6
    assert np.isfinite(cloud_condition(SCALES, constants, jnp.asarray(1e4), 0)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_layers": 20}, "layers from 0 to 19, found .* to 29; set half_width_mm and n_layers"),
        ({"half_width_mm": 5.0}, "within 5 mm .*found"),
        ({"threshold_mev": 0.5}, "energies of 0.5 MeV or more, found 0.01"),
    ],
)
def test_points_that_contradict_the_scales_are_refused(clouds, change, message):
    with pytest.raises(InputError, match=message):
        fit_points(dataclasses.replace(SCALES, **change), [clouds])


def test_no_points_and_no_scales_are_refused(clouds):
    with pytest.raises(InputError, match="expected points to fit to, found none"):
        fit_points(SCALES, [clouds.rows(slice(0, 0))])
    with pytest.raises(InputError, match=r"above 0, .*transverse_mm=0\.0"):
        PointScales(transverse_mm=0.0)


def test_points_that_never_vary_keep_their_scale():
    chunk = (np.full(3, 5e4), np.tile([[1.25, -1.25, 3, 0.5]], (3, 1)), np.ones(3, int))
    found = fit_points(CONTINUOUS, [chunk])
    np.testing.assert_allclose(found.std, [np.arcsinh(1.25 / 6)] * 2 + [12**-0.5, 1e-3], rtol=1e-4)
    np.testing.assert_allclose(found.condition_std, 1e-3, rtol=1e-4)
    for fitted, empty in zip(found, no_point_constants(CONTINUOUS), strict=True):
        assert (fitted.shape, fitted.dtype) == (empty.shape, empty.dtype)
