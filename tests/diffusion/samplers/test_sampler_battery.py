"""Every sampler through the same tests: add an instance to SAMPLERS."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from oracles import GaussianOracle, MixtureOracle

from jaxcalo.diffusion import Cosine, Linear, fix_variance, time_grids
from jaxcalo.diffusion.samplers import (
    Consistency,
    Ddim,
    Ddpm,
    DpmSolver,
    Euler,
    Heun,
    LearnedVarianceDdpm,
    ReverseSde,
    UniPc,
    sample,
)

SCHEDULE = Cosine()


def conditional(x_t, t, cond):
    """Normal data whose mean is the condition and whose width is 0.5."""
    return GaussianOracle(cond, 0.5).denoiser(SCHEDULE)(x_t, t, cond)


def conditional_flow(x_t, t, cond):
    """The consistency function of the same data."""
    return GaussianOracle(cond, 0.5).flow(SCHEDULE, x_t, t, jnp.zeros_like(t))


class Case(NamedTuple):
    """A factory, what it samples with, and how it takes that."""

    factory: object
    denoiser: object = staticmethod(conditional)
    adapt: object = staticmethod(lambda denoiser: denoiser)

    def make(self, denoiser):
        return self.factory(SCHEDULE, self.adapt(denoiser))


SAMPLERS = [
    Case(Ddpm("posterior")),
    Case(LearnedVarianceDdpm(), adapt=lambda denoiser: fix_variance(denoiser, 0.5)),
    Case(Ddim(0.0)),
    Case(Ddim(0.5)),
    Case(Euler("time")),
    Case(Euler("noise_to_signal")),
    Case(Heun("time")),
    Case(Heun("noise_to_signal")),
    Case(Heun(churn=0.3)),
    Case(DpmSolver(2)),
    Case(DpmSolver(3)),
    Case(DpmSolver(2, eta=1.0)),
    Case(UniPc(2)),
    Case(UniPc(3)),
    Case(Consistency(), conditional_flow),
    Case(ReverseSde()),
]
each_sampler = pytest.mark.parametrize("case", SAMPLERS, ids=lambda case: str(case.factory))


def draw(key, case, times, cond, denoiser=None):
    noise_key, sample_key = jax.random.split(key)
    x_T = jax.random.normal(noise_key, cond.shape)
    return sample(sample_key, case.make(denoiser or case.denoiser), x_T, times, cond)


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
    times = time_grids.uniform(6)
    with jax.disable_jit():
        plain = draw(KEYS[0], case, times, CONDS[0])
    np.testing.assert_allclose(run(KEYS[0], times, CONDS[0]), plain, atol=2e-5)


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
        return case.denoiser(x_t, t, cond)

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


DETERMINISTIC = {
    "euler-time": (Euler("time"), 1),
    "euler-noise_to_signal": (Euler("noise_to_signal"), 1),
    "heun-time": (Heun("time"), 2),
    "heun-noise_to_signal": (Heun("noise_to_signal"), 2),
    "dpm_solver-1": (DpmSolver(1), 1),
    "dpm_solver-2": (DpmSolver(2), 2),
    "dpm_solver-3": (DpmSolver(3), 3),
    "unipc-1": (UniPc(1), 2),
    "unipc-2": (UniPc(2), 3),
}
MIXTURE = MixtureOracle(
    np.array([0.3, 0.5, 0.2]),
    np.array([[1.0, 0.5], [-1.0, -0.2], [0.3, -1.3]]),
    np.array([[0.09, 0.03], [0.03, 0.16]]),
)
ORACLES = {
    "normal": GaussianOracle(np.array([0.5, -1.0]), np.array([0.2, 1.5])),
    "mixture": MIXTURE,
}


@functools.cache
def follow_the_flow(oracle_name, schedule, x_T):
    """The flow's end from SciPy: dy / dlambda = D - y, y = x / alpha, lambda = log_snr / 2."""
    denoise = jax.jit(ORACLES[oracle_name].denoiser(schedule))

    def rate(half_log_snr, y):
        t = schedule.inverse_log_snr(2 * half_log_snr)
        return denoise(schedule.alpha(t) * y, t, None) - y

    span = [float(schedule.log_snr(t)) / 2 for t in (1.0, 0.0)]
    y_T = np.array(x_T) / float(schedule.alpha(1.0))
    path = scipy.integrate.solve_ivp(rate, span, y_T, method="DOP853", rtol=1e-11, atol=1e-11)
    return path.y[:, -1] * float(schedule.alpha(0.0))


lay_grid = functools.cache(lambda grid, schedule, n: grid(schedule, int(n)))
STARTS = [(0.3, -1.1), (-0.7, 0.4), (1.2, 0.9)]


@pytest.mark.parametrize(
    ("schedule", "grid", "oracle"),
    [
        # on normal data and even steps the errors of DpmSolver(3) cancel, to order 4 and more
        (Cosine(), time_grids.uniform_log_snr, "mixture"),
        (Linear(), time_grids.karras, "normal"),
    ],
    ids=["cosine-uniform_log_snr-mixture", "linear-karras-normal"],
)
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_deterministic_samplers_converge_to_the_flow_with_their_order(name, schedule, grid, oracle):
    factory, order = DETERMINISTIC[name]
    n_steps = np.array([160, 320, 640])
    with jax.enable_x64(True):
        exact = np.array([follow_the_flow(oracle, schedule, x_T) for x_T in STARTS])
        sampler = factory(schedule, ORACLES[oracle].denoiser(schedule))

        @jax.jit
        @functools.partial(jax.vmap, in_axes=(0, None, None))
        def run(x_T, times, n):  # `sample` with any number of steps, so that it compiles once
            def body(i, state):
                return sampler.step(state, jax.random.key(0), times[i], times[i + 1], None)

            return jax.lax.fori_loop(0, n, body, sampler.init(x_T, None)).x

        errors = []
        for n in n_steps:
            times = jnp.zeros(n_steps[-1] + 1).at[: n + 1].set(lay_grid(grid, schedule, n))
            errors.append(np.abs(run(jnp.array(STARTS), times, n) - exact).max())
    slope = np.polyfit(np.log(n_steps), np.log(errors), 1)[0]
    assert errors[-1] < 0.05
    assert -slope == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_derivatives_by_the_times_and_the_start_are_finite_and_right(name):
    """A search for a better grid goes down this gradient; both modes against a difference."""
    with jax.enable_x64(True):
        sampler = DETERMINISTIC[name][0](SCHEDULE, ORACLES["normal"].denoiser(SCHEDULE))
        inner = time_grids.uniform_log_snr(SCHEDULE, 5)[1:-1]
        point = (inner, jnp.array([0.3, -1.1]))
        direction = (inner * jnp.array([0.02, -0.1, 0.3, 0.1]), jnp.array([0.7, -0.2]))

        @jax.jit
        def end(inner, x_T):
            times = jnp.concatenate([jnp.ones(1), inner, jnp.zeros(1)])
            x_0 = sample(jax.random.key(0), sampler, x_T, times, None)
            return x_0 @ jnp.array([1.0, 0.3])

        _, forward = jax.jvp(end, point, direction)
        gradient = jax.grad(end, (0, 1))(*point)
        moved = [
            end(*jax.tree.map(lambda a, b, d=d: a + d * b, point, direction)) for d in (1e-5, -1e-5)
        ]
    assert all(np.all(np.isfinite(part)) for part in gradient)
    assert min(np.min(np.abs(part)) for part in gradient) > 0
    reverse = sum(np.vdot(a, b) for a, b in zip(gradient, direction, strict=True))
    assert reverse == pytest.approx(float(forward), rel=1e-8)
    assert reverse == pytest.approx(float(moved[0] - moved[1]) / 2e-5, rel=1e-5)


STOCHASTIC = {
    "dpm_solver-1-eta-1": (DpmSolver(1, eta=1.0), 400),
    "dpm_solver-2-eta-1": (DpmSolver(2, eta=1.0), 60),
    "heun-churn": (Heun(churn=0.2), 60),
    "reverse_sde": (ReverseSde(), 400),
}


@pytest.mark.parametrize("name", STOCHASTIC)
def test_stochastic_samplers_draw_from_the_marginal_of_the_data(name):
    """n = 10,000 resolves 1 % in the width; the steps are so many that the bias is below it."""
    factory, n_steps = STOCHASTIC[name]
    n, mean, std = 10_000, 0.8, 0.5
    oracle = GaussianOracle(mean, std)
    times = time_grids.uniform_log_snr(SCHEDULE, n_steps)
    end = oracle.marginal(SCHEDULE, 0.0)

    @jax.jit
    @jax.vmap
    def run(key):
        noise_key, sample_key = jax.random.split(key)
        sampler = factory(SCHEDULE, oracle.denoiser(SCHEDULE))
        x_T = jax.random.normal(noise_key, (1,))
        return sample(sample_key, sampler, x_T, times, None)

    x = np.asarray(run(jax.random.split(jax.random.key(1), n)), np.float64)[:, 0]
    width = float(jnp.sqrt(end.variance))
    assert abs(x.mean() - float(end.mean)) < 5 * width / np.sqrt(n)
    assert abs(x.std() - width) < 5 * width / np.sqrt(2 * n)
    assert scipy.stats.kstest(x, "norm", args=(float(end.mean), width)).pvalue > 0.01
