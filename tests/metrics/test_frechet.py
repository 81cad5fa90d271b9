import jax
import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.optimize import curve_fit

from jaxcalo.data import Showers
from jaxcalo.data.toy import toy_showers
from jaxcalo.errors import InputError
from jaxcalo.geometry import Detector, PolarLayer, load_geometry
from jaxcalo.metrics import condense, fpd, fpd_floor, frechet_distance, high_level_features
from jaxcalo.metrics.frechet import _draw, _fit, _plan


def _normal(seed, n, f):
    return np.asarray(jax.random.normal(jax.random.key(seed), (n, f)), dtype=float)


def _with_moments(seed, n, mean, covariance):
    """A sample whose mean and covariance are exactly these."""
    x = _normal(seed, n, len(mean))
    x -= x.mean(axis=0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
    return x @ np.linalg.cholesky(covariance).T + mean


def _turn(f):
    return np.linalg.qr(_normal(99, f, f))[0]


def test_closed_forms_of_jetnet():
    zeros, twos = np.zeros((100, 2)), np.full((100, 2), 2.0)
    assert frechet_distance(twos, zeros) == 8
    for with_replacement in (False, True):
        found = fpd(twos, zeros, with_replacement=with_replacement)
        np.testing.assert_allclose(found, (2, 0, 100), atol=1e-12)
        assert fpd(twos, twos, with_replacement=with_replacement)[:2] == (0, 0)
        found = fpd(twos, zeros, with_replacement=with_replacement, normalise=False)
        np.testing.assert_allclose(found, (8, 0, 100), atol=1e-12)
    np.testing.assert_allclose(fpd(zeros, twos).value, 8, rtol=1e-12)  # nothing to divide by


def test_normal_samples_with_commuting_covariances():
    a = _with_moments(0, 50, np.zeros(3), np.diag([1.0, 4, 9]))
    b = _with_moments(1, 80, np.array([1.0, 0, -2]), np.diag([4.0, 4, 1]))
    # |mu|^2 + sum of (sigma_a - sigma_b)^2
    np.testing.assert_allclose(frechet_distance(a, b), 5 + 1 + 0 + 4, rtol=1e-12)


def test_full_covariances_against_the_matrix_root():
    a, b = _normal(2, 300, 6) @ _normal(3, 6, 6), _normal(4, 200, 6) @ _normal(5, 6, 6) + 0.3
    c, d = np.cov(a.T), np.cov(b.T)
    shift = a.mean(axis=0) - b.mean(axis=0)
    expected = shift @ shift + np.trace(c + d - 2 * sqrtm(c @ d).real)
    np.testing.assert_allclose(frechet_distance(a, b), expected, rtol=1e-9)


def test_distance_is_symmetric_zero_on_itself_and_blind_to_rotations():
    a, b, turn = _normal(6, 40, 5) * [1, 2, 3, 4, 0.1], _normal(7, 30, 5), _turn(5)
    value = frechet_distance(a, b)
    np.testing.assert_allclose(frechet_distance(b, a), value, rtol=1e-12)
    np.testing.assert_allclose(frechet_distance(a @ turn, b @ turn), value, rtol=1e-12)
    assert 0 <= frechet_distance(a, a) < 1e-7


def test_dead_features_and_fewer_showers_than_features_change_nothing():
    a, b, turn = _normal(8, 9, 4), 2 * _normal(9, 7, 4) + 1, _turn(20)
    dead = [np.hstack([x, np.zeros((len(x), 16))]) for x in (a, b)]
    value = frechet_distance(a, b)
    np.testing.assert_allclose(frechet_distance(*dead), value, rtol=1e-12)
    np.testing.assert_allclose(frechet_distance(*(x @ turn for x in dead)), value, rtol=1e-7)
    assert 0 <= frechet_distance(dead[0] @ turn, dead[0] @ turn) < 1e-7


@pytest.mark.parametrize("intercept", [0.3, 0.0, -0.5])
@pytest.mark.parametrize("slope", [50.0, 0.0, -20.0])
def test_line_fit_equals_bounded_least_squares(intercept, slope):
    sizes = np.rint(1 / np.linspace(1 / 100, 1 / 500, 10))
    noise = 0.02 * _normal(10, 10, 1)[:, 0]
    values = intercept + slope / sizes + noise
    # in units of the largest 1/N the optimiser's two variables are alike in size
    best, covariance = curve_fit(
        lambda x, c, k: c + k * x, 100 / sizes, values, bounds=([0, 0], np.inf)
    )
    found, error = _fit(sizes, values)
    np.testing.assert_allclose(found, best[0], atol=1e-4)
    np.testing.assert_allclose(error, np.sqrt(covariance[0, 0]), rtol=1e-3)


def test_an_exact_line_has_its_intercept_and_no_error():
    sizes = np.array([100, 150, 300, 400])
    np.testing.assert_allclose(_fit(sizes, 0.7 + 3 / sizes), (0.7, 0), atol=1e-12)


def test_fpd_of_shifted_and_scaled_normal_samples():
    a, b = _normal(11, 6000, 3) + 5, 1.5 * _normal(12, 6000, 3) + 5.5
    scale = np.abs(a).max(axis=0)
    expected = np.sum((0.5**2 + 0.5**2) / scale**2)
    found = fpd(a, b)
    # relative error of d^2: 2 sqrt(var/n)/shift for each of three features, 3 sigma
    tolerance = 3 * 2 * np.sqrt((1 + 2.25) / 6000) / np.sqrt(3 * 0.5)
    np.testing.assert_allclose(found.value, expected, rtol=tolerance)
    assert 0 < found.error < tolerance * expected
    assert found.n == 6000


def test_batches_without_replacement_leave_no_bias_of_small_samples():
    a, b = _normal(13, 800, 30), _normal(14, 800, 30)
    scale = np.abs(a).max(axis=0)
    direct = frechet_distance(a / scale, b / scale)
    drawn_again = fpd(a, b, with_replacement=True).value
    np.testing.assert_allclose(drawn_again, direct, rtol=0.15)
    assert fpd(a, b).value < 0.1 * direct


def test_batches_are_rows_of_the_pool_once_or_more():
    key = jax.random.key(0)
    once = _draw(key, 50, _plan(50, None, None, 4, 5, False, 0))
    np.testing.assert_array_equal(np.sort(once, axis=1), np.tile(np.arange(50), (4, 1)))
    assert len(np.unique(once, axis=0)) == 4
    again = _draw(key, 50, _plan(50, 10, 400, 4, 5, True, 0))
    assert again.shape == (4, 400)
    # 400 draws leave one of 50 rows out of a batch with probability 3e-4
    assert again.min() == 0
    assert again.max() == 49


def test_sizes_are_those_of_the_protocol_for_large_files_and_fit_into_small_ones():
    large, small = (_plan(n, None, None, 20, 10, False, 0).sizes for n in (60_000, 800))
    assert (large[0], large[-1], len(large)) == (10_000, 50_000, 10)
    assert (small[0], small[-1]) == (160, 800)
    np.testing.assert_allclose(np.diff(1 / small), -0.8 / 160 / 9, rtol=0.03)


def test_fpd_is_reproducible_and_blind_to_units():
    a, b = _normal(15, 60, 4), _normal(16, 90, 4) + 0.2
    value = fpd(a, b)
    assert value.n == 60
    assert fpd(a, b) == value
    units = np.array([1e-6, 1, 1e3, 1e6])
    np.testing.assert_allclose(fpd(a * units, b * units), value, rtol=1e-9)
    assert fpd(a, b, seed=1).value != value.value


def test_floor_compares_halves_of_the_size_of_the_generated_sample():
    a = _normal(17, 400, 8)
    floor, shifted = fpd_floor(a, n_batches=5), fpd(a, a + 1, n_batches=5)
    assert floor.n == 200
    assert fpd_floor(a, 50, n_batches=5).n == 50
    # the spread of the means of two halves, times 8 features, bounds the floor
    scale = np.abs(a).max(axis=0)
    assert 0 <= floor.value < 2 / 200 * np.sum(1 / scale**2)
    assert floor.value + 5 * floor.error < shifted.value
    np.testing.assert_allclose(shifted.value, np.sum(1 / scale**2), rtol=0.1)


def test_a_whole_table_of_dead_features_has_no_distance():
    assert fpd_floor(np.zeros((40, 3)), n_batches=2)[:2] == (0, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_samples": 31}, "batches of 31 showers without replacement.*found 30"),
        ({"min_samples": 30}, "min_samples < max_samples, found 30 and 30"),
        ({"max_samples": 9}, "found 1 and 9"),
        ({"n_points": 2}, "n_points >= 3, found 20 and 2"),
        ({"n_batches": 0}, "n_batches >= 1"),
    ],
)
def test_impossible_batches_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        fpd(_normal(18, 40, 2), _normal(19, 30, 2), **arguments)


def test_bad_features_are_refused():
    a, b = _normal(20, 40, 2), _normal(21, 40, 2)
    b[[7, 9], 1] = np.nan
    with pytest.raises(InputError, match="others in 2 generated showers, first in shower 7"):
        fpd(a, b)
    with pytest.raises(InputError, match=r"found shapes \(40, 2\) and \(40, 3\)"):
        fpd(a, _normal(22, 40, 3))


@pytest.mark.parametrize(
    ("name", "expected"), [("ds1-photons", 30), ("ds1-pions", 46), ("ds2", 362)]
)
def test_number_of_features_is_the_published_one(name, expected):
    detector = load_geometry(name)
    sample = condense([toy_showers(jax.random.key(0), detector, 2)], detector)
    assert high_level_features(sample).shape == (2, expected)


def test_features_of_a_shower_in_one_voxel():
    layers = (PolarLayer(0, (0, 10), 1), PolarLayer(1, (0, 10, 30), 4))
    detector = Detector("two", "electron", 11, layers)
    energy = np.zeros((2, 9), np.float32)
    energy[0, [0, 2]] = 4, 100  # layer 0; layer 1, first azimuth, radius 20
    energy[1, [1, 7]] = 1, 3
    showers = Showers(np.array([1000.0, 10], np.float32), energy)
    found = high_level_features(condense([showers], detector))
    azimuth = np.pi / 4
    x, y = -0.2 * np.cos(azimuth), -0.2 * np.sin(azimuth)  # azimuth counts from -180 deg
    expected = [3, np.log10(4), 2, x, y, 0, 0, np.log10(104), 0, 7 / 8, 0.05, 0.2, 0, 0]
    np.testing.assert_allclose(found[0], expected, atol=1e-8)
    # the empty layer; 1 MeV at (r, azimuth) = (5, -135 deg), 3 MeV at (5, 135 deg)
    x, y, width = -0.05 * np.cos(azimuth), 0.025 * np.sin(azimuth), 0.05 * np.sin(azimuth)
    expected = [1, -8, np.log10(4), x, y, 0, width * np.sqrt(0.75), np.log10(4), 1, 0.75]
    np.testing.assert_allclose(found[1], [*expected, 0, 0.05, 0, 0], atol=1e-8)
