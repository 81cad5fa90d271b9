import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import GaussianOracle

from jaxcalo.diffusion import Cosine, Linear, time_grids
from jaxcalo.diffusion.flow_matching import RectifiedFlow
from jaxcalo.diffusion.samplers import Ddim, Ddpm, DpmSolver, sample
from jaxcalo.diffusion.samplers.multistep import phi_weights
from jaxcalo.errors import InputError

ORACLE = GaussianOracle(mean=np.array([0.5, -1.0, 2.0]), std=np.array([0.2, 0.6, 1.5]))
X_T = jnp.array([0.3, -1.1, 0.8])


@pytest.mark.parametrize("schedule", [Cosine(), RectifiedFlow()], ids=repr)
@pytest.mark.parametrize(("eta", "limit"), [(0.0, Ddim(0.0)), (1.0, Ddpm("posterior"))], ids=str)
def test_order_one_is_ddim_and_ancestral_sampling(schedule, eta, limit):
    args = (X_T, time_grids.karras(schedule, 8), None)
    denoiser = ORACLE.denoiser(schedule)
    ours = sample(jax.random.key(0), DpmSolver(1, eta)(schedule, denoiser), *args)
    theirs = sample(jax.random.key(0), limit(schedule, denoiser), *args)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_without_eta_no_noise_is_drawn(order):
    def jaxpr(eta):
        sampler = DpmSolver(order, eta)(Cosine(), ORACLE.denoiser(Cosine()))
        key = jax.random.key(0)
        return str(
            jax.make_jaxpr(lambda x: sampler.step(sampler.init(x, None), key, 0.5, 0.4, None).x)(
                X_T
            )
        )

    assert "random" not in jaxpr(0.0)
    assert "random" in jaxpr(0.5)


@pytest.mark.parametrize("eta", [0.0, 0.7])
def test_three_steps_of_order_two_are_the_formula_of_the_paper(eta):
    """Deterministic part of 2M, by hand, with an answer that depends on the time alone."""
    schedule, times = Linear(), [0.9, 0.7, 0.5, 0.4]

    def answer(t):
        return 1 + np.sin(4 * t)

    sampler = DpmSolver(2, eta)(
        schedule, lambda x, t, cond: jnp.ones_like(x) * (1 + jnp.sin(4 * t))
    )
    n = 40_000 if eta else 1
    state, x, previous, variance = sampler.init(jnp.full(n, 0.9), None), 0.9, None, 0.0
    for i in range(3):
        t, s = times[i], times[i + 1]
        state = sampler.step(state, jax.random.key(i), jnp.float32(t), jnp.float32(s), None)
        half_t, half_s = (float(schedule.log_snr(u)) / 2 for u in (t, s))
        h, sigma_s = half_s - half_t, float(schedule.sigma(s))
        slope = 0.0
        if previous is not None:
            slope = (answer(t) - previous[0]) / (2 * previous[1] / h)
        decay = sigma_s / float(schedule.sigma(t)) * np.exp(-eta * h)
        weight = float(schedule.alpha(s)) * (1 - np.exp(-(1 + eta) * h))
        x = decay * x + weight * (answer(t) + slope)
        variance = decay**2 * variance + sigma_s**2 * (1 - np.exp(-2 * eta * h))
        previous = answer(t), h
    found = np.asarray(state.x, np.float64)
    assert found.mean() == pytest.approx(x, abs=5 * np.sqrt(variance / n) + 2e-6)
    assert found.std() == pytest.approx(np.sqrt(variance), abs=5 * np.sqrt(variance / 2 / n) + 1e-6)


def test_order_three_is_exact_for_a_parabola_in_log_snr():
    """dy / dlambda = D - y has a parabola as its solution, plus what decays of the start."""
    schedule = Linear()
    with jax.enable_x64(True):
        times = [jnp.float64(t) for t in (0.9, 0.8, 0.55, 0.3, 0.2)]

        def answer(t):
            half = schedule.log_snr(t) / 2
            return 0.4 + 0.3 * half - 0.2 * half**2

        def particular(t):
            half = schedule.log_snr(t) / 2
            return answer(t) - (0.3 - 0.4 * half) - 0.4

        sampler = DpmSolver(3)(schedule, lambda x, t, cond: jnp.ones_like(x) * answer(t))
        state = sampler.init(jnp.array([0.7]), None)
        for t, s in itertools.pairwise(times[:3]):
            state = sampler.step(state, None, t, s, None)
        y = state.x / schedule.alpha(times[2])
        for t, s in itertools.pairwise(times[2:]):
            state = sampler.step(state, None, t, s, None)
        decay = jnp.exp((schedule.log_snr(times[2]) - schedule.log_snr(times[4])) / 2)
        expected = particular(times[4]) + decay * (y - particular(times[2]))
        np.testing.assert_allclose(state.x / schedule.alpha(times[4]), expected, rtol=1e-12)


def test_weights_keep_their_digits_at_any_length_of_step():
    """w_j = int_0^h e^(v - h) (v / h)^j dv against Gauss's quadrature in float64."""
    nodes, gauss = np.polynomial.legendre.leggauss(60)
    u, gauss = (nodes + 1) / 2, gauss / 2
    for h in (1e-6, 1e-3, 0.1, 0.9, 0.9999999, 1.0, 1.1, 3.0, 20.0):
        expected = [h * np.sum(gauss * np.exp(h * (u - 1)) * u**j) for j in range(4)]
        single = [float(w) for w in phi_weights(jnp.float32(h), 4)]
        np.testing.assert_allclose(single, expected, rtol=3e-6)
        with jax.enable_x64(True):
            double = [float(w) for w in phi_weights(jnp.float64(h), 4)]
        np.testing.assert_allclose(double, expected, rtol=1e-13)


def test_a_long_last_step_does_not_extrapolate():
    """On even times the last step is as long in log_snr as the 10 before it."""
    schedule = Cosine()
    exact = ORACLE.flow(schedule, X_T, 1.0, 0.0)
    sampler = DpmSolver(2)(schedule, ORACLE.denoiser(schedule))
    x_0 = sample(jax.random.key(0), sampler, X_T, time_grids.uniform(20), None)
    ddim = Ddim()(schedule, ORACLE.denoiser(schedule))
    reference = sample(jax.random.key(0), ddim, X_T, time_grids.uniform(20), None)
    assert np.max(np.abs(x_0 - exact)) < 0.5 * np.max(np.abs(reference - exact))


@pytest.mark.parametrize(
    ("order", "eta", "named"), [(0, 0.0, "order"), (4, 0.0, "order"), (2, 1.1, "eta")], ids=str
)
def test_settings_outside_their_range_are_refused(order, eta, named):
    with pytest.raises(InputError, match=named):
        DpmSolver(order, eta)
