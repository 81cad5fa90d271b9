import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxcalo.diffusion import (
    Cosine,
    Gaussian,
    Linear,
    RectifiedFlow,
    Shifted,
    Sigmoid,
    VarianceExploding,
    kl_divergence,
    p_transition,
    q_posterior,
    q_sample,
    q_step,
    q_transition,
    randn,
)

each_schedule = pytest.mark.parametrize(
    "schedule", [Cosine(), Linear(), Sigmoid(), Shifted(Cosine(), -2.0)], ids=str
)
transition = jax.jit(q_transition, static_argnums=0)
three_times = st.lists(st.floats(0.0, 1.0, width=32), min_size=3, max_size=3, unique=True)


def float64_levels(schedule, *times):
    with jax.enable_x64(True):
        log_snr = np.asarray(schedule.log_snr(jnp.asarray(times, jnp.float64)))
    return np.sqrt(1 / (1 + np.exp(-log_snr))), np.sqrt(1 / (1 + np.exp(log_snr)))


@pytest.mark.parametrize("shape", [(), (7,), (3, 5), (2, 3, 4, 1)])
def test_randn_is_the_normal_draw_of_jax(shape):
    key = jax.random.key(3)
    np.testing.assert_array_equal(randn(key, shape), jax.random.normal(key, shape))
    assert randn(key, shape, jnp.bfloat16).dtype == jnp.bfloat16


@each_schedule
@settings(max_examples=20, deadline=None, derandomize=True)
@given(times=three_times)
def test_two_steps_compose_to_one_and_a_step_extends_the_kernel(schedule, times):
    r, s, t = sorted(times)
    a_sr, v_sr = (float(x) for x in transition(schedule, r, s))
    a_ts, v_ts = (float(x) for x in transition(schedule, s, t))
    a_tr, v_tr = (float(x) for x in transition(schedule, r, t))
    (_, alpha_s, alpha_t), (_, sigma_s, sigma_t) = float64_levels(schedule, r, s, t)
    assert a_ts * a_sr == pytest.approx(a_tr, rel=2e-5)
    # the variance of a step is known to the rounding of log_snr (2e-6 of up to 15), not better
    assert a_ts**2 * v_sr + v_ts == pytest.approx(v_tr, rel=1e-5, abs=5e-6 * sigma_t**2)
    assert a_ts * alpha_s == pytest.approx(alpha_t, rel=1e-4)
    assert a_ts**2 * sigma_s**2 + v_ts == pytest.approx(sigma_t**2, rel=1e-4)


@each_schedule
@pytest.mark.parametrize(("s", "t"), [(0.0, 0.01), (0.01, 0.02), (0.3, 0.7), (0.9, 1.0)])
def test_posterior_is_bayes_rule(schedule, s, t):
    x_0, x_t = np.array([0.3, -1.7, 0.0]), np.array([1.1, -0.4, 2.0])
    (alpha_s, alpha_t), (sigma_s, sigma_t) = float64_levels(schedule, s, t)
    a = alpha_t / alpha_s
    v = sigma_t**2 - a**2 * sigma_s**2
    variance = 1 / (1 / sigma_s**2 + a**2 / v)
    mean = variance * (alpha_s * x_0 / sigma_s**2 + a * x_t / v)
    posterior = q_posterior(schedule, jnp.asarray(x_0), jnp.asarray(x_t), s, t)
    np.testing.assert_allclose(posterior.mean, mean, rtol=3e-5, atol=3e-6)
    np.testing.assert_allclose(posterior.variance, variance, rtol=3e-5)


def test_posterior_is_the_formula_of_ho():
    schedule, (s, t) = Linear(), (0.499, 0.5)
    (alpha_s, alpha_t), _ = float64_levels(schedule, s, t)
    bar_s, bar_t = alpha_s**2, alpha_t**2
    beta = 1 - bar_t / bar_s
    posterior = q_posterior(schedule, jnp.float32(1.0), jnp.float32(0.0), s, t)
    assert posterior.mean == pytest.approx(np.sqrt(bar_s) * beta / (1 - bar_t), rel=1e-3)
    posterior = q_posterior(schedule, jnp.float32(0.0), jnp.float32(1.0), s, t)
    expected = (1 - bar_s) / (1 - bar_t) * np.sqrt(1 - beta)
    assert posterior.mean == pytest.approx(expected, rel=1e-5)
    assert posterior.variance == pytest.approx((1 - bar_s) / (1 - bar_t) * beta, rel=1e-3)
    assert q_transition(schedule, s, t)[1] == pytest.approx(beta, rel=1e-3)


def test_chain_of_steps_has_the_moments_of_the_closed_kernel():
    n, grid = 40_000, [0.0, 0.2, 0.5, 0.8]
    schedule, x_0 = Cosine(), 1.5
    key_0, *keys = jax.random.split(jax.random.key(0), len(grid))
    x, _ = q_sample(key_0, schedule, jnp.full(n, x_0), grid[0])
    for key, s, t in zip(keys, grid[:-1], grid[1:], strict=True):
        x = q_step(key, schedule, x, s, t)
    mean, variance = float(schedule.alpha(0.8)) * x_0, float(schedule.sigma(0.8)) ** 2
    assert np.mean(x) == pytest.approx(mean, abs=5 * np.sqrt(variance / n))
    assert np.var(x) == pytest.approx(variance, abs=5 * variance * np.sqrt(2 / n))


def test_q_sample_returns_the_noise_it_used():
    schedule, x_0 = Linear(), jnp.array([0.5, -2.0, 0.0])
    x_t, eps = q_sample(jax.random.key(1), schedule, x_0, 0.4)
    np.testing.assert_allclose(x_t, schedule.alpha(0.4) * x_0 + schedule.sigma(0.4) * eps)
    np.testing.assert_array_equal(eps, jax.random.normal(jax.random.key(1), (3,)))


@each_schedule
@pytest.mark.parametrize(("s", "t"), [(0.0, 0.1), (0.4, 0.5), (0.9, 1.0)])
def test_reverse_variance_goes_from_btilde_to_beta_in_logarithm(schedule, s, t):
    x = jnp.array([0.2, 0.9, -1.0])
    fraction = jnp.array([0.0, 0.5, 1.0])
    posterior = q_posterior(schedule, x, x, s, t)
    back = p_transition(schedule, x, x, s, t, fraction)
    beta = q_transition(schedule, s, t)[1]
    expected = [posterior.variance, jnp.sqrt(beta * posterior.variance), beta]
    np.testing.assert_allclose(back.variance, np.array(expected), rtol=1e-5)
    np.testing.assert_array_equal(back.mean, posterior.mean)


@pytest.mark.parametrize("schedule", [Cosine(), VarianceExploding(), RectifiedFlow()], ids=str)
@pytest.mark.parametrize(("s", "t"), [(0.0, 0.1), (0.4, 0.5), (0.5, 0.9), (0.9, 1.0)])
def test_upper_reverse_variance_is_that_of_unit_normal_data(schedule, s, t):
    with jax.enable_x64(True):
        x = jnp.array([0.2, 0.9, -1.0])
        alpha_ts, variance = q_transition(schedule, s, t)
        width_s = schedule.alpha(s) ** 2 + schedule.sigma(s) ** 2
        # x_s ~ N(0, width_s) seen through x_t = alpha_ts x_s + noise
        expected = 1 / (1 / width_s + alpha_ts**2 / variance)
        back = p_transition(schedule, x, x, s, t, 1.0)
        assert float(back.variance) == pytest.approx(float(expected), rel=1e-9)


def test_kl_divergence_is_the_integral():
    p_mean, p_var, q_mean, q_var = 0.4, 0.5, -0.3, 1.7
    x = np.linspace(-12, 12, 200_001)

    def log_density(mean, variance):
        return -0.5 * ((x - mean) ** 2 / variance + np.log(2 * np.pi * variance))

    log_p, log_q = log_density(p_mean, p_var), log_density(q_mean, q_var)
    expected = np.sum(np.exp(log_p) * (log_p - log_q)) * (x[1] - x[0])
    p, q = Gaussian(jnp.full(3, p_mean), p_var), Gaussian(jnp.full(3, q_mean), q_var)
    assert kl_divergence(p, q) == pytest.approx(3 * expected, rel=1e-5)
    assert kl_divergence(p, p) == 0
