import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import GaussianOracle

from jaxcalo.diffusion import (
    Cosine,
    Ddpm,
    LearnedVarianceDdpm,
    Linear,
    fix_variance,
    q_posterior,
    q_transition,
    sample,
    time_grids,
)
from jaxcalo.errors import InputError

N = 10_000


def draw_many(sampler, times, n_components):
    keys = jax.random.split(jax.random.key(0), N)

    def draw(key):
        noise_key, sample_key = jax.random.split(key)
        x_T = jax.random.normal(noise_key, (n_components,))
        return sample(sample_key, sampler, x_T, times, jnp.zeros(1))

    return np.asarray(jax.jit(jax.vmap(draw))(keys), np.float64)


def assert_moments(x, mean, variance):
    mean, variance = np.asarray(mean, np.float64), np.asarray(variance, np.float64)
    assert np.all(np.abs(x.mean(0) - mean) < 5 * np.sqrt(variance / N))
    assert np.all(np.abs(x.var(0) - variance) < 5 * variance * np.sqrt(2 / N))


def test_exact_reverse_variance_gives_the_data_in_few_steps():
    schedule = Cosine()
    oracle = GaussianOracle(jnp.array([0.0, 1.0, -0.5]), jnp.array([1.0, 0.3, 0.7]))
    times = time_grids.uniform_log_snr(schedule, 10)
    sampler = LearnedVarianceDdpm()(schedule, oracle.exact_reverse(schedule, times))
    assert_moments(draw_many(sampler, times, 3), oracle.mean, oracle.std**2)


@pytest.mark.parametrize("variance", ["posterior", "beta"])
def test_moments_are_those_of_the_discrete_chain(variance):
    """The chain is linear for normal data: its moments follow by hand, in float64."""
    schedule, mean, std, n_steps = Linear(), 0.8, 0.5, 30
    times = time_grids.uniform(n_steps)
    with jax.enable_x64(True):
        log_snr = np.asarray(schedule.log_snr(jnp.linspace(1, 0, n_steps + 1)))
    bar = 1 / (1 + np.exp(-log_snr))
    m, v = 0.0, 1.0
    for bar_t, bar_s in itertools.pairwise(bar):
        beta = 1 - bar_t / bar_s
        gain = np.sqrt(bar_t) * std**2 / (bar_t * std**2 + 1 - bar_t)
        to_x_t = np.sqrt(1 - beta) * (1 - bar_s) / (1 - bar_t)
        to_x_0 = np.sqrt(bar_s) * beta / (1 - bar_t)
        slope = to_x_t + to_x_0 * gain
        m = slope * m + to_x_0 * (1 - gain * np.sqrt(bar_t)) * mean
        noise = beta if variance == "beta" else beta * (1 - bar_s) / (1 - bar_t)
        v = slope**2 * v + (noise if bar_s < bar[-1] else 0)
    oracle = GaussianOracle(mean, std)
    x = draw_many(Ddpm(variance)(schedule, oracle.denoiser(schedule)), times, 1)
    assert_moments(x, m, v)


def test_posterior_variance_is_exact_for_one_point_and_beta_for_standard_normal_data():
    schedule = Cosine()
    times = time_grids.uniform_log_snr(schedule, 10)
    point = Ddpm("posterior")(schedule, lambda x_t, t, cond: jnp.full_like(x_t, 1.3))
    # what is left is the noise of the schedule's end, through the mean of the last step
    np.testing.assert_allclose(draw_many(point, times, 1), 1.3, atol=5 * np.exp(-7.5))
    normal = Ddpm("beta")(schedule, GaussianOracle(0.0, 1.0).denoiser(schedule))
    assert_moments(draw_many(normal, times, 1), 0, 1)


@pytest.mark.parametrize(("fraction", "variance"), [(0.0, "posterior"), (1.0, "beta")])
def test_learned_variance_has_the_fixed_ones_as_limits(fraction, variance):
    schedule, times = Cosine(), time_grids.uniform(8)
    denoiser = GaussianOracle(0.5, 0.3).denoiser(schedule)
    x_T = jnp.array([0.3, -1.0])

    def logits_denoiser(x_t, t, cond):
        return denoiser(x_t, t, cond), jnp.full_like(x_t, fraction)

    learned = LearnedVarianceDdpm()(schedule, logits_denoiser)
    args = (x_T, times, jnp.zeros(1))
    expected = sample(jax.random.key(0), Ddpm(variance)(schedule, denoiser), *args)
    np.testing.assert_allclose(sample(jax.random.key(0), learned, *args), expected, atol=1e-5)
    other = LearnedVarianceDdpm()(schedule, fix_variance(denoiser, 1 - fraction))
    assert np.max(np.abs(sample(jax.random.key(0), other, *args) - expected)) > 1e-3


def test_one_step_has_the_noise_of_its_variance_and_the_last_step_none():
    schedule, x_t, x_0_hat = Linear(), jnp.full(N, 0.7), 0.4
    cond, s, t = jnp.zeros(1), 0.4, 0.5

    def step(variance, s):
        sampler = Ddpm(variance)(schedule, lambda x, t, cond: jnp.full_like(x, x_0_hat))
        state = sampler.init(x_t, cond)
        return np.asarray(sampler.step(state, jax.random.key(1), t, s, cond).x, np.float64)

    posterior = q_posterior(schedule, x_0_hat, 0.7, s, t)
    for variance, expected in [
        ("posterior", float(posterior.variance)),
        ("beta", float(q_transition(schedule, s, t)[1])),
    ]:
        x_s = step(variance, s)
        assert abs(x_s.mean() - float(posterior.mean)) < 5 * np.sqrt(expected / N)
        assert abs(x_s.var() - expected) < 5 * expected * np.sqrt(2 / N)
        last = q_posterior(schedule, x_0_hat, 0.7, 0.0, t)
        np.testing.assert_allclose(step(variance, 0.0), float(last.mean), rtol=1e-5)


def test_an_unknown_variance_is_refused():
    with pytest.raises(InputError, match="posterior"):
        Ddpm("btilde")
