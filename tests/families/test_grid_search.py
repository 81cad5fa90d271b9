"""Searched grids: closer to the flow than the grid they start from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import GaussianOracle

from jaxcalo.diffusion import Cosine, Ddim, Ddpm, DpmSolver, Heun, sample
from jaxcalo.diffusion.time_grids import Uniform, UniformLogSnr
from jaxcalo.errors import InputError
from jaxcalo.families import search_grid

SCHEDULE = Cosine()
ORACLE = GaussianOracle(jnp.array([0.0, 0.4, -1.0]), jnp.array([1.0, 0.3, 0.1]))


def search(sampler, n_steps=5, **options):
    return search_grid(
        jax.random.key(0),
        SCHEDULE,
        ORACLE.denoiser(SCHEDULE),
        sampler,
        n_steps,
        jnp.zeros((64, 1)),
        3,
        **{"start": UniformLogSnr(), "n_iterations": 80} | options,
    )


def distance_to_the_flow(sampler, grid, n_steps):
    """Root mean square over other noise than the search saw."""
    made = sampler(SCHEDULE, ORACLE.denoiser(SCHEDULE))
    x_T = jax.random.normal(jax.random.key(7), (256, 3))
    times = grid(SCHEDULE, n_steps)
    found = jax.vmap(lambda x: sample(jax.random.key(0), made, x, times, jnp.zeros(1)))(x_T)
    return float(jnp.sqrt(jnp.mean((found - ORACLE.flow(SCHEDULE, x_T, 1.0, 0.0)) ** 2)))


@pytest.mark.parametrize("sampler", [Ddim(), DpmSolver(2)], ids=["ddim", "dpm"])
def test_the_searched_grid_is_closer_to_the_flow_on_other_events(sampler):
    found = search(sampler)
    assert found.error < 0.7 * found.start_error
    usual = distance_to_the_flow(sampler, UniformLogSnr(), 5)
    assert usual == pytest.approx(found.start_error, rel=0.2)
    assert distance_to_the_flow(sampler, found.grid, 5) < 0.75 * usual


def test_the_grid_is_a_grid():
    times = np.array(search(DpmSolver(2), n_steps=4, n_iterations=5).grid.times)
    assert times.shape == (5,)
    assert times[0] == 1.0
    assert times[-1] == 0.0
    assert np.all(np.diff(times) < 0)


def test_no_iteration_leaves_the_start():
    found = search(Ddim(), start=Uniform(), n_iterations=0)
    np.testing.assert_allclose(found.grid.times, Uniform()(SCHEDULE, 5), atol=1e-4)
    assert found.error == found.start_error


@pytest.mark.parametrize("sampler", [Ddpm(), Ddim(0.5), DpmSolver(2, eta=1.0), Heun(churn=0.1)])
def test_a_sampler_that_draws_noise_is_refused(sampler):
    with pytest.raises(InputError, match="draws no noise"):
        search(sampler)


def test_one_step_has_nothing_to_search():
    with pytest.raises(InputError, match="at least 2 steps"):
        search(Ddim(), n_steps=1)
