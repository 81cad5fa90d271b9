import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcalo.diffusion import Linear
from jaxcalo.diffusion.samplers import Ddpm, ReverseSde
from jaxcalo.diffusion.schedules import VarianceExploding

N = 40_000


def step(factory, schedule, t, s, x_0_hat=-0.4):
    sampler = factory(schedule, lambda x, t, cond: jnp.full_like(x, x_0_hat))
    state = sampler.init(jnp.full(N, 0.9), None)
    x_s = sampler.step(state, jax.random.key(0), jnp.float32(t), jnp.float32(s), None).x
    return np.asarray(x_s, np.float64)


def test_a_step_on_the_linear_schedule_is_the_formula_of_the_paper():
    """The variance-preserving equation: f = -beta / 2, g^2 = beta, beta affine in time."""
    schedule, t, s = Linear(), 0.5, 0.48
    beta = 0.1 + 19.9 * t
    alpha, sigma = float(schedule.alpha(t)), float(schedule.sigma(t))
    score = (alpha * -0.4 - 0.9) / sigma**2
    mean = 0.9 + (s - t) * (-beta / 2 * 0.9 - beta * score)
    std = np.sqrt(beta * (t - s))
    x_s = step(ReverseSde(), schedule, t, s)
    assert x_s.mean() == pytest.approx(mean, abs=5 * std / np.sqrt(N) + 1e-4)
    assert x_s.std() == pytest.approx(std, abs=5 * std / np.sqrt(2 * N) + 1e-4)


@pytest.mark.parametrize("schedule", [Linear(), VarianceExploding()], ids=repr)
def test_a_short_step_is_ancestral_sampling(schedule):
    """Both integrate the same equation: with the same noise they part by O((t - s)^(3/2))."""
    t = 0.5
    gaps = [
        np.max(np.abs(step(ReverseSde(), schedule, t, s) - step(Ddpm("posterior"), schedule, t, s)))
        for s in (t - 0.02, t - 0.005)
    ]
    assert gaps[1] < gaps[0] / 4


def test_the_last_step_adds_no_noise():
    assert step(ReverseSde(), Linear(), 0.1, 0.0).std() == 0
    assert step(ReverseSde(), Linear(), 0.1, 0.01).std() > 0.1
