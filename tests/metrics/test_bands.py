"""Bands of ensembles: members that scatter by a known sigma give it, and cover as promised."""

import numpy as np
import pytest

from jaxcalo.errors import InputError
from jaxcalo.metrics.bands import ONE_SIGMA, band_coverage, error_band, histogram_band, w1_band


def test_many_members_that_scatter_by_sigma_give_sigma():
    members = 5.0 + 2.0 * np.random.default_rng(0).standard_normal((2000, 3))
    mean, half_width = error_band(members)
    np.testing.assert_allclose(mean, 5.0, atol=4 * 2 / np.sqrt(2000))
    np.testing.assert_allclose(half_width, 2.0, rtol=4 / np.sqrt(4000))


def test_two_members_have_their_closed_form():
    """Student's distribution of one degree of freedom is Cauchy's: t = tan(pi p / 2)."""
    mean, half_width = error_band(np.asarray([1.0, 4.0]))
    assert mean == 2.5
    expected = np.tan(np.pi / 2 * ONE_SIGMA) * np.sqrt(1.5) * 3 / np.sqrt(2)
    np.testing.assert_allclose(half_width, expected, rtol=1e-9)


@pytest.mark.parametrize("n_members", [2, 5])
def test_one_more_member_is_in_the_band_as_often_as_promised(n_members):
    draws = np.random.default_rng(1).standard_normal((n_members + 1, 20000))
    mean, half_width = error_band(draws[1:])
    share = np.mean(np.abs(draws[0] - mean) <= half_width)
    assert abs(share - ONE_SIGMA) < 4 * np.sqrt(ONE_SIGMA * (1 - ONE_SIGMA) / 20000)


def test_histogram_of_members():
    members = [np.asarray([0.5, 0.5, 1.5, 9.0]), np.asarray([0.5, 1.5])]
    mean, half_width = histogram_band(members, np.asarray([0.0, 1.0, 2.0, 3.0]))
    np.testing.assert_allclose(mean, [0.5, 0.375, 0.0])
    expected = error_band(np.asarray([[0.5, 0.25], [0.5, 0.5]])[:, 1])[1]
    np.testing.assert_allclose(half_width, [0.0, expected, 0.0])


def test_w1_of_members_shifted_by_known_amounts():
    reference = np.random.default_rng(2).standard_normal(100)
    shifts = np.asarray([0.5, 1.0, 1.5])
    found = w1_band(reference, [reference + s for s in shifts])
    np.testing.assert_allclose(found.value, 1.0, rtol=1e-9)
    np.testing.assert_allclose(found.error, error_band(shifts)[1], rtol=1e-9)
    assert found.n == 100


def shifted(draws, sigma, n, count):
    """Samples of N(m, 1), each of its own m ~ N(0, sigma)."""
    return [sigma * draws.standard_normal() + draws.standard_normal(n) for _ in range(count)]


def test_honest_members_cover_and_too_similar_ones_do_not():
    draws, edges = np.random.default_rng(3), np.linspace(-2, 2, 21)
    honest, alike = [], []
    for _ in range(60):
        truth, *members = shifted(draws, 0.2, 4000, 6)
        honest.append(band_coverage(truth, members, edges).value)
        far = truth + 0.4
        alike.append(band_coverage(far, shifted(draws, 0.0, 4000, 5), edges).value)
    error = np.std(honest) / np.sqrt(60)
    # above ONE_SIGMA by the members' own fluctuations, which count twice
    assert ONE_SIGMA - 4 * error < np.mean(honest) < ONE_SIGMA + 0.15
    assert np.mean(alike) < 0.4


def test_bins_that_are_empty_everywhere_do_not_count():
    values = np.asarray([0.5, 0.5, 1.5, 1.5])
    found = band_coverage(values, [values, values], np.arange(20.0))
    assert found.value == 1.0
    assert found.n == 2
    far = band_coverage(values + 5, [values, values], np.arange(20.0))
    # the members' bins are missed by more than 4 values fluctuate; the truth's are unforeseen
    assert far.value < 0.6
    assert far.n == 4


def test_unusable_members():
    values = np.zeros(3)
    with pytest.raises(InputError, match="at least 2 members"):
        histogram_band([values], np.asarray([0.0, 1.0]))
    with pytest.raises(InputError, match="other edges"):
        band_coverage(values, [values, values], np.asarray([1.0, 2.0]))
