"""The hit calibration: known curves come back, and a corrected summary keeps its promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcalo.errors import InputError
from jaxcalo.preprocess import (
    HitCalibration,
    Summary,
    calibrated_number,
    calibrated_summary,
    fit_hit_calibration,
)

THRESHOLD = 0.01


def fitted(reference_share, generated_share, n=200):
    """Monte Carlo hits a share of its points, a model another."""
    points = np.linspace(300.0, 2000.0, n)
    return fit_hit_calibration(points, reference_share(points), points, generated_share(points))


def test_equal_clouds_stay_as_they_are():
    same = fitted(lambda n: 0.5 * n + 20, lambda n: 0.5 * n + 20)
    found = calibrated_number(same, jnp.asarray([300.0, 777.0, 2000.0]))
    np.testing.assert_array_equal(found, [300, 777, 2000])


def test_a_model_with_too_many_hits_makes_fewer_points():
    calibration = fitted(lambda n: 0.5 * n, lambda n: 0.6 * n)
    found = calibrated_number(calibration, jnp.asarray([600.0, 1200.0]))
    np.testing.assert_array_equal(found, [500, 1000])


def test_curved_relations_are_inverted():
    """Points that merge the more, the more there are: hits = N (1 - N / 10000)."""
    calibration = fitted(lambda n: 0.6 * n, lambda n: n * (1 - n / 1e4) * 0.7)
    n = np.asarray([500.0, 1000.0, 1800.0])
    wanted = np.asarray(calibrated_number(calibration, jnp.asarray(n)))
    np.testing.assert_allclose(wanted * (1 - wanted / 1e4) * 0.7, 0.6 * n, rtol=2e-3)


def test_outside_the_fit_a_number_changes_by_half_at_most():
    wild = HitCalibration(np.asarray([0.0, 0.0, 9.0, 0.0]), np.asarray([0.0, 0.0, 9.0, 0.0]))
    assert calibrated_number(wild, jnp.asarray(100.0)) == 150
    nothing = HitCalibration(np.zeros(4), np.zeros(4))
    assert calibrated_number(nothing, jnp.asarray(1.0)) == 1
    assert calibrated_number(nothing, jnp.asarray(90.0)) == 60


@pytest.mark.parametrize("share", [0.45, 0.5, 0.62])
def test_a_corrected_summary_has_the_points_and_all_the_energy(share):
    calibration = fitted(lambda n: share * n, lambda n: 0.5 * n)
    counts = jnp.asarray([0.0, 1.0, 1.0, 40.0, 300.0, 200.0, 3.0, 0.0])
    energy = jnp.where(counts > 0, 0.02 * counts + jnp.arange(8.0), 0.0)
    summary = Summary(counts, energy, jnp.asarray([0.1, -0.2]))
    found = jax.jit(
        lambda s: calibrated_summary(calibration, s, max_points=600, threshold_mev=THRESHOLD)
    )(summary)
    wanted = min(round(545 * share / 0.5), 600)
    assert float(found.n_points.sum()) == pytest.approx(wanted, abs=1)
    np.testing.assert_array_equal(found.n_points, np.round(found.n_points))
    np.testing.assert_allclose(found.energy_mev.sum(), energy.sum(), rtol=1e-5)
    assert (np.asarray(found.energy_mev) >= THRESHOLD * np.asarray(found.n_points)).all()
    assert (np.asarray(found.energy_mev)[np.asarray(found.n_points) == 0] == 0).all()
    np.testing.assert_allclose(found.n_points[3:6], counts[3:6] * wanted / 545, atol=2)
    np.testing.assert_array_equal(found.centre_mm, summary.centre_mm)


def test_too_few_showers_are_refused():
    few = np.arange(1.0, 11.0)
    with pytest.raises(InputError, match="20 showers or more of each sample, found 10 and 10"):
        fit_hit_calibration(few, few, few, few)
