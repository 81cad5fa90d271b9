import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import GaussianOracle

from jaxcalo.diffusion import Cosine, Ddim, drop_condition, guided, sample, time_grids

X_T, COND = jnp.array([0.3, -1.2, 0.8]), jnp.array([0.5, -0.7, 1.0])


def denoiser(x_t, t, cond):
    return jnp.sin(x_t + t) * (1 + cond[0] ** 2) + cond[1] - 3 * cond[2]


def test_scale_one_is_the_plain_denoiser_and_zero_the_unconditional():
    with_cond, without = denoiser(X_T, 0.4, COND), denoiser(X_T, 0.4, jnp.zeros(3))
    np.testing.assert_allclose(guided(denoiser, 1.0)(X_T, 0.4, COND), with_cond, rtol=1e-5)
    np.testing.assert_allclose(guided(denoiser, 0.0)(X_T, 0.4, COND), without, rtol=1e-6)
    assert np.max(np.abs(with_cond - without)) > 1


def test_scale_extrapolates_along_the_effect_of_the_condition():
    with_cond, without = denoiser(X_T, 0.4, COND), denoiser(X_T, 0.4, jnp.zeros(3))
    expected = with_cond + 2 * (with_cond - without)
    np.testing.assert_allclose(guided(denoiser, 3.0)(X_T, 0.4, COND), expected, rtol=1e-5)
    np.testing.assert_allclose(
        jax.jit(lambda scale: guided(denoiser, scale)(X_T, 0.4, COND))(3.0), expected, rtol=1e-5
    )


def test_guidance_moves_gaussian_data_as_the_closed_form_says():
    # x_0 ~ N(c, 1) given c and N(0, 2) without, at alpha = sigma = sqrt(1/2): linear denoisers
    def gaussian(x_t, t, cond):
        given = cond[-1] > 0
        mean, variance = jnp.where(given, cond[0], 0), jnp.where(given, 1, 2)
        alpha = jnp.sqrt(0.5)
        return mean + alpha * variance * (x_t - alpha * mean) / (0.5 * variance + 0.5)

    x_t, c, scale = 0.8, 1.5, 2.0
    conditional = c + (x_t * np.sqrt(0.5) - 0.5 * c)
    unconditional = np.sqrt(0.5) * 2 * x_t / 1.5
    moved = guided(gaussian, scale)(jnp.array([x_t]), 0.5, jnp.array([c, 1.0]))
    expected = unconditional + scale * (conditional - unconditional)
    np.testing.assert_allclose(moved, [expected], rtol=1e-5)


def test_guided_samples_have_the_extrapolated_mean():
    # with and without the condition the data have width 0.5 and means 1 and 0
    schedule, n, scale = Cosine(), 1000, 2.0

    def conditional(x_t, t, cond):
        return GaussianOracle(cond, 0.5).denoiser(schedule)(x_t, t, cond)

    def draw(x_T):
        sampler = Ddim()(schedule, guided(conditional, scale))
        return sample(jax.random.key(0), sampler, x_T, time_grids.uniform(60), jnp.ones(1))

    x = jax.jit(jax.vmap(draw))(jax.random.normal(jax.random.key(1), (n, 1)))
    assert np.mean(x) == pytest.approx(scale, abs=5 * 0.5 / np.sqrt(n) + 0.02)


def test_both_evaluations_are_one_call_of_the_network():
    calls = []

    def counting(x_t, t, cond):
        calls.append(1)
        return denoiser(x_t, t, cond)

    guided(counting, 2.0)(X_T, 0.4, COND)
    assert len(calls) == 1


@pytest.mark.parametrize("rate", [0.0, 0.1, 1.0])
def test_conditions_are_dropped_whole_at_the_rate(rate):
    n = 20_000
    keys = jax.random.split(jax.random.key(5), n)
    dropped = np.asarray(jax.vmap(lambda key: drop_condition(key, COND, rate))(keys))
    kept = np.all(dropped == np.asarray(COND), axis=1)
    assert np.all(kept | np.all(dropped == 0, axis=1))
    assert 1 - kept.mean() == pytest.approx(rate, abs=5 * np.sqrt(rate * (1 - rate) / n) + 1e-9)
