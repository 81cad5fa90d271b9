"""The density information buffer: what it keeps, and that draws reproduce what it keeps."""

import jax
import numpy as np
import pytest
from scipy.stats import kstest, norm
from vector_cases import quick_jit

from jaxcalo.errors import InputError
from jaxcalo.families.density_buffer import DensityBuffer, draw_latent, empty_buffer, write

N_DRAWS = 8000


@pytest.mark.parametrize("b", [3, 5, 12])
def test_the_last_encodings_are_kept(b):
    n, buffer, seen = 5, empty_buffer(5, 2, 1), []
    for step in range(4):
        rows = np.arange(step * b, (step + 1) * b, dtype=np.float32)
        buffer = write(buffer, np.stack([rows, -rows], 1), np.stack([rows, rows], 1), rows[:, None])
        seen.extend(rows)
        held = sorted(np.asarray(buffer["mean"])[: int(buffer["filled"]), 0])
        assert held == seen[-n:]
        np.testing.assert_array_equal(buffer["mean"][:, 1], -buffer["cond"][:, 0])
        np.testing.assert_array_equal(buffer["log_variance"][:, 0], buffer["cond"][:, 0])
        assert buffer["next"] == len(seen) % n


def filled_buffer(cond=None, n=400):
    """Encodings of two clumps, of different widths, the second half of the buffer empty."""
    draws = np.random.default_rng(0)
    side = np.where(np.arange(n) % 2, 1.5, -1.5)[:, None]
    mean = side + 0.4 * draws.standard_normal((n, 2))
    log_variance = -1.0 + 0.5 * draws.standard_normal((n, 2))
    cond = np.zeros((n, 0)) if cond is None else cond
    arrays = (np.asarray(a, np.float32) for a in (mean, log_variance, cond))
    return write(empty_buffer(2 * n, 2, cond.shape[1]), *arrays), mean, np.exp(log_variance)


def draws_of(buffer, config, cond):
    keys = jax.random.split(jax.random.key(1), N_DRAWS)
    draw = quick_jit(jax.vmap(lambda key: draw_latent(key, config, buffer, cond)))
    return np.asarray(draw(keys), np.float64)


@pytest.mark.parametrize("smearing", [0.3, 1.0])
def test_draws_are_the_aggregate_posterior(smearing):
    buffer, mean, variance = filled_buffer()
    found = draws_of(buffer, DensityBuffer(smearing=smearing), np.zeros(0, np.float32))
    width = smearing * np.sqrt(variance)
    for j in range(2):

        def distribution(z, j=j):
            return norm.cdf(z[:, None], mean[:, j], width[:, j]).mean(1)

        assert kstest(found[:, j], distribution).pvalue > 1e-3
    covariance = np.cov(mean.T, bias=True) + np.diag((width**2).mean(0))
    # A product of two numbers of variance v is v or so wide.
    error = 4 * covariance.max() * np.sqrt(2 / N_DRAWS)
    np.testing.assert_allclose(found.mean(0), mean.mean(0), atol=4 * 1.7 / np.sqrt(N_DRAWS))
    np.testing.assert_allclose(np.cov(found.T), covariance, atol=error)


def rows_of(buffer, reach, cond):
    """Which encodings were drawn, and how often: without smearing a draw is its encoding."""
    config = DensityBuffer(smearing=0.0, reach=reach)
    found = draws_of(buffer, config, np.asarray(cond, np.float32))[:, 0]
    means = np.asarray(buffer["mean"], np.float64)[:400, 0]
    order = np.argsort(means)
    rows = order[np.searchsorted(means[order], found)]
    np.testing.assert_array_equal(means[rows], found)
    return np.bincount(rows, minlength=400)


def test_encodings_within_reach_are_equally_likely_and_no_other_comes():
    cond = np.random.default_rng(4).uniform(-1, 1, (400, 2))
    buffer, _, _ = filled_buffer(cond)
    near = np.linalg.norm(cond - [0.2, -0.1], axis=1) <= 0.3
    counts = rows_of(buffer, 0.3, [0.2, -0.1])
    assert not counts[~near].any()
    expected = N_DRAWS / near.sum()
    # Poisson fluctuations: chi square of near.sum() numbers
    chi2 = np.sum((counts[near] - expected) ** 2 / expected)
    assert abs(chi2 - near.sum()) < 5 * np.sqrt(2 * near.sum())


def test_beyond_reach_the_nearest_come_and_ties_are_drawn():
    cond = np.eye(4)[np.arange(400) % 4]
    buffer, _, _ = filled_buffer(cond)
    counts = rows_of(buffer, 0.1, [0.0, 0.0, 1.3, 0.0])
    nearest = np.arange(400) % 4 == 2
    assert not counts[~nearest].any()
    assert counts[nearest].min() > 0.4 * N_DRAWS / 100


def test_an_empty_buffer_draws_standard_normal_numbers():
    for c in (0, 2):
        found = draws_of(empty_buffer(7, 2, c), DensityBuffer(7), np.ones(c, np.float32))
        assert kstest(found.ravel(), norm.cdf).pvalue > 1e-3


@pytest.mark.parametrize("options", [{"n": 0}, {"n": 2**25}, {"smearing": -1.0}, {"reach": -0.1}])
def test_senseless_settings_are_refused(options):
    with pytest.raises(InputError, match="density buffer: expected 1 <= n"):
        DensityBuffer(**options)
