import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcalo.diffusion import (
    Cosine,
    Linear,
    LogitNormalTime,
    LogNormalSigma,
    Shifted,
    UniformTime,
    stratified,
)

SCHEDULES = [Cosine(), Linear(), Shifted(Cosine(), -2.0)]


def test_stratified_numbers_fall_once_into_every_interval():
    for seed in range(5):
        u = np.asarray(stratified(jax.random.key(seed), 50))
        assert u.min() >= 0
        assert u.max() < 1
        gaps = np.diff(np.sort(u))
        np.testing.assert_allclose(gaps, 1 / 50, atol=1e-6)


def test_each_stratified_number_is_uniform():
    n = 4000
    u = jax.vmap(lambda key: stratified(key, 3))(jax.random.split(jax.random.key(0), n))
    np.testing.assert_allclose(np.mean(u, 0), 0.5, atol=5 / np.sqrt(12 * n))
    quantiles = np.quantile(u, [0.1, 0.9], axis=0)
    np.testing.assert_allclose(quantiles - [[0.1], [0.9]], 0, atol=5 * np.sqrt(0.09 / n))


def test_uniform_time_is_its_own_quantile():
    u = jnp.array([0.0, 0.3, 0.999])
    np.testing.assert_array_equal(UniformTime()(u, Cosine()), u)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_log_normal_sigma_has_its_moments_on_every_schedule(schedule):
    u = (jnp.arange(2000) + 0.5) / 2000
    t = LogNormalSigma(-1.2, 1.2)(u, schedule)
    log_noise = -np.asarray(schedule.log_snr(t)) / 2
    assert np.mean(log_noise) == pytest.approx(-1.2, abs=1e-3)
    assert np.std(log_noise) == pytest.approx(1.2, abs=5e-3)  # the midpoint rule misses the tails
    assert np.all(np.diff(t) > 0)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_log_normal_sigma_stays_inside_the_schedule(schedule):
    t = LogNormalSigma(3.0, 20.0)(jnp.array([0.0, 0.01, 0.5, 0.99, 1.0]), schedule)
    np.testing.assert_allclose(t[jnp.array([0, 1])], 0, atol=1e-6)
    np.testing.assert_allclose(t[jnp.array([3, 4])], 1, atol=1e-6)
    assert schedule.log_snr(t[2]) == pytest.approx(-6.0, abs=1e-4)


def test_logit_normal_time_has_its_moments():
    u = (jnp.arange(2000) + 0.5) / 2000
    t = np.asarray(LogitNormalTime(0.4, 0.8)(u, Cosine()), np.float64)
    logit = np.log(t / (1 - t))
    assert np.mean(logit) == pytest.approx(0.4, abs=1e-3)
    assert np.std(logit) == pytest.approx(0.8, abs=4e-3)
    np.testing.assert_array_equal(LogitNormalTime()(jnp.array([0.0, 1.0]), Cosine()), [0, 1])
