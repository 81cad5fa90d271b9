import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import GaussianOracle

from jaxcalo.diffusion import Cosine, Linear, Sigmoid, time_grids
from jaxcalo.diffusion.flow_matching import RectifiedFlow
from jaxcalo.diffusion.samplers import Euler, Heun, sample
from jaxcalo.errors import InputError

ORACLE = GaussianOracle(mean=np.array([0.5, -1.0, 2.0]), std=np.array([0.2, 0.6, 1.5]))
X_T = jnp.array([0.3, -1.1, 0.8])


def one_step(factory, schedule, t, s, x_t=X_T, key=None):
    sampler = factory(schedule, ORACLE.denoiser(schedule))
    return sampler.step(sampler.init(x_t, None), key, jnp.float32(t), jnp.float32(s), None).x


@pytest.mark.parametrize("coordinate", ["time", "noise_to_signal"])
def test_without_correction_it_is_euler(coordinate):
    schedule = Linear()
    args = (X_T, time_grids.karras(schedule, 6), None)
    samplers = [
        factory(schedule, ORACLE.denoiser(schedule))
        for factory in (Heun(coordinate, correct=False), Euler(coordinate), Heun(coordinate))
    ]
    heun, euler, corrected = (sample(jax.random.key(0), sampler, *args) for sampler in samplers)
    np.testing.assert_array_equal(heun, euler)
    assert np.max(np.abs(corrected - euler)) > 1e-3


@pytest.mark.parametrize("coordinate", ["time", "noise_to_signal"])
def test_the_step_to_the_data_is_eulers(coordinate):
    euler = one_step(Euler(coordinate), Cosine(), 0.3, 0.0)
    np.testing.assert_array_equal(one_step(Heun(coordinate), Cosine(), 0.3, 0.0), euler)


@pytest.mark.parametrize("schedule", [Cosine(), RectifiedFlow()], ids=["Cosine", "RectifiedFlow"])
def test_a_step_is_the_formula_of_the_paper(schedule):
    """Algorithm 1 in y = x / alpha and k = sigma / alpha, written as it is printed."""
    with jax.enable_x64(True):
        t, s, x_t = jnp.float64(0.6), jnp.float64(0.4), np.array(X_T, np.float64)
        denoiser = ORACLE.denoiser(schedule)
        (a_t, k_t), (a_s, k_s) = (
            (schedule.alpha(u), schedule.sigma(u) / schedule.alpha(u)) for u in (t, s)
        )
        y = x_t / a_t
        slope = (y - denoiser(x_t, t, None)) / k_t
        y_euler = y + (k_s - k_t) * slope
        other = (y_euler - denoiser(a_s * y_euler, s, None)) / k_s
        expected = a_s * (y + (k_s - k_t) * (slope + other) / 2)
        sampler = Heun()(schedule, denoiser)
        x_s = sampler.step(sampler.init(x_t, None), None, t, s, None).x
    np.testing.assert_allclose(x_s, expected, rtol=1e-10)


def test_in_time_it_is_the_trapezium_of_flow_matching():
    """On the rectified flow dx/dtau = eps_hat - x_0_hat, and tau is affine in t."""
    schedule, t, s = RectifiedFlow(), jnp.float32(0.6), jnp.float32(0.4)
    denoiser = ORACLE.denoiser(schedule)

    def slope(x, u):
        x_0_hat, tau = denoiser(x, u, None), schedule.sigma(u)
        return (x - x_0_hat) / tau

    dtau = schedule.sigma(s) - schedule.sigma(t)
    x_euler = X_T + dtau * slope(X_T, t)
    expected = X_T + dtau * (slope(X_T, t) + slope(x_euler, s)) / 2
    np.testing.assert_allclose(one_step(Heun("time"), schedule, t, s), expected, rtol=1e-4)


def test_no_evaluation_is_made_for_the_last_step_of_a_batch():
    """Under vmap the correction stays a branch, for the times are common to the batch."""
    sampler = Heun()(Cosine(), ORACLE.denoiser(Cosine()))

    def draw(key, x_T, times):
        return sample(key, sampler, x_T, times, None)

    batch = jax.vmap(draw, (0, 0, None))
    args = (jax.random.split(jax.random.key(0), 4), jnp.ones((4, 3)), time_grids.uniform(5))
    assert " cond[" in str(jax.make_jaxpr(batch)(*args))
    assert "conditional(" in jax.jit(batch).lower(*args).compile().as_text()


def test_churn_adds_the_noise_of_the_paper():
    """One point as data: y_s is the point and k_s / k_hat of the noise, old and new."""
    n, churn, churn_noise, t, s = 40_000, 0.3, 1.1, 0.5, 0.35
    schedule = Cosine()
    sampler = Heun(churn=churn, churn_noise=churn_noise)(
        schedule, lambda x, t, cond: jnp.full_like(x, -0.4)
    )
    state = sampler.init(jnp.full(n, 0.9), None)
    x_s = sampler.step(state, jax.random.key(0), jnp.float32(t), jnp.float32(s), None).x
    (a_t, k_t), (a_s, k_s) = [
        (float(schedule.alpha(u)), float(jnp.exp(-schedule.log_snr(u) / 2))) for u in (t, s)
    ]
    k_hat = (1 + churn) * k_t
    mean = a_s * (-0.4 + k_s / k_hat * (0.9 / a_t + 0.4))
    spread = a_s * k_s / k_hat * np.sqrt(k_hat**2 - k_t**2) * churn_noise
    x_s = np.asarray(x_s, np.float64)
    assert x_s.mean() == pytest.approx(mean, abs=5 * spread / np.sqrt(n))
    assert x_s.std() == pytest.approx(spread, abs=5 * spread / np.sqrt(2 * n))


@pytest.mark.parametrize("schedule", [Cosine(), Linear(), Sigmoid()], ids=repr)
def test_churn_never_goes_beyond_the_noisy_end(schedule):
    seen = []

    def denoiser(x, t, cond):
        seen.append(float(t))
        return ORACLE.denoiser(schedule)(x, t, cond)

    factory = Heun(churn=0.4, correct=False)
    sampler = factory(schedule, denoiser)
    for t in (1.0, 1 - 1e-5, 0.5):
        state, t = sampler.init(X_T, None), jnp.float32(t)
        assert np.all(np.isfinite(sampler.step(state, jax.random.key(0), t, t / 2, None).x))
    assert seen[0] == 1.0
    assert 1 - 1e-6 < seen[1] <= 1
    assert 0.5 < seen[2] < 1
    first, second = (
        sampler.step(sampler.init(X_T, None), jax.random.key(i), jnp.float32(1), 0.5, None).x
        for i in (0, 1)
    )
    np.testing.assert_array_equal(first, second)  # nothing can be added at t = 1


def test_without_churn_no_noise_is_drawn():
    step = jax.make_jaxpr(lambda x, t, s: one_step(Heun(), Cosine(), t, s, x))
    assert "random" not in str(step(X_T, 0.5, 0.4))
    key = jax.random.key(0)
    churned = jax.make_jaxpr(lambda x, t, s: one_step(Heun(churn=0.1), Cosine(), t, s, x, key))
    assert "random" in str(churned(X_T, 0.5, 0.4))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"coordinate": "sigma"}, "coordinate"),
        ({"churn": 0.5}, "churn"),
        ({"churn": -0.1}, "churn"),
        ({"churn": 0.1, "coordinate": "time"}, "noise_to_signal"),
        ({"churn_noise": 0.0}, "churn_noise"),
    ],
    ids=["coordinate", "churn-high", "churn-low", "churn-in-time", "churn_noise"],
)
def test_settings_outside_their_range_are_refused(settings, named):
    with pytest.raises(InputError, match=named):
        Heun(**settings)
