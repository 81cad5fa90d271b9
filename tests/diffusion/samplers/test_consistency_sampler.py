import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import GaussianOracle

from jaxcalo.diffusion import Cosine, time_grids
from jaxcalo.diffusion.flow_matching import RectifiedFlow
from jaxcalo.diffusion.samplers import Consistency, sample

MEAN, STD = np.array([0.5, -1.0]), np.array([0.2, 1.5])
ORACLE = GaussianOracle(MEAN, STD)


def consistency_function(schedule):
    return lambda x_t, t, cond: ORACLE.flow(schedule, x_t, t, jnp.zeros_like(t))


@pytest.mark.parametrize("schedule", [Cosine(), RectifiedFlow()], ids=["Cosine", "RectifiedFlow"])
def test_one_step_is_the_flow(schedule):
    x_T = jnp.array([0.3, -1.1])
    sampler = Consistency()(schedule, consistency_function(schedule))
    x_0 = sample(jax.random.key(0), sampler, x_T, time_grids.uniform(1), None)
    np.testing.assert_allclose(x_0, ORACLE.flow(schedule, x_T, 1.0, 0.0), rtol=0.01)


@pytest.mark.parametrize("n_steps", [2, 5])
def test_several_steps_keep_the_moments(n_steps):
    schedule, n = Cosine(), 10_000
    sampler = Consistency()(schedule, consistency_function(schedule))

    @jax.jit
    @jax.vmap
    def run(key):
        noise_key, sample_key = jax.random.split(key)
        x_T = jax.random.normal(noise_key, (2,))
        return sample(sample_key, sampler, x_T, time_grids.uniform(n_steps), None)

    x = np.asarray(run(jax.random.split(jax.random.key(0), n)), np.float64)
    assert np.all(np.abs(x.mean(0) - MEAN) < 5 * STD / np.sqrt(n))
    assert np.all(np.abs(x.std(0) - STD) < 5 * STD / np.sqrt(2 * n))


def test_a_step_noises_the_answer_anew_and_the_last_returns_it():
    schedule, s, n = Cosine(), 0.4, 40_000
    sampler = Consistency()(schedule, lambda x, t, cond: jnp.full_like(x, 0.7))

    def step(s):
        state = sampler.init(jnp.zeros(n), None)
        return np.asarray(sampler.step(state, jax.random.key(0), 0.9, s, None).x, np.float64)

    alpha, sigma = float(schedule.alpha(s)), float(schedule.sigma(s))
    assert step(s).mean() == pytest.approx(0.7 * alpha, abs=5 * sigma / np.sqrt(n))
    assert step(s).std() == pytest.approx(sigma, abs=5 * sigma / np.sqrt(2 * n))
    np.testing.assert_array_equal(step(0.0), np.float32(0.7))
