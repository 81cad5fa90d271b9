import jax
import numpy as np

from jaxcalo.metrics import pearson
from jaxcalo.metrics.correlation import correlate
from jaxcalo.metrics.splits import halves


def _columns(seed, n, rho):
    a, b = np.asarray(jax.random.normal(jax.random.key(seed), (2, n)), dtype=float)
    return np.stack([a, rho * a + np.sqrt(1 - rho**2) * b], axis=1)


def test_pearson_equals_numpy():
    x = _columns(0, 300, 0.7) * [5, 1e6] + 3
    np.testing.assert_allclose(pearson(x), np.corrcoef(x.T), rtol=1e-12)


def test_a_constant_column_is_uncorrelated():
    x = np.column_stack([np.linspace(0, 1, 30), np.full(30, 0.1)])
    np.testing.assert_array_equal(pearson(x), np.eye(2))


def test_frobenius_norm_of_a_known_difference():
    first, second = _columns(1, 20_000, 0.9), _columns(2, 20_000, 0.4)
    found = correlate(first, second, halves(20_000))
    # two off-diagonal elements differ by 0.5, each known to 0.006
    np.testing.assert_allclose(found.frobenius, 0.5 * np.sqrt(2), atol=0.03)
    assert 0 < found.floor.value < 0.02
    assert correlate(first, first, halves(20_000)).frobenius == 0
