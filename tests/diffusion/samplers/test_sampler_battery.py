"""Every sampler through the same tests: add an instance to SAMPLERS."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import GaussianOracle

from jaxcalo.diffusion import (
    Cosine,
    Ddim,
    Ddpm,
    LearnedVarianceDdpm,
    fix_variance,
    sample,
    time_grids,
)

SCHEDULE = Cosine()


class Case(NamedTuple):
    """A factory and how it takes a plain denoiser."""

    factory: object
    adapt: object = staticmethod(lambda denoiser: denoiser)

    def make(self, denoiser):
        return self.factory(SCHEDULE, self.adapt(denoiser))


SAMPLERS = [
    Case(Ddpm("posterior")),
    Case(LearnedVarianceDdpm(), lambda denoiser: fix_variance(denoiser, 0.5)),
    Case(Ddim(0.0)),
    Case(Ddim(0.5)),
]
each_sampler = pytest.mark.parametrize("case", SAMPLERS, ids=lambda case: str(case.factory))


def conditional(x_t, t, cond):
    """Normal data whose mean is the condition and whose width is 0.5."""
    return GaussianOracle(cond, 0.5).denoiser(SCHEDULE)(x_t, t, cond)


def draw(key, case, times, cond, denoiser=conditional):
    noise_key, sample_key = jax.random.split(key)
    x_T = jax.random.normal(noise_key, cond.shape)
    return sample(sample_key, case.make(denoiser), x_T, times, cond)


N_STEPS, N_EVENTS = 40, 4000
TIMES = time_grids.uniform(N_STEPS)
CONDS = jnp.broadcast_to(jnp.array([0.2, -0.7]), (N_EVENTS, 2))
KEYS = jax.random.split(jax.random.key(0), N_EVENTS)


@functools.cache
def compile_draw(case):
    """One compiled function a sampler for all tests, and the list of its traces."""
    traces = []

    @jax.jit
    def run(key, times, cond):
        traces.append(1)
        return draw(key, case, times, cond)

    return run, traces


@functools.cache
def draw_batch(case):
    run, _ = compile_draw(case)
    return np.asarray(jax.vmap(run, (0, None, 0))(KEYS, TIMES, CONDS))


@each_sampler
def test_samples_have_the_mean_and_width_of_the_data(case):
    x = draw_batch(case)
    assert x.shape == (N_EVENTS, 2)
    np.testing.assert_allclose(x.mean(0), CONDS[0], atol=5 * 0.5 / np.sqrt(N_EVENTS) + 0.01)
    # 5 standard errors and the bias of order 1 / n_steps of the fixed variances
    bound = 5 * 0.5 / np.sqrt(2 * N_EVENTS) + 1 / N_STEPS
    np.testing.assert_allclose(x.std(0), 0.5, atol=bound)


@each_sampler
def test_vmap_is_a_loop(case):
    run, _ = compile_draw(case)
    loop = [run(KEYS[i], TIMES, CONDS[i]) for i in range(3)]
    np.testing.assert_allclose(draw_batch(case)[:3], np.stack(loop), atol=2e-5)


@each_sampler
def test_jit_is_no_jit(case):
    run, _ = compile_draw(case)
    with jax.disable_jit():
        plain = draw(KEYS[0], case, TIMES, CONDS[0])
    np.testing.assert_allclose(run(KEYS[0], TIMES, CONDS[0]), plain, atol=2e-5)


@each_sampler
def test_another_grid_of_the_same_length_compiles_nothing(case):
    run, traces = compile_draw(case)
    first = run(KEYS[0], TIMES, CONDS[0])
    n_traces = len(traces)
    second = run(KEYS[0], time_grids.quadratic(N_STEPS), CONDS[0])
    assert len(traces) == n_traces
    assert np.max(np.abs(first - second)) > 1e-4


@each_sampler
@pytest.mark.parametrize("n_steps", [1, 5])
def test_the_denoiser_is_evaluated_as_often_as_declared(case, n_steps):
    calls = []

    def counting(x_t, t, cond):
        calls.append(float(t))
        return conditional(x_t, t, cond)

    with jax.disable_jit():  # the scan is then a loop of Python, and each call is counted
        draw(KEYS[0], case, time_grids.uniform(n_steps), CONDS[0], counting)
    assert len(calls) == case.factory.n_evaluations(n_steps)
    assert max(calls) == 1.0
    assert min(calls) > 0.0


@each_sampler
def test_an_event_of_any_shape_is_its_flat_self(case):
    cond = jnp.linspace(-1, 1, 6)
    with jax.disable_jit():
        flat = draw(jax.random.key(5), case, time_grids.uniform(5), cond)
        grid = draw(jax.random.key(5), case, time_grids.uniform(5), cond.reshape(2, 3))
    np.testing.assert_array_equal(grid.reshape(6), flat)


@each_sampler
def test_double_precision_is_kept(case):
    with jax.enable_x64(True):
        times, cond = time_grids.uniform(5), jnp.array([0.2, -0.7])
        double = jax.eval_shape(lambda: draw(jax.random.key(6), case, times, cond))
    assert double.dtype == jnp.float64
