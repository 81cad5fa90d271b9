import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import GaussianOracle

from jaxcalo.diffusion import (
    Cosine,
    Ddim,
    Ddpm,
    Linear,
    Sigmoid,
    eps_from_x_0,
    sample,
    time_grids,
)
from jaxcalo.errors import InputError

ORACLE = GaussianOracle(mean=np.array([0.5, -1.0, 2.0]), std=np.array([0.2, 0.6, 1.5]))


@pytest.mark.parametrize(
    ("schedule", "grid"),
    [
        (Cosine(), time_grids.uniform_log_snr),
        (Linear(), time_grids.karras),
        (Sigmoid(), time_grids.uniform_log_snr),
    ],
    ids=["Cosine", "Linear", "Sigmoid"],
)
def test_ddim_converges_to_the_flow_with_order_one(schedule, grid):
    with jax.enable_x64(True):
        x_T = jnp.array([0.3, -1.1, 0.8])
        exact = ORACLE.flow(schedule, x_T, 1.0, 0.0)
        sampler = Ddim()(schedule, ORACLE.denoiser(schedule))
        run = jax.jit(lambda times: sample(jax.random.key(0), sampler, x_T, times, jnp.zeros(1)))
        n_steps = np.array([64, 128, 256])
        errors = [float(jnp.max(jnp.abs(run(grid(schedule, n)) - exact))) for n in n_steps]
    slope = np.polyfit(np.log(n_steps), np.log(errors), 1)[0]
    assert slope == pytest.approx(-1, abs=0.1)
    assert errors[-1] < 0.1


def test_the_flow_of_the_oracle_solves_its_equation():
    """dx/dt = a x / 2 dlog(alpha^2)/dt - (1/2) d(sigma^2 / alpha^2)/dt alpha^2 score."""
    schedule = Linear()
    with jax.enable_x64(True):
        x_T = jnp.array([0.3, -1.1, 0.8])

        def path(t):
            return ORACLE.flow(schedule, x_T, 1.0, t)

        for t in (0.1, 0.5, 0.9):
            x, velocity = jax.jvp(path, (t,), (1.0,))
            marginal = ORACLE.marginal(schedule, t)
            score = -(x - marginal.mean) / marginal.variance
            _, drift = jax.jvp(lambda t: jnp.log(schedule.alpha(t)), (t,), (1.0,))
            _, diffusion = jax.jvp(lambda t: jnp.exp(-schedule.log_snr(t)), (t,), (1.0,))
            expected = drift * x - 0.5 * schedule.alpha(t) ** 2 * diffusion * score
            np.testing.assert_allclose(velocity, expected, rtol=1e-9)


@pytest.mark.parametrize(("schedule", "n_steps"), [(Cosine(), 1), (Linear(), 20)], ids=str)
def test_eta_one_is_ancestral_sampling_with_the_posterior_variance(schedule, n_steps):
    denoiser = ORACLE.denoiser(schedule)
    args = (jnp.array([0.3, -1.1, 0.8]), time_grids.uniform(n_steps), jnp.zeros(1))
    ddim = sample(jax.random.key(0), Ddim(1.0)(schedule, denoiser), *args)
    ddpm = sample(jax.random.key(0), Ddpm("posterior")(schedule, denoiser), *args)
    np.testing.assert_allclose(ddim, ddpm, atol=2e-5)


def test_eta_zero_needs_no_noise():
    sampler = Ddim(0.0)(Cosine(), ORACLE.denoiser(Cosine()))
    args = (sampler, jnp.array([0.3, -1.1, 0.8]), time_grids.uniform(5), jnp.zeros(1))
    first, second = (sample(jax.random.key(seed), *args) for seed in (0, 1))
    np.testing.assert_array_equal(first, second)
    step = jax.make_jaxpr(lambda x: sampler.step(sampler.init(x, None), None, 0.5, 0.4, None).x)
    assert "random" not in str(step(jnp.ones(3)))


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_a_step_is_the_formula_of_the_paper(eta):
    schedule, s, t, n = Cosine(), 0.35, 0.5, 40_000
    x_t, x_0_hat = 0.9, -0.4
    sampler = Ddim(eta)(schedule, lambda x, t, cond: jnp.full_like(x, x_0_hat))
    state = sampler.init(jnp.full(n, x_t), None)
    x_s = np.asarray(sampler.step(state, jax.random.key(0), t, s, None).x, np.float64)

    (a_s, a_t), (s_s, s_t) = (
        [float(level(u)) for u in (s, t)] for level in (schedule.alpha, schedule.sigma)
    )
    noise = eta * s_s / s_t * np.sqrt(1 - a_t**2 / a_s**2)
    eps_hat = eps_from_x_0(x_0_hat, x_t, a_t, s_t)
    mean = a_s * x_0_hat + np.sqrt(s_s**2 - noise**2) * eps_hat
    assert x_s.mean() == pytest.approx(mean, abs=5 * noise / np.sqrt(n) + 1e-5)
    assert x_s.std() == pytest.approx(noise, abs=5 * noise / np.sqrt(2 * n) + 1e-5)


@pytest.mark.parametrize("eta", [-0.1, 1.5])
def test_eta_outside_its_interval_is_refused(eta):
    with pytest.raises(InputError, match="eta"):
        Ddim(eta)
