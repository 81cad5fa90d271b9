from itertools import pairwise

import jax
import numpy as np
import pytest

from jaxcalo.data.toy_clouds import toy_clouds
from jaxcalo.errors import InputError
from jaxcalo.geometry import CartesianLayer, Detector
from jaxcalo.geometry.points import Cells
from jaxcalo.metrics import (
    OBSERVABLES,
    are_paired,
    cloud_features,
    fit_cloud_binning,
    observe_clouds,
    project_clouds,
)
from jaxcalo.metrics.cloud_observables import CloudBinning

EDGES = tuple(np.arange(-60, 61, 5.0).tolist())
DETECTOR = Detector(
    "ecal", "photon", 22, tuple(CartesianLayer(i, EDGES, EDGES) for i in range(30)), 0.1
)


@pytest.fixture(scope="module")
def clouds():
    return toy_clouds(jax.random.key(0), 80, mean_points=120)


@pytest.fixture(scope="module")
def binning(clouds):
    return fit_cloud_binning(project_clouds([clouds], DETECTOR).cells)


def cells_of(layer, x, y=None, energy=None):
    n = len(layer)
    y = np.zeros(n) if y is None else y
    energy = np.ones(n) if energy is None else energy
    return Cells(np.zeros(n, int), np.asarray(layer), np.asarray(x), y, energy)


def test_observables_equal_a_loop_over_showers(clouds, binning):
    sample = observe_clouds([clouds], DETECTOR, binning)
    first = 0
    layers = [*binning.first_layer, 30]
    radii = [*binning.inner_radius_mm, np.inf]
    for i in (0, 7, 79):
        first = int(clouds.n_points[:i].sum())
        cells = {}
        for x, y, layer, energy in clouds.points[first : first + clouds.n_points[i]].astype(float):
            if abs(x) < 60 and abs(y) < 60:
                place = (int(layer), np.floor(x / 5) * 5 + 2.5, np.floor(y / 5) * 5 + 2.5)
                cells[place] = cells.get(place, 0) + energy
        cells = [(*place, energy) for place, energy in cells.items() if energy >= 0.1]
        total = sum(e for *_, e in cells)
        expected = {
            "n_hits": [len(cells)],
            "e_ratio": [total / clouds.incident_energy_mev[i]],
            "e_long": [
                sum(e for k, _, _, e in cells if low <= k < high) for low, high in pairwise(layers)
            ],
            "e_radial": [
                sum(e for _, x, y, e in cells if low <= np.hypot(x, y) < high)
                for low, high in pairwise(radii)
            ],
            "centre_x": [sum(x * e for _, x, _, e in cells) / total],
            "centre_y": [sum(y * e for _, _, y, e in cells) / total],
            "centre_z": [sum(k * e for k, _, _, e in cells) / total],
        }
        for name, values in expected.items():
            np.testing.assert_allclose(
                sample.values[name].values[i], values, rtol=1e-5, atol=1e-5, err_msg=name
            )
        own = sample.values["e_cell"].values[sample.values["e_cell"].shower == i, 0]
        np.testing.assert_allclose(np.sort(own), np.sort([e for *_, e in cells]), rtol=1e-5)


def test_names_and_features_are_those_of_the_paper(clouds, binning):
    sample = observe_clouds([clouds], DETECTOR, binning)
    assert tuple(sample.values) == OBSERVABLES
    features = cloud_features(sample)
    assert features.shape == (80, 25)
    np.testing.assert_array_equal(features[:, 3], sample.values["n_hits"].values[:, 0])
    np.testing.assert_allclose(features[:, 5:15].sum(axis=1), features[:, 15:].sum(axis=1))


def test_parts_of_any_size_give_the_same_observables(clouds, binning):
    whole = observe_clouds([clouds], DETECTOR, binning, max_cells=1000)
    parts = [clouds.rows(slice(0, 3)), clouds.rows(slice(3, 80))]
    cut = observe_clouds(parts, DETECTOR, binning, max_cells=1000)
    for name in OBSERVABLES:
        np.testing.assert_array_equal(cut.values[name].values, whole.values[name].values)
        np.testing.assert_array_equal(cut.values[name].shower, whole.values[name].shower)


def test_cells_are_thinned_evenly(clouds, binning):
    everything = observe_clouds([clouds], DETECTOR, binning).values["e_cell"]
    n = len(everything.values)
    thinned = observe_clouds([clouds], DETECTOR, binning, max_cells=n // 3).values["e_cell"]
    np.testing.assert_array_equal(thinned.values, everything.values[::4])
    np.testing.assert_array_equal(thinned.shower, everything.shower[::4])


def test_groups_of_layers_hold_a_tenth_of_the_cells():
    layer = np.repeat(np.arange(30), 10)
    binning = fit_cloud_binning(cells_of(layer, np.ones(300)))
    # 300 cells: the thirtieth is in layer 2, with which the second group begins
    np.testing.assert_array_equal(binning.first_layer, [0, 2, 5, 8, 11, 14, 17, 20, 23, 26])
    np.testing.assert_array_equal(
        binning.group(np.array([0, 1, 2, 25, 26, 29])), [0, 0, 1, 8, 9, 9]
    )


def test_rings_hold_a_tenth_of_the_sum_of_radii():
    # of uniform radii below 1 the sum below r is r^2: the deciles are the roots of k / 10
    radius = (np.arange(200_000) + 0.5) / 200_000
    angle = np.arange(200_000) * 2.4
    x, y = 7 + radius * np.cos(angle), -2 + radius * np.sin(angle)
    cells = cells_of(np.zeros(200_000, int), x, y)
    binning = fit_cloud_binning(cells, axis_mm=(7.0, -2.0))
    np.testing.assert_allclose(binning.inner_radius_mm, np.sqrt(np.arange(10) / 10), atol=1e-5)
    counts = np.bincount(binning.ring(cells)) / 200_000
    np.testing.assert_allclose(counts, np.diff(np.sqrt(np.arange(11) / 10)), atol=1e-4)
    assert np.all(binning.first_layer == [0])


def test_published_edges_put_layers_and_cells_where_the_paper_does():
    paper = CloudBinning(
        np.array([0, 8, 11, 13, 15, 16, 18, 19, 21, 24]),
        np.array([0, 6.558, 9.849, 12.96, 17.028, 23.434, 33.609, 40.119, 48.491, 68.808]),
        (0.0, 40.0),
    )
    np.testing.assert_array_equal(paper.group(np.array([7, 8, 18, 24, 29])), [0, 1, 6, 9, 9])
    x = np.array([0.0, 6.5, 6.6, 68.8, 68.9, 500])
    found = paper.ring(cells_of(np.zeros(6, int), x, np.full(6, 40.0)))
    np.testing.assert_array_equal(found, [0, 0, 1, 8, 9, 9])


def test_a_shower_without_cells_is_zero_and_no_error(clouds, binning):
    sample = observe_clouds([clouds], DETECTOR, binning, threshold_mev=1e6)
    assert all(np.all(values.values == 0) for values in sample.values.values())
    assert sample.values["e_cell"].values.shape == (0, 1)
    assert sample.n_showers == 80
    assert sample.threshold_mev == 1e6


def test_pairs_are_recognised_by_their_energies(clouds, binning):
    sample = observe_clouds([clouds], DETECTOR, binning)
    few = observe_clouds([clouds.rows(slice(0, 30))], DETECTOR, binning)
    again = observe_clouds([clouds, clouds.rows(slice(0, 30))], DETECTOR, binning)
    other = observe_clouds([clouds.rows(slice(1, 80))], DETECTOR, binning)
    rounded = clouds._replace(
        incident_energy_mev=np.nextafter(clouds.incident_energy_mev, np.float32(0))
    )
    assert are_paired(sample, few)
    assert are_paired(sample, again)
    assert are_paired(sample, observe_clouds([rounded], DETECTOR, binning))
    assert not are_paired(sample, other)


def test_what_a_user_can_mend_is_said(clouds, binning):
    with pytest.raises(InputError, match="no cell at or above the threshold"):
        fit_cloud_binning(project_clouds([clouds], DETECTOR, 1e6).cells)
    with pytest.raises(InputError, match="nothing: expected at least one shower"):
        observe_clouds([], DETECTOR, binning, source="nothing")
