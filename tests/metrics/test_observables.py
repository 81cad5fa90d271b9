import jax
import numpy as np
import pytest

from jaxcalo.data.toy import toy_showers
from jaxcalo.geometry import Detector, PolarLayer, load_geometry
from jaxcalo.metrics import OBSERVABLES, condense, fit_grouping, observables
from jaxcalo.metrics.observables import equal_energy_groups


def test_few_bins_stay_as_they_are():
    np.testing.assert_array_equal(equal_energy_groups(np.array([5.0, 0, 1])), [0, 1, 2])
    np.testing.assert_array_equal(equal_energy_groups(np.ones(10)), np.arange(10))


def test_equal_bins_make_equal_groups():
    np.testing.assert_array_equal(equal_energy_groups(np.ones(30)), np.repeat(np.arange(10), 3))


def test_groups_hold_about_equal_energy():
    depth = np.arange(45) + 0.5
    energy = depth**3 * np.exp(-depth / 3)
    group = equal_energy_groups(energy)
    assert np.all(np.isin(np.diff(group), [0, 1]))
    assert group[0] == 0
    sums = np.bincount(group, energy) / energy.sum()
    # a group misses its tenth by less than the two half bins at its ends
    assert np.all(np.abs(sums - 1 / len(sums)) < energy.max() / energy.sum())


def test_one_bin_with_nearly_all_energy_leaves_fewer_groups_without_gaps():
    energy = np.full(20, 1e-3)
    energy[7] = 1
    group = equal_energy_groups(energy)
    np.testing.assert_array_equal(group, [0] * 7 + [1] + [2] * 12)


@pytest.fixture(scope="module")
def sample():
    layers = tuple(PolarLayer(i, tuple(np.arange(13) * 2.0), 4) for i in range(12))
    detector = Detector("deep", "electron", 11, layers, 0.1)
    showers = toy_showers(jax.random.key(3), detector, 60)
    return detector, showers, condense([showers], detector)


def test_observables_equal_direct_sums(sample):
    detector, showers, condensed = sample
    grouping = fit_grouping(condensed)
    found = observables(condensed, grouping)
    assert tuple(found) == OBSERVABLES
    grid = showers.voxel_energy_mev.reshape(-1, *detector.grid_shape).astype(float)
    grid[grid < 0.1] = 0
    total = grid.sum(axis=(1, 2, 3))
    np.testing.assert_allclose(
        found["e_ratio"].values[:, 0], total / showers.incident_energy_mev, rtol=1e-6
    )
    np.testing.assert_array_equal(found["n_hits"].values[:, 0], (grid > 0).sum(axis=(1, 2, 3)))
    np.testing.assert_allclose(
        found["centre_z"].values[:, 0],
        (grid.sum(axis=(2, 3)) * np.arange(12)).sum(axis=1) / total,
        rtol=1e-6,
    )
    np.testing.assert_array_equal(found["e_cell"].values[:, 0], grid[grid > 0])
    for name, groups, energy in (
        ("e_long", grouping.layer, grid.sum(axis=(2, 3))),
        ("e_radial", grouping.ring, grid.sum(axis=(1, 2))),
    ):
        assert groups.max() < 10
        expected = np.stack(
            [energy[:, groups == g].sum(axis=1) for g in range(groups.max() + 1)], axis=1
        )
        np.testing.assert_allclose(found[name].values, expected, rtol=1e-6, err_msg=name)
        np.testing.assert_allclose(found[name].values.sum(axis=1), total, rtol=1e-6)


def test_select_takes_the_rows_of_the_chosen_showers(sample):
    _, _, condensed = sample
    found = observables(condensed, fit_grouping(condensed))
    member = np.zeros(60, bool)
    member[[2, 50]] = True
    assert set(found["e_cell"].select(member).shower) == {2, 50}
    chosen = found["e_long"].select(member).values
    np.testing.assert_array_equal(chosen, found["e_long"].values[[2, 50]])


def test_crystals_have_one_longitudinal_group_and_no_depth():
    detector = load_geometry("ecal_crystals")
    condensed = condense([toy_showers(jax.random.key(3), detector, 20)], detector)
    found = observables(condensed, fit_grouping(condensed))
    assert found["e_long"].values.shape == (20, 1)
    assert not found["centre_z"].values.any()
    assert found["centre_x"].values.std() > 0
