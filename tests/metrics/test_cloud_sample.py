import jax
import numpy as np
import pytest

from jaxcalo.data import CloudWriter, Showers, open_clouds
from jaxcalo.data.toy_clouds import toy_clouds
from jaxcalo.errors import InputError
from jaxcalo.geometry import CartesianLayer, Detector, PolarLayer
from jaxcalo.geometry.points import project_voxels
from jaxcalo.metrics import condense, condense_clouds, evaluate, project_clouds


def edges(half, step):
    return tuple(np.arange(-half, half + step / 2, step).tolist())


# layers of different cells, one of them off the axis, and one without a direction
DETECTOR = Detector(
    "mixed",
    "photon",
    22,
    (
        CartesianLayer(0, edges(40, 5), edges(40, 5)),
        CartesianLayer(1, edges(45, 7.5), edges(30, 4)),
        CartesianLayer(2, (-10.0, 0.0, 3.0, 30.0), edges(40, 5)),
        CartesianLayer(3, (-50.0, 50.0), (-50.0, 50.0)),
    ),
    1.0,
)


@pytest.fixture(scope="module")
def clouds():
    return toy_clouds(jax.random.key(0), 60, n_layers=4, mean_points=60)


def dense(clouds, **options):
    energy = project_voxels(clouds.points, clouds.shower, DETECTOR, clouds.n_showers, 0)
    return condense([Showers(clouds.incident_energy_mev, energy)], DETECTOR, **options)


def assert_equal(found, expected):
    leaves = zip(jax.tree.leaves(found.moments), jax.tree.leaves(expected.moments), strict=True)
    for a, b in leaves:
        assert a.shape == b.shape
        # a width is the root of a difference of sums: rounding of 1e-15 becomes 1e-7 of it
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=2e-6)
    np.testing.assert_array_equal(found.cells.energy_mev, expected.cells.energy_mev)
    np.testing.assert_array_equal(found.cells.shower, expected.cells.shower)
    np.testing.assert_array_equal(found.spectrum, expected.spectrum)
    np.testing.assert_array_equal(found.incident_energy_mev, expected.incident_energy_mev)
    np.testing.assert_allclose(found.mean_shower_mev, expected.mean_shower_mev, rtol=1e-12)


@pytest.mark.parametrize("threshold", [None, 0.0, 3.0])
def test_a_condensed_cloud_is_its_condensed_projection(clouds, threshold):
    found = condense_clouds([clouds], DETECTOR, threshold)
    assert_equal(found, dense(clouds, threshold_mev=threshold))
    assert found.threshold_mev == (1.0 if threshold is None else threshold)
    assert found.moments.features.width_x_mm.max() > 5


def test_showers_without_cells_stay_empty_showers(clouds):
    threshold = float(dense(clouds).cells.energy_mev.max()) * 0.7
    found = condense_clouds([clouds], DETECTOR, threshold)
    assert_equal(found, dense(clouds, threshold_mev=threshold))
    assert 0 < (found.moments.n_hits > 0).sum() < 60
    assert found.n_showers == 60


def test_parts_and_files_give_the_same_sample(clouds, tmp_path):
    whole = condense_clouds([clouds], DETECTOR)
    parts = [clouds.rows(slice(0, 1)), clouds.rows(slice(1, 30)), clouds.rows(slice(30, 60))]
    assert_equal(condense_clouds(parts, DETECTOR), whole)
    with CloudWriter(tmp_path / "clouds.h5", int(clouds.n_points.max())) as writer:
        writer.append(clouds)
    with open_clouds(tmp_path / "clouds.h5") as file:
        read = condense_clouds(file, DETECTOR)
    assert read.source.endswith("clouds.h5")
    np.testing.assert_allclose(
        read.moments.features.e_layer_mev, whole.moments.features.e_layer_mev, rtol=1e-5
    )


def test_projected_parts_are_numbered_on(clouds):
    whole = project_clouds([clouds], DETECTOR)
    parts = project_clouds([clouds.rows(slice(0, 25)), clouds.rows(slice(25, 60))], DETECTOR)
    assert parts.n_showers == 60
    for a, b in zip(parts.cells, whole.cells, strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.all(np.diff(parts.cells.shower) >= 0)


def test_the_whole_evaluation_runs_on_clouds(clouds):
    other = toy_clouds(jax.random.key(1), 60, n_layers=4, mean_points=90)
    layers = tuple(CartesianLayer(i, edges(40, 10), edges(40, 10)) for i in range(4))
    detector = Detector("regular", "photon", 22, layers, 0.1)
    reference, generated = (condense_clouds([c], detector) for c in (clouds, other))
    found = evaluate(reference, generated, detector)
    assert found.n_showers == (60, 60)
    # half as many points again: n_hits is off by far more than the floor, the centre is not
    assert not found.observables["n_hits"].agrees
    assert found.observables["centre_x"].agrees


def test_what_a_user_can_mend_is_said(clouds):
    with pytest.raises(InputError, match="empty list: expected at least one shower"):
        condense_clouds([], DETECTOR, source="empty list")
    with pytest.raises(InputError, match="memory: expected at least one shower"):
        project_clouds([clouds.rows(slice(0, 0))], DETECTOR)
    bad = clouds._replace(incident_energy_mev=clouds.incident_energy_mev * 0)
    with pytest.raises(InputError, match="memory: incident energy of shower 60 must be positive"):
        condense_clouds([clouds, bad], DETECTOR)
    polar = Detector("polar", "photon", 22, (PolarLayer(0, (0, 5, 10), 4),))
    with pytest.raises(InputError, match="polar"):
        condense_clouds([clouds], polar)
