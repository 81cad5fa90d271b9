import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from jaxcalo.diffusion import (
    Cosine,
    Ddim,
    FlowVelocity,
    FlowWeight,
    RectifiedFlow,
    denoising_loss,
    pair_by_transport,
    q_sample,
)
from jaxcalo.diffusion.flow_matching import _log_plan
from jaxcalo.errors import InputError

T = jnp.array([0.0, 0.25, 0.7, 1.0])


def test_the_path_is_straight():
    schedule = RectifiedFlow()
    np.testing.assert_allclose(schedule.alpha(T) + schedule.sigma(T), np.ones(4), rtol=1e-6)
    start, end = float(schedule.sigma(0.0)), float(schedule.sigma(1.0))
    np.testing.assert_allclose(schedule.sigma(T), start + (end - start) * T, rtol=1e-6)
    assert (start, 1 - end) == pytest.approx((np.exp(-7.5), np.exp(-8)), rel=1e-3)


@pytest.mark.parametrize("schedule", [RectifiedFlow(), Cosine()], ids=str)
@pytest.mark.parametrize("t", [0.0, 0.02, 0.5, 1.0])
def test_the_loss_is_the_squared_error_of_the_velocity(schedule, t):
    with jax.enable_x64(True):
        x_0, output = jax.random.normal(jax.random.key(0), (2, 5))
        x_t, eps = q_sample(jax.random.key(1), schedule, x_0, t)
        loss = denoising_loss(FlowVelocity(), FlowWeight(), schedule, x_0, x_t, t, output)
        expected = np.mean((np.asarray(output) - np.asarray(eps - x_0)) ** 2)
        assert float(loss) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("t", [0.0, 1e-3, 0.5, 1.0])
def test_the_loss_keeps_four_digits_in_float32(t):
    schedule = RectifiedFlow()
    x_0, output = jax.random.normal(jax.random.key(0), (2, 5))
    x_t, eps = q_sample(jax.random.key(1), schedule, x_0, t)
    loss = denoising_loss(FlowVelocity(), FlowWeight(), schedule, x_0, x_t, t, output)
    assert float(loss) == pytest.approx(float(jnp.mean((output - eps + x_0) ** 2)), rel=5e-4)


@pytest.mark.parametrize(("t", "s"), [(1.0, 0.9), (0.6, 0.3), (0.1, 0.0), (1.0, 0.0)])
def test_ddim_is_the_euler_step_of_the_velocity(t, s):
    schedule, x_t, cond = RectifiedFlow(), jnp.array([0.3, -1.2, 0.8]), jnp.zeros(1)

    def flow(x_t, t):
        return jnp.sin(3 * x_t + t)

    def denoiser(x_t, t, cond):
        c = FlowVelocity().coefficients(schedule.alpha(t), schedule.sigma(t))
        return c.c_skip * x_t + c.c_out * flow(x_t, t)

    sampler = Ddim()(schedule, denoiser)
    stepped = sampler.step(sampler.init(x_t, cond), jax.random.key(0), t, s, cond).x
    euler = x_t + (schedule.sigma(s) - schedule.sigma(t)) * flow(x_t, t)
    np.testing.assert_allclose(stepped, euler, atol=2e-6)


def batch(n_events, n, seed=0):
    x_key, eps_key = jax.random.split(jax.random.key(seed))
    x_0 = 2 * jax.random.normal(x_key, (n_events, n)) + 1
    return x_0, jax.random.normal(eps_key, (n_events, n))


def pair(key, x_0, eps, conds=None, weight=0.0, regularisation=0.02, n_iterations=300):
    conds = jnp.zeros((len(x_0), 1)) if conds is None else conds
    return pair_by_transport(
        key,
        x_0,
        eps,
        conds,
        condition_weight=weight,
        regularisation=regularisation,
        n_iterations=n_iterations,
    )


def cost(x_0, eps, conds, weight):
    """The cost as it is defined, with nothing left out."""
    x_0, eps, conds = (np.asarray(a, np.float64) for a in (x_0, eps, conds))
    distances = np.mean((x_0[:, None] - eps[None]) ** 2, axis=-1)
    return distances + weight * np.sum((conds[:, None] - conds[None]) ** 2, axis=-1)


@pytest.mark.parametrize("weight", [0.0, 0.5])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_without_regularisation_the_pairs_are_the_best_assignment(seed, weight):
    """Noise beside shuffled events: each event has one eps much nearer than the others."""
    shuffle_key, shift_key, cond_key = jax.random.split(jax.random.key(seed), 3)
    _, eps = batch(8, 4, seed)
    eps = 3 * eps
    x_0 = jax.random.permutation(shuffle_key, eps)
    x_0 += 0.2 * jax.random.normal(shift_key, x_0.shape)
    conds = jax.random.normal(cond_key, (8, 2))
    rows, best = linear_sum_assignment(cost(x_0, eps, conds, weight))
    index = pair(jax.random.key(9), x_0, eps, conds, weight, 0.02, 1000)
    np.testing.assert_array_equal(index, best)
    assert np.any(best != rows)


def test_the_plan_has_uniform_marginals_and_is_the_minimum():
    x_0, eps = batch(12, 3)
    conds = jax.random.normal(jax.random.key(3), (12, 2))
    log_plan = np.asarray(_log_plan(x_0, eps, conds, 0.3, 0.5, 500), np.float64)
    plan = np.exp(log_plan)
    # up to the row constants, which the draw normalises
    plan /= plan.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(plan.sum(axis=0), np.ones(12), rtol=1e-3)
    # the minimum: cost + regularisation log plan is a sum of a row term and a column term
    residual = cost(x_0, eps, conds, 0.3) + 0.5 * log_plan
    residual -= residual.mean(axis=0) + residual.mean(axis=1, keepdims=True) - residual.mean()
    np.testing.assert_allclose(residual, 0, atol=1e-4)


def test_the_draw_has_the_probabilities_of_the_plan():
    x_0, eps = batch(5, 2)
    plan = np.exp(np.asarray(_log_plan(x_0, eps, jnp.zeros((5, 1)), 0.0, 1.0, 200)))
    plan /= plan.sum(axis=1, keepdims=True)
    n = 20_000
    keys = jax.random.split(jax.random.key(0), n)
    index = np.asarray(
        jax.vmap(lambda key: pair(key, x_0, eps, regularisation=1.0, n_iterations=200))(keys)
    )
    drawn = np.mean(index[..., None] == np.arange(5), axis=0)
    assert np.all(np.abs(drawn - plan) < 5 * np.sqrt(plan * (1 - plan) / n) + 1e-4)
    assert plan.min() < 0.05 < 0.4 < plan.max()


def test_a_large_condition_weight_leaves_the_pairs_alone():
    x_0, eps = batch(16, 3)
    conds = jnp.arange(16.0)[:, None]
    np.testing.assert_array_equal(pair(jax.random.key(0), x_0, eps, conds, 1e3), np.arange(16))
    assert np.mean(np.asarray(pair(jax.random.key(0), x_0, eps, conds, 0.0)) == np.arange(16)) < 0.5


def test_pairs_are_nearer_than_chance():
    x_0, eps = batch(64, 3)
    index = pair(jax.random.key(0), x_0, eps)
    _, best_index = linear_sum_assignment(cost(x_0, eps, jnp.zeros((64, 1)), 0))
    chance, paired, best = (
        float(jnp.mean((x_0 - e) ** 2)) for e in (eps, eps[index], eps[best_index])
    )
    # events drawn one by one from the rows may repeat the nearest noise, hence "within"
    assert abs(paired - best) < 0.1 * (chance - best)
    assert best < 0.7 * chance


N_BATCHES, N_EVENTS = 200, 32


@functools.cache
def paired_noise(weight):
    """Paired noise of events that move with a condition of -1 or 1: (batches, events, 2)."""

    def one(key):
        cond_key, x_key, eps_key, pair_key = jax.random.split(key, 4)
        cond = jnp.sign(jax.random.normal(cond_key, (N_EVENTS, 1)))
        x_0 = 1.5 * cond + 0.3 * jax.random.normal(x_key, (N_EVENTS, 2))
        eps = jax.random.normal(eps_key, (N_EVENTS, 2))
        index = pair(pair_key, x_0, eps, cond, weight, 0.1, 100)
        return cond[:, 0], eps[index]

    keys = jax.random.split(jax.random.key(0), N_BATCHES)
    cond, eps = jax.jit(jax.vmap(one))(keys)
    return np.asarray(cond, np.float64), np.asarray(eps, np.float64)


def mean_and_error(of_batches):
    return of_batches.mean(), of_batches.std() / np.sqrt(N_BATCHES)


@pytest.mark.parametrize("weight", [0.0, 3.0])
def test_paired_noise_is_standard_normal(weight):
    _, eps = paired_noise(weight)
    for power, moment in ((1, 0), (2, 1), (4, 3)):
        mean, error = mean_and_error(np.mean(eps**power, axis=(1, 2)))
        assert abs(mean - moment) < 5 * error
        assert error < 0.15


def test_paired_noise_does_not_depend_on_the_condition_if_that_has_a_cost():
    for weight, is_biased in ((0.0, True), (3.0, False)):
        cond, eps = paired_noise(weight)
        mean, error = mean_and_error(np.mean(cond[..., None] * eps, axis=(1, 2)))
        assert error < 0.02
        assert (abs(mean) > 0.5) if is_biased else (abs(mean) < 5 * error)


def test_compiled_pairs_are_the_same():
    x_0, eps = batch(16, 3)
    key = jax.random.key(4)
    np.testing.assert_array_equal(jax.jit(pair)(key, x_0, eps), pair(key, x_0, eps))


@pytest.mark.parametrize(("regularisation", "n_iterations"), [(0.0, 10), (-1.0, 10), (0.1, 0)])
def test_impossible_settings_of_the_pairing_are_refused(regularisation, n_iterations):
    x_0, eps = batch(4, 3)
    with pytest.raises(InputError, match="regularisation > 0"):
        pair(jax.random.key(0), x_0, eps, None, 0.0, regularisation, n_iterations)
