"""The whole comparison, on the Geant4 showers that come with the package."""

import json
import math

import jax
import numpy as np
import pytest

from jaxcalo.data import Showers, read_showers, sample_path
from jaxcalo.errors import InputError
from jaxcalo.geometry import load_geometry
from jaxcalo.metrics import OBSERVABLES, condense, evaluate, verdict
from jaxcalo.metrics.evaluation import agrees

DETECTOR = load_geometry("par04_lite")
TEST = read_showers(sample_path("par04_lite_test"))
TRAIN = read_showers(sample_path("par04_lite_train"))


def _smeared(showers, width):
    noise = jax.random.normal(jax.random.key(5), showers.voxel_energy_mev.shape)
    factor = np.asarray(jax.numpy.exp(width * noise))
    return Showers(showers.incident_energy_mev, showers.voxel_energy_mev * factor)


@pytest.fixture(scope="module")
def reference():
    return condense([TEST], DETECTOR, source="test")


@pytest.fixture(scope="module")
def same(reference):
    return evaluate(reference, condense([TRAIN], DETECTOR, source="train"), DETECTOR)


@pytest.fixture(scope="module")
def smeared(reference):
    return evaluate(reference, condense([_smeared(TRAIN, 0.5)], DETECTOR), DETECTOR)


def test_other_showers_of_the_same_simulation_agree(same):
    for name, score in same.observables.items():
        error = math.hypot(score.w1.error, score.floor.error)
        assert score.w1.value < score.floor.value + 3 * error, name
        assert 0 < score.floor.value < 0.2, name
    assert agrees(same)
    assert verdict(same).startswith("All 8 observables agree")
    assert same.incident_energy.agrees


def test_smeared_cells_are_seen_where_they_matter(same, smeared):
    for name in ("e_ratio", "e_cell"):
        assert not smeared.observables[name].agrees, name
        assert smeared.observables[name].w1.value > 2 * same.observables[name].w1.value
        assert smeared.observables[name].floor == same.observables[name].floor
    assert smeared.separation["e_ratio"].value > 2 * same.separation["e_ratio"].value
    assert not agrees(smeared)
    n = sum(not score.agrees for score in smeared.observables.values())
    assert verdict(smeared).startswith(f"{8 - n} of 8 observables agree")
    assert "the farthest is e_ratio" in verdict(smeared)


def test_a_sample_compared_with_itself_is_at_distance_zero(reference):
    found = evaluate(reference, reference, DETECTOR)
    for score in (*found.observables.values(), found.incident_energy):
        assert score.w1.value == score.w1.error == 0
    assert all(s.value == 0 for s in found.separation.values())
    assert found.correlation.frobenius == 0
    np.testing.assert_array_equal(found.longitudinal.reference, found.longitudinal.generated)


def test_profiles_are_means_of_the_showers(same):
    grid = TEST.voxel_energy_mev.reshape(-1, *DETECTOR.grid_shape).astype(float)
    np.testing.assert_allclose(
        same.longitudinal.reference, grid.sum(axis=(2, 3)).mean(axis=0), rtol=1e-5
    )
    area = np.pi * np.diff(np.square(DETECTOR.layers[0].r_edges_mm))
    np.testing.assert_allclose(
        same.radial.reference, grid.sum(axis=(1, 2)).mean(axis=0) / area, rtol=1e-5
    )
    error = grid.sum(axis=(2, 3)).std(axis=0, ddof=1) / np.sqrt(len(grid))
    np.testing.assert_allclose(same.longitudinal.reference_error, error, rtol=1e-5)


def test_json_is_strict_and_has_the_promised_keys(same):
    numbers = json.loads(json.dumps(same.to_json(), allow_nan=False))
    assert tuple(numbers["observables"]) == OBSERVABLES
    for name, score in numbers["observables"].items():
        assert set(score) == {"w1", "floor"}
        for estimate in score.values():
            assert set(estimate) == {"value", "error"}
        assert score["w1"]["value"] == same.observables[name].w1.value
    for name, power in numbers["separation"].items():
        assert set(power) == {"value", "floor", "floor_error"}
        assert power["value"] == same.separation[name].value
    assert numbers["n_showers"] == {"reference": 800, "generated": 2728}
    assert numbers["files"] == {"reference": "test", "generated": "train"}
    assert numbers["geometry"]["name"] == "par04_lite"
    assert numbers["threshold_mev"] == 0.01515
    assert numbers["jaxcalo_version"]


def test_a_dead_generator_gets_finite_bad_numbers(reference):
    dead = Showers(TEST.incident_energy_mev, np.zeros_like(TEST.voxel_energy_mev))
    found = evaluate(reference, condense([dead], DETECTOR), DETECTOR)
    json.dumps(found.to_json(), allow_nan=False)
    assert not any(found.observables[name].agrees for name in ("e_ratio", "n_hits", "e_cell"))
    assert found.separation["e_layer"].value == 1
    np.testing.assert_array_equal(found.correlation.generated, np.eye(15))


def test_few_generated_showers_are_not_condemned_for_being_few(reference):
    few = Showers(TRAIN.incident_energy_mev[:40], TRAIN.voxel_energy_mev[:40])
    found = evaluate(reference, condense([few], DETECTOR), DETECTOR)
    far = [name for name, score in found.observables.items() if not score.agrees]
    assert far == []


def test_other_incident_energies_are_noticed(reference):
    high = TRAIN.incident_energy_mev > 5e3
    showers = Showers(TRAIN.incident_energy_mev[high], TRAIN.voxel_energy_mev[high])
    assert not evaluate(reference, condense([showers], DETECTOR), DETECTOR).incident_energy.agrees


def test_samples_that_cannot_be_compared_are_refused(reference):
    few = Showers(TRAIN.incident_energy_mev[:19], TRAIN.voxel_energy_mev[:19])
    with pytest.raises(InputError, match=r"generated sample memory: .* at least 20 showers.* 19"):
        evaluate(reference, condense([few], DETECTOR), DETECTOR)
    with pytest.raises(InputError, match=r"thresholds of 0\.01515 and 1 MeV"):
        evaluate(reference, condense([TRAIN], DETECTOR, threshold_mev=1.0), DETECTOR)
    with pytest.raises(InputError, match="has 720 voxels, geometry 'ds2' has 6480"):
        evaluate(reference, reference, load_geometry("ds2"))
    silent = condense([TEST], DETECTOR, threshold_mev=1e9)
    with pytest.raises(InputError, match="no voxel reaches the threshold"):
        evaluate(silent, silent, DETECTOR)
