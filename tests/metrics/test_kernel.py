import math

import jax
import numpy as np
import pytest

from jaxcalo.errors import InputError
from jaxcalo.metrics import kernel_distance, kpd, kpd_floor


def _normal(seed, n, f):
    return np.asarray(jax.random.normal(jax.random.key(seed), (n, f)), dtype=float)


def _kernel(x, y):
    return (sum(a * b for a, b in zip(x, y, strict=True)) / len(x) + 1) ** 4


def _slow_distance(first, second):
    """Equation (2) with a loop over pairs and exact sums."""
    n, m = len(first), len(second)
    same = [_kernel(first[i], first[j]) for i in range(n) for j in range(n) if i != j]
    other = [_kernel(second[i], second[j]) for i in range(m) for j in range(m) if i != j]
    mixed = [_kernel(x, y) for x in first for y in second]
    return (
        math.fsum(same) / (n * (n - 1))
        + math.fsum(other) / (m * (m - 1))
        - 2 * math.fsum(mixed) / (n * m)
    )


@pytest.mark.parametrize("with_replacement", [False, True])
def test_closed_forms_of_jetnet(with_replacement):
    zeros, twos = np.zeros((100, 2)), np.full((100, 2), 2.0)

    def found(a, b, normalise=True):
        return kpd(a, b, normalise=normalise, with_replacement=with_replacement)

    # normalised: (1 + 1)^4 + 1 - 2; as they are: (4 + 1)^4 + 1 - 2
    np.testing.assert_allclose(found(twos, zeros), (15, 0, 100), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found(twos, zeros, False), (624, 0, 100), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found(twos, twos)[:2], 0, atol=1e-12)
    np.testing.assert_allclose(found(zeros, zeros)[:2], 0, atol=1e-12)


def test_a_small_difference_of_large_sums_keeps_six_digits():
    # features near 1, as normalised ones are: every kernel is about 16
    first, second = 1 + 0.05 * _normal(0, 50, 6), 1.002 + 0.05 * _normal(1, 40, 6)
    expected = _slow_distance(first.tolist(), second.tolist())
    assert 0 < abs(expected) < 0.02
    np.testing.assert_allclose(kernel_distance(first, second), expected, rtol=1e-6)


def test_rows_in_several_pieces_equal_the_whole_matrix():
    first, second = _normal(2, 1100, 3), _normal(3, 700, 3) + 0.1

    def mean(a, b):
        matrix = (a @ b.T / 3 + 1) ** 4
        return (matrix.sum() - np.trace(matrix)) / (len(a) * (len(a) - 1)) if a is b else matrix

    expected = mean(first, first) + mean(second, second) - 2 * mean(first, second).mean()
    np.testing.assert_allclose(kernel_distance(first, second), expected, rtol=1e-9)
    np.testing.assert_allclose(kernel_distance(second, first), expected, rtol=1e-9)


def test_a_sample_and_itself():
    x = _normal(4, 30, 2)
    matrix = (x @ x.T / 2 + 1) ** 4
    diagonal, others = np.trace(matrix) / 30, (matrix.sum() - np.trace(matrix)) / (30 * 29)
    np.testing.assert_allclose(kernel_distance(x, x), -2 / 30 * (diagonal - others), rtol=1e-12)


def test_replacement_adds_the_bias_of_the_file():
    a, b = _normal(5, 50, 12), _normal(6, 50, 12)
    excess = 0.0
    for x in (a, b):
        matrix = (x @ x.T / 12 + 1) ** 4
        others = (matrix.sum() - np.trace(matrix)) / (50 * 49)
        excess += (np.trace(matrix) / 50 - others) / 50
    found = kpd(a, b, with_replacement=True, batch_size=100, n_batches=200, normalise=False)
    # the error of a median of 200, 3 sigma, and a fifth of sigma for the skewness
    bound = (3 * 1.25 / np.sqrt(200) + 0.2) * found.error
    assert abs(found.value - kernel_distance(a, b) - excess) < bound < excess / 4


def test_the_error_is_the_spread_of_independent_samples():
    def many(shift):
        found = []
        for i in range(40):
            a, b = _normal(100 + i, 80, 3), _normal(200 + i, 80, 3) + shift
            found.append(kpd(a, b, normalise=False, seed=i))
        return np.std([e.value for e in found], ddof=1), np.mean([e.error for e in found])

    # a standard deviation of 40 values is known to 1 / sqrt(78) = 11 %: 3 sigma around 1 and 1.7
    spread, error = many(1.0)
    assert 0.65 < error / spread < 1.35
    spread, error = many(0.0)
    assert 1.0 < error / spread < 1.7 * 1.35


def test_kpd_sees_a_shift_that_its_floor_does_not_have():
    a = _normal(7, 160, 3)
    floor, shifted = kpd_floor(a), kpd(a[:80], _normal(8, 80, 3) + 2)
    assert floor.n == 80
    assert kpd_floor(a, 30).n == 30
    assert abs(floor.value) < 3 * floor.error
    assert shifted.value > 5 * shifted.error > 0
    assert shifted.value > 10 * (abs(floor.value) + floor.error)


def test_kpd_is_reproducible_and_blind_to_units():
    a, b = _normal(9, 80, 3), _normal(10, 160, 3) + 0.2
    value = kpd(a, b)
    assert value.n == 80
    assert kpd(a, b) == value
    units = np.array([1e-6, 1, 1e6])
    np.testing.assert_allclose(kpd(a * units, b * units), value, rtol=1e-9)
    assert kpd(a, b, seed=1).value != value.value
    assert kpd(a, b, batch_size=20) != value


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 31}, "batches of 31 showers without replacement.*found 30"),
        ({"batch_size": 1}, "found 10 of 1"),
        ({"n_batches": 1}, "found 1 of 15"),
    ],
)
def test_impossible_batches_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        kpd(_normal(11, 40, 2), _normal(12, 30, 2), **arguments)


def test_bad_features_are_refused():
    a, b = _normal(13, 40, 2), _normal(14, 40, 2)
    b[[7, 9], 1] = np.inf
    with pytest.raises(
        InputError, match=r"KPD: .* others in 2 generated showers, first in shower 7"
    ):
        kpd(a, b)
    with pytest.raises(InputError, match=r"KPD: .* found shapes \(40, 2\) and \(40, 3\)"):
        kpd(a, _normal(15, 40, 3))
