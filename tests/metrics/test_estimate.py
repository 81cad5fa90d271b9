import jax
import numpy as np
import pytest

from jaxcalo.errors import InputError
from jaxcalo.metrics import Estimate, mean_of


def test_mean_and_scatter():
    found = mean_of([Estimate(1, 0.1, 50), Estimate(3, 0.1, 40), Estimate(8, 0.1, 60)])
    # s^2 = (9 + 1 + 16) / 2 = 13
    np.testing.assert_allclose(found, (4, np.sqrt(13 / 3), 40))


def test_values_that_agree_by_chance_keep_their_own_errors():
    found = mean_of([Estimate(2, 0.3, 50), Estimate(2, 0.4, 50)])
    np.testing.assert_allclose(found, (2, 0.25, 50))
    assert mean_of([Estimate(2, 0.3, 50)]) == (2, 0.3, 50)


def test_the_error_covers_the_truth():
    values = np.asarray(jax.random.normal(jax.random.key(0), (400, 3)))
    means = [mean_of([Estimate(float(v), 1.0, 9) for v in row]) for row in values]
    pulls = np.array([e.value / e.error for e in means])
    # the error is at least the true 1 / sqrt(3): a pull has at most unit variance, 3 sigma
    assert 0.5 < np.std(pulls) < 1 + 3 / np.sqrt(800)
    assert min(e.error for e in means) >= 1 / np.sqrt(3) - 1e-12


def test_no_samples_are_refused():
    with pytest.raises(InputError, match="at least one sample, found none"):
        mean_of([])
