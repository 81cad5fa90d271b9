import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import GaussianOracle

from jaxcalo.diffusion import Cosine, Linear, time_grids
from jaxcalo.diffusion.flow_matching import RectifiedFlow
from jaxcalo.diffusion.samplers import Ddim, Euler, sample
from jaxcalo.diffusion.schedules import VarianceExploding
from jaxcalo.errors import InputError

ORACLE = GaussianOracle(mean=np.array([0.5, -1.0, 2.0]), std=np.array([0.2, 0.6, 1.5]))
X_T = jnp.array([0.3, -1.1, 0.8])


@pytest.mark.parametrize(
    "schedule", [Cosine(), Linear(), RectifiedFlow(), VarianceExploding()], ids=repr
)
def test_in_noise_to_signal_it_is_ddim(schedule):
    denoiser = ORACLE.denoiser(schedule)
    args = (X_T, time_grids.karras(schedule, 7), None)
    euler = sample(jax.random.key(0), Euler("noise_to_signal")(schedule, denoiser), *args)
    ddim = sample(jax.random.key(0), Ddim(0.0)(schedule, denoiser), *args)
    np.testing.assert_allclose(euler, ddim, rtol=1e-6)


def test_a_step_in_time_on_the_rectified_flow_is_that_of_flow_matching():
    """x_s = x_t + (tau_s - tau_t) (eps_hat - x_0_hat)."""
    schedule, s, t = RectifiedFlow(), 0.35, 0.5
    sampler = Euler("time")(schedule, lambda x, t, cond: jnp.full_like(x, -0.4))
    x_s = sampler.step(sampler.init(X_T, None), jax.random.key(0), t, s, None).x
    tau_s, tau_t = schedule.sigma(s), schedule.sigma(t)
    eps_hat = (X_T - (1 - tau_t) * -0.4) / tau_t
    np.testing.assert_allclose(x_s, X_T + (tau_s - tau_t) * (eps_hat + 0.4), rtol=1e-5)


def test_in_noise_to_signal_one_point_is_reached_in_one_step():
    """Its paths are straight in y and k; what is left is the noise of the schedule's end."""
    schedule = VarianceExploding()
    sampler = Euler("noise_to_signal")(schedule, lambda x, t, cond: jnp.full_like(x, 1.3))
    x_0 = sample(jax.random.key(0), sampler, 80 * X_T, time_grids.uniform(1), None)
    np.testing.assert_allclose(x_0, 1.3 + 1e-3 * (X_T - 1.3 / 80), rtol=1e-6)


def test_an_unknown_coordinate_is_refused():
    with pytest.raises(InputError, match="noise_to_signal"):
        Euler("log_snr")
