import math

import jax
import numpy as np
import pytest
from scipy.spatial.distance import cdist

from jaxcalo.errors import InputError
from jaxcalo.metrics import log_voxels, prdc, prdc_floor


def _normal(seed, n, f, scale=1.0):
    x = scale * np.asarray(jax.random.normal(jax.random.key(seed), (n, f)))
    return x.astype(np.float32)


def _slow(reference, generated, k):
    """Equations (1) to (4) by loops over pairs, each distance from the difference."""

    def distance(a, b):
        return math.fsum((p - q) ** 2 for p, q in zip(a, b, strict=True))

    def radii(sample):
        return [
            sorted(distance(a, b) for j, b in enumerate(sample) if j != i)[k - 1]
            for i, a in enumerate(sample)
        ]

    x, y = reference.astype(float).tolist(), generated.astype(float).tolist()
    r_x, r_y = radii(x), radii(y)
    between = [[distance(a, b) for b in y] for a in x]
    n, m = range(len(x)), range(len(y))
    return (
        sum(any(between[i][j] < r_x[i] for i in n) for j in m) / len(y),
        sum(any(between[i][j] < r_y[j] for j in m) for i in n) / len(x),
        sum(between[i][j] < r_x[i] for i in n for j in m) / (k * len(y)),
        sum(any(between[i][j] < r_x[i] for j in m) for i in n) / len(x),
    )


@pytest.mark.parametrize(("n", "m", "f", "k"), [(60, 60, 2, 5), (37, 61, 6, 3), (50, 30, 40, 1)])
def test_all_counts_equal_the_loops(n, m, f, k):
    x, y = _normal(0, n, f) + 7, _normal(1, m, f, 0.8) + 7.3
    expected = _slow(x, y, k)
    assert 0 < min(expected) < 1
    np.testing.assert_allclose(prdc(x, y, k=k), expected, rtol=1e-12)


def test_duplicates_are_at_no_distance():
    x, y = _normal(2, 40, 30), _normal(3, 40, 30, 1.1)
    x[5:12] = x[4]  # eight equal showers: with k = 5 a ball of radius zero, with nothing inside
    x[20:23] = x[19]
    y[0:10] = x[4]
    y[10:14] = x[19]
    y[30:] = x[30:]  # distances that are equal to radii of the reference
    np.testing.assert_allclose(prdc(x, y), _slow(x, y, 5), rtol=1e-12)
    empty = np.full((20, 30), -1, np.float32)
    assert prdc(empty, empty) == (0, 0, 0, 0)


def test_samples_of_many_blocks_equal_the_whole_matrix():
    # the last block has one row or two, where a matrix product adds in another order
    x, y = _normal(2, 1025, 40), _normal(3, 1026, 40, 0.9)
    x[-5:], x[7:15], x[-1] = x[:5], x[6], x[6]
    y[-3:], y[:200], y[500:510] = x[-3:], x[-200:], x[6]
    steps = []
    found = prdc(x, y, observe=lambda *step: steps.append(step))
    r_x, r_y = (np.sort(cdist(s.astype(float), s.astype(float)))[:, 5] for s in (x, y))
    between = cdist(x.astype(float), y.astype(float))
    inside = between < r_x[:, None]
    recalled = np.any(between < r_y, axis=1).mean()
    expected = (inside.any(axis=0).mean(), recalled, inside.sum() / 5 / 1026, inside.any(1).mean())
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    # two blocks each: 3 + 3 within the samples, 4 between them
    assert steps == [(i + 1, 10) for i in range(10)]


def test_far_outliers_do_not_blur_the_others():
    x, y = _normal(6, 60, 4), _normal(7, 60, 4)
    spoiled = y.copy()
    spoiled[0] = 1e8
    expected = _slow(x, spoiled, 5)
    np.testing.assert_allclose(prdc(x, spoiled), expected, rtol=1e-12)
    assert expected[3] > 0.8


def test_one_distribution_has_density_one_and_the_known_coverage():
    n, m = 2000, 1000
    found = prdc(_normal(8, n, 2), _normal(9, m, 2))
    # at worst each neighbourhood of k showers is one independent count of mean and variance k
    # of the m, beside as many of the n: 4 sigma
    assert abs(found.density - 1) < 4 * np.sqrt(1 / m + 1 / n)
    missed = np.prod([(n - 1 - i) / (n + m - 1 - i) for i in range(5)])
    # and one independent yes or no: 4 sigma
    assert abs(found.coverage - (1 - missed)) < 4 * np.sqrt(missed * (1 - missed) * 5 / n)
    assert found.precision > 0.9
    assert found.recall > 0.9


def test_disjoint_clouds_and_a_copy():
    x = _normal(10, 50, 8)
    assert prdc(x, x + 100) == (0, 0, 0, 0)
    # inside the ball to the fifth neighbour lie the shower itself and four others
    assert prdc(x, x.copy()) == (1, 1, 1, 1)
    assert prdc(x, x[::-1].copy()) == (1, 1, 1, 1)


def test_a_narrow_generator_is_precise_but_does_not_cover():
    x, y = _normal(11, 400, 5), _normal(12, 400, 5, 0.3)
    narrow, wide = prdc(x, y), prdc(y, x)
    assert narrow.precision > 0.95 > 0.5 > narrow.coverage
    assert narrow.density > 1.3
    assert narrow.recall < 0.1
    assert (wide.precision, wide.recall) == (narrow.recall, narrow.precision)


def test_floor_is_one_pair_of_halves_of_the_size_of_the_generated_sample():
    x = _normal(13, 600, 2)
    floor = prdc_floor(x)
    missed = 0.5**5
    assert abs(floor.density - 1) < 4 * np.sqrt(2 / 300)
    assert abs(floor.coverage - (1 - missed)) < 4 * np.sqrt(missed * (1 - missed) * 5 / 300)
    few = prdc_floor(x, 30)
    assert few.coverage < 0.6  # 30 showers cover 300 balls that hold a tenth of a shower in each


def test_log_voxels_stand_for_zero_with_a_tenth_of_an_mev():
    found = log_voxels(np.array([[0, 0.01, 0.1, 1000]], np.float32))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[-1, -2, -1, 3]], rtol=1e-6)


def test_too_few_showers_and_bad_features_are_refused():
    x, y = _normal(14, 6, 3), _normal(15, 5, 3)
    assert prdc(x, x) == (1, 1, 1, 1)
    with pytest.raises(InputError, match="at least 6 showers in each sample, found 5"):
        prdc(x, y)
    with pytest.raises(InputError, match="k = 0 needs k >= 1"):
        prdc(x, y, k=0)
    with pytest.raises(InputError, match=r"PRDC: .*found shapes \(6, 3\) and \(6, 2\)"):
        prdc(x, x[:, :2])
    with pytest.raises(InputError, match=r"at least 6 showers in each sample, found 5"):
        prdc_floor(_normal(16, 10, 3))
    y = x.copy()
    y[2, 1] = np.nan
    with pytest.raises(InputError, match=r"PRDC: .*first in shower 2"):
        prdc(x, y)
