"""Calibrated clouds against a slow twin in numpy, and what must hold exactly for any cloud."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcalo.errors import InputError
from jaxcalo.preprocess.cloud_calibration import (
    _GOLDEN,
    CloudCalibration,
    _neighbourhoods,
    calibrate,
)
from jaxcalo.preprocess.shower_summary import Summary

CONFIG = CloudCalibration(distinct_cells=True)
CONTINUOUS = dataclasses.replace(CONFIG, distinct_cells=False)
UNCORRECTED = dataclasses.replace(CONFIG, n_corrections=0)
N_LAYERS, SIZE, N_CLOUDS = 8, 512, 6
MOST = 2.0**-22  # of 250 mm, and of a layer's energy: what single precision may lose in a sum

run = jax.jit(calibrate, static_argnames="config")
run_batch = jax.jit(
    jax.vmap(calibrate, in_axes=(0, 0, 0, None)), static_argnames="config"
)  # fmt: skip


def generated(key):
    """What an independent-point model makes of one shower: dense core, wide tail, own depth."""
    place, energy, layers, moved, number = jax.random.split(key, 5)
    u = np.asarray(jax.random.uniform(place, (4, SIZE), minval=1e-6), np.float64)
    radius = -6.0 * np.log(u[0] * u[1])
    x, y = radius * np.cos(2 * np.pi * u[2]), radius * np.sin(2 * np.pi * u[2])
    depth = N_LAYERS * (0.5 + 0.6 * (u[3] - 0.5))  # the first and last layers stay empty
    e = 0.005 + 0.5 * np.log(np.asarray(jax.random.uniform(energy, (SIZE,), minval=1e-6))) ** 2
    points = np.stack([x, y, depth, e], axis=1).astype(np.float32)

    shares = np.asarray(jax.random.dirichlet(layers, jnp.full(N_LAYERS, 4.0)))
    n = int(jax.random.randint(number, (), 200, SIZE - 20))
    counts = np.floor(shares * n).astype(np.float32)
    counts[1] = 0.0
    layer_mev = (counts * (0.1 + 2 * shares)).astype(np.float32)
    centre = 0.5 * np.asarray(jax.random.normal(moved, (2,)))
    return points, Summary(counts, layer_mev, centre)


@pytest.fixture(scope="module")
def showers():
    clouds = [generated(key) for key in jax.random.split(jax.random.key(7), N_CLOUDS)]
    return jax.tree.map(lambda *parts: np.stack(parts), *clouds)


@pytest.fixture(scope="module")
def keys():
    return jax.random.split(jax.random.key(8), N_CLOUDS)


@pytest.fixture(scope="module")
def calibrated(showers, keys):
    return {c: np.asarray(run_batch(keys, *showers, c)) for c in (CONFIG, CONTINUOUS, UNCORRECTED)}


def row(showers, i):
    return jax.tree.map(lambda part: part[i], showers)


def centre_of(cloud):
    exact = np.asarray(cloud, np.float64)
    return exact[:, 3] @ exact[:, :2] / exact[:, 3].sum()


def cells_of(cloud, config=CONFIG):
    """Layer and indices of the cells."""
    cell = np.floor((cloud[:, :2] + config.half_width_mm) / config.cell_mm)
    return np.column_stack([cloud[:, 2], cell]).astype(int)


def n_shared(cloud, config=CONFIG):
    """Points beyond the first of their cell."""
    return len(cloud) - len(np.unique(cells_of(cloud, config), axis=0))


def twin(key, points, summary, config):
    """Sorts and dictionaries, in double precision; without corrections of the centre."""
    counts = np.asarray(summary.n_points).astype(int)
    n, threshold = counts.sum(), config.threshold_mev
    cloud = np.asarray(points, np.float64)[:n]
    cloud = np.array(sorted(cloud.tolist(), key=lambda point: point[2]))
    cloud[:, 2] = [layer for layer, count in enumerate(counts) for _ in range(count)]
    for layer in np.flatnonzero(counts):
        members = cloud[:, 2] == layer
        above = np.maximum(cloud[members, 3] - threshold, 0.0)
        spare = float(summary.energy_mev[layer]) - counts[layer] * threshold
        cloud[members, 3] = threshold + spare * above / above.sum()
    cloud[:, :2] += np.asarray(summary.centre_mm, np.float64) - centre_of(cloud)
    if not config.distinct_cells:
        return cloud

    start = np.asarray(jax.random.uniform(key, (len(points),)), np.float32)
    offsets, sizes = _neighbourhoods(config.n_tries, config.n_side)
    first, place, owner = cells_of(cloud), {}, {}
    for k in range(config.n_tries):
        wishes = {}
        for i in np.argsort(cloud[:, 3], kind="stable"):
            if i in place:
                continue
            fraction = (start[i] + np.float32(k * _GOLDEN % 1.0)) % np.float32(1)
            index = min(1 + int(fraction * np.float32(sizes[k] - 1)), sizes[k] - 1)
            cell = (first[i, 0], *(first[i, 1:] + offsets[index]))
            assert 0 <= min(cell) <= max(cell) < config.n_side  # nothing to reflect
            if cell not in owner:
                wishes[cell] = i  # the most energetic comes last
        owner.update(wishes)
        place.update({i: cell for cell, i in wishes.items()})
    cells = np.array([place[i][1:] for i in range(n)])
    cloud[:, :2] = (cells + 0.5) * config.cell_mm - config.half_width_mm
    return cloud


@pytest.mark.parametrize("config", [CONTINUOUS, UNCORRECTED])
def test_agrees_with_the_slow_twin(config, showers, keys, calibrated):
    for i in range(N_CLOUDS):
        expected = twin(keys[i], *row(showers, i), config)
        found = calibrated[config][i, : len(expected)]
        np.testing.assert_array_equal(found[:, 2], expected[:, 2])
        np.testing.assert_allclose(found[:, 3], expected[:, 3], rtol=2e-5)
        np.testing.assert_allclose(found[:, :2], expected[:, :2], atol=250 * MOST)


@pytest.mark.parametrize("config", [CONFIG, CONTINUOUS, UNCORRECTED])
def test_counts_and_energies_are_exact(config, showers, calibrated):
    for i, cloud in enumerate(calibrated[config]):
        _, summary = row(showers, i)
        n = int(summary.n_points.sum())
        assert np.isfinite(cloud).all()
        np.testing.assert_array_equal(cloud[n:], 0.0)
        layer = cloud[:n, 2].astype(int)
        np.testing.assert_array_equal(np.bincount(layer, minlength=N_LAYERS), summary.n_points)
        energy = np.bincount(layer, cloud[:n, 3].astype(np.float64), minlength=N_LAYERS)
        np.testing.assert_allclose(energy, summary.energy_mev, rtol=2e-6)
        assert cloud[:n, 3].min() >= np.float32(config.threshold_mev)
        if not config.distinct_cells:
            np.testing.assert_allclose(centre_of(cloud), summary.centre_mm, atol=250 * MOST)
            continue
        assert n_shared(cloud[:n]) == 0
        on_grid = cloud[:n, :2] / 2.5 + 0.5
        np.testing.assert_array_equal(on_grid, np.round(on_grid))


def test_the_clouds_of_these_tests_need_the_calibration(showers):
    """They share cells, have other layers, and energies below threshold."""
    for i in range(N_CLOUDS):
        points, summary = row(showers, i)
        real = points[: int(summary.n_points.sum())].copy()
        real[:, 2] = np.floor(real[:, 2])
        assert n_shared(real) > 5
        assert (np.bincount(real[:, 2].astype(int), minlength=N_LAYERS) != summary.n_points).any()
        assert (real[:, 3] < 0.01).any()


def test_corrections_centre_a_cloud_by_steps_of_one_cell(showers, calibrated):
    missed, uncorrected = [], []
    for i in range(N_CLOUDS):
        _, summary = row(showers, i)
        n = int(summary.n_points.sum())
        before, after = calibrated[UNCORRECTED][i], calibrated[CONFIG][i]
        np.testing.assert_array_equal(after[:, 2:], before[:, 2:])
        steps = np.abs(after - before)[:n, :2] / 2.5
        assert steps.max() <= CONFIG.n_corrections
        assert 0 < (steps > 0).any(axis=1).mean() < 0.5
        missed.append(np.abs(centre_of(after) - summary.centre_mm))
        uncorrected.append(np.abs(centre_of(before) - summary.centre_mm))
    assert np.mean(missed) < 0.01
    assert np.mean(missed) < 0.1 * np.mean(uncorrected)


def test_the_most_energetic_of_a_cell_stays(showers, calibrated):
    cloud, before = calibrated[UNCORRECTED], calibrated[CONTINUOUS]
    n_moved = 0
    for i in range(N_CLOUDS):
        n = int(row(showers, i)[1].n_points.sum())
        first, last = cells_of(before[i, :n]), cells_of(cloud[i, :n])
        _, group = np.unique(first, axis=0, return_inverse=True)
        stays = (first == last).all(axis=1)
        for members in (np.flatnonzero(group.ravel() == g) for g in range(group.max() + 1)):
            assert stays[members].sum() == 1
            assert (cloud[i, members, 3] <= cloud[i, members[stays[members]], 3]).all()
            n_moved += len(members) - 1
        distance = np.hypot(*(last - first)[:, 1:].T)
        assert np.median(distance[~stays]) <= 2.0
        assert distance.max() < 12
    assert n_moved > 100


def check_same(found, expected):
    """But for the points that correct the centre, which rounding may exchange."""
    np.testing.assert_allclose(found[:, 2:], expected[:, 2:], rtol=2e-6)
    differ = np.abs(found - expected)[:, :2].max(axis=1) > 250 * MOST
    assert differ.mean() < 0.05


def test_jit_and_vmap_change_nothing(showers, keys, calibrated):
    check_same(run(keys[2], *row(showers, 2), CONFIG), calibrated[CONFIG][2])
    slow = calibrate(keys[2], *row(showers, 2), CONTINUOUS)
    np.testing.assert_allclose(slow, calibrated[CONTINUOUS][2], rtol=2e-6, atol=250 * MOST)


def test_the_order_of_the_rows_changes_nothing(showers, keys):
    points, summary = row(showers, 3)
    n = int(summary.n_points.sum())
    mixed = points.copy()
    mixed[:n] = points[np.asarray(jax.random.permutation(jax.random.key(9), n))]
    mixed[n:] = -1e30  # rows behind the real ones hold anything
    expected = run(keys[3], points, summary, CONFIG)
    np.testing.assert_array_equal(run(keys[3], mixed, summary, CONFIG), expected)


def test_padding_changes_nothing(showers, keys, calibrated):
    points, summary = row(showers, 3)
    longer = np.concatenate([points, np.zeros((64, 4), np.float32)])
    found = np.asarray(run(keys[3], longer, summary, UNCORRECTED))
    expected = calibrated[UNCORRECTED][3]
    np.testing.assert_allclose(found[:SIZE], expected, rtol=2e-6, atol=250 * MOST)
    np.testing.assert_array_equal(found[SIZE:], 0.0)


def test_layers_without_enough_energy_share_it_equally():
    """All at threshold; less energy than thresholds; exactly the thresholds; none at all."""
    points = np.zeros((16, 4), np.float32)
    points[:, 2] = np.arange(16) / 4
    points[:, 3] = [0.01] * 4 + [1.0, 2.0, 3.0, 4.0] + [0.01, 0.5, 0.01, 0.01] + [1.0] * 4
    summary = Summary(np.full(4, 4.0), np.float32([2.0, 0.02, 0.04, 0.0]), np.zeros(2))
    found = np.asarray(run(jax.random.key(0), points, summary, CONTINUOUS))[:, 3].reshape(4, 4)
    expected = [[0.5] * 4, [0.005] * 4, [0.01] * 4, [0.0] * 4]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_an_empty_cloud_stays_empty(showers):
    points, summary = row(showers, 0)
    nothing = Summary(*(np.zeros_like(part) for part in summary))
    for config in (CONFIG, CONTINUOUS):
        found = run(jax.random.key(0), points, nothing, config)
        np.testing.assert_array_equal(found, 0.0)


@pytest.mark.parametrize("place", [(0.0, 0.0), (249.9, -249.9), (1e4, 0.0)])
def test_a_thousand_points_in_one_cell_find_room(place):
    """In the middle, in a corner, where a quarter of the neighbours exists, and off the grid."""
    points = np.zeros((1000, 4), np.float32)
    points[:, :2] = place
    points[:, 3] = 0.1 + np.asarray(jax.random.uniform(jax.random.key(1), (1000,)))
    summary = Summary(np.float32([0, 1000]), np.float32([0, 500]), np.float32(place))
    config = UNCORRECTED
    found = np.asarray(run(jax.random.key(0), points, summary, config))
    assert n_shared(found) == 0
    assert np.abs(found[:, :2]).max() <= 248.75
    np.testing.assert_allclose(found[:, 3].sum(), 500, rtol=2e-6)


def test_more_points_than_cells_share_cells():
    config = dataclasses.replace(CONFIG, half_width_mm=5.0)
    points = np.zeros((40, 4), np.float32)
    points[:, 3] = 1.0 + np.arange(40)
    summary = Summary(np.float32([40]), np.float32([80]), np.zeros(2, np.float32))
    found = np.asarray(run(jax.random.key(0), points, summary, config))
    assert n_shared(found, config) == 40 - 16
    assert np.abs(found[:, :2]).max() == 3.75
    np.testing.assert_allclose(found[:, 3].sum(), 80, rtol=2e-6)


def test_neighbourhoods_grow_by_whole_rings():
    offsets, sizes = _neighbourhoods(36, 200)
    assert (sizes[0], sizes[1], len(offsets)) == (1, 5, sizes[-1])
    assert (np.diff(sizes) >= 0).all()
    assert len(np.unique(offsets, axis=0)) == len(offsets)
    for size in sizes[:20]:
        members = set(map(tuple, offsets[:size].tolist()))
        assert members == {(y, -x) for x, y in members} == {(-x, y) for x, y in members}
        reach = (offsets[:size] ** 2).sum(axis=1).max()
        assert size == len(offsets) or (offsets[size] ** 2).sum() > reach


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cell_mm": 0.0}, "expected cell_mm > 0"),
        ({"half_width_mm": 251.0}, "whole number of cells, found 200.8"),
        ({"n_tries": 0}, "expected n_tries >= 1"),
    ],
)
def test_what_makes_no_grid_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        CloudCalibration(**change)
