"""Two steps of a teacher as one of its student: exact for one halving, and then for all."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import GaussianOracle, MixtureOracle

from jaxcalo.diffusion import (
    Cosine,
    Ddim,
    Linear,
    RectifiedFlow,
    VarianceExploding,
    sample,
    time_grids,
)
from jaxcalo.diffusion.progressive import student_times, two_step_target

SCHEDULES = [Cosine(), Linear(), RectifiedFlow(), VarianceExploding()]
GRIDS = [time_grids.Uniform(), time_grids.UniformLogSnr(), time_grids.Karras()]
GAUSSIAN = GaussianOracle(jnp.asarray([1.5, -0.5]), jnp.asarray([0.5, 1.2]))
MIXTURE = MixtureOracle(
    np.array([0.3, 0.7]), np.array([[-1.0, 0.5], [1.0, 0.0]]), np.array([[0.2, 0.1], [0.1, 0.3]])
)
COND = jnp.zeros(1)


def ddim(schedule, denoiser, x, *times):
    sampler = Ddim()(schedule, denoiser)
    state = sampler.init(x, COND)
    for t, s in itertools.pairwise(times):
        state = sampler.step(state, None, t, s, COND)
    return state.x


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_one_step_with_the_target_is_the_teachers_two(schedule, grid):
    teacher = MIXTURE.denoiser(schedule)
    times = grid(schedule, 8)
    x_0 = MIXTURE.sample(jax.random.key(0), 16)
    eps = jax.random.normal(jax.random.key(1), x_0.shape)

    def both(x_0, eps, i):
        t, middle, s = times[i], times[i + 1], times[i + 2]
        x_t = schedule.alpha(t) * x_0 + schedule.sigma(t) * eps
        target = two_step_target(schedule, teacher, x_t, t, middle, s, COND)
        one = ddim(schedule, lambda x, t, cond: target, x_t, t, s)
        return target, one, ddim(schedule, teacher, x_t, t, middle, s)

    over_steps = jax.vmap(both, (None, None, 0))
    steps = jnp.arange(0, 8, 2)  # the first starts at t = 1, the last ends at t = 0
    target, one, two = jax.jit(jax.vmap(over_steps, (0, 0, None)))(x_0, eps, steps)
    size = np.maximum(1.0, np.abs(two))
    assert np.max(np.abs(one - two) / size) < 2e-5
    # The target is an estimate of x_0, within the teacher's own answers up to rounding.
    assert np.abs(target).max() < 5


@pytest.mark.parametrize(
    "grid", [time_grids.Uniform(), time_grids.Quadratic(), *GRIDS[1:]], ids=str
)
@pytest.mark.parametrize("stride", [2, 4, 16])
def test_students_steps_are_those_of_the_coarser_grid(grid, stride):
    schedule, n = Cosine(), 16
    times, n_steps = grid(schedule, n), n // stride
    u = (jnp.arange(n_steps) + 0.5) / n_steps
    t, middle, s = jax.jit(jax.vmap(lambda u: student_times(times, u, stride)))(u)
    coarse, teachers = grid(schedule, n_steps), grid(schedule, 2 * n_steps)
    np.testing.assert_allclose(t, coarse[:-1], atol=2e-6)
    np.testing.assert_allclose(s, coarse[1:], atol=2e-6)
    np.testing.assert_allclose(middle, teachers[1::2], atol=2e-6)
    assert (t[0], s[-1]) == (1.0, 0.0)


def test_ends_of_u_and_a_traced_stride():
    times = time_grids.uniform(8)
    nearly_one = np.nextafter(np.float32(1), np.float32(0))
    found = jax.jit(student_times)(times, jnp.asarray(nearly_one), jnp.asarray(4))
    np.testing.assert_array_equal(found, [0.5, 0.25, 0.0])
    found = jax.jit(student_times)(times, jnp.zeros(()), jnp.asarray(8))
    np.testing.assert_array_equal(found, [1.0, 0.5, 0.0])


def exact_student(schedule, teacher, times):
    """The denoiser on the coarser grid: for Gaussian data affine in x_t at each of its times."""

    def of_step(i):
        def at(x):
            return two_step_target(schedule, teacher, x, times[i], times[i + 1], times[i + 2], COND)

        offset = at(jnp.zeros(2))
        return at(jnp.ones(2)) - offset, offset

    slopes, offsets = jax.jit(jax.vmap(of_step))(jnp.arange(0, len(times) - 1, 2))

    def denoise(x_t, t, cond):
        i = jnp.argmin(jnp.abs(times[:-1:2] - t))
        return slopes[i] * x_t + offsets[i]

    return denoise


@pytest.mark.parametrize("schedule", [Cosine(), RectifiedFlow()], ids=str)
@pytest.mark.parametrize("grid", [time_grids.Uniform(), time_grids.UniformLogSnr()], ids=str)
def test_exact_student_samples_what_its_teacher_does(schedule, grid):
    teacher, n = GAUSSIAN.denoiser(schedule), 8
    times = grid(schedule, n)
    student = exact_student(schedule, teacher, times)
    x_T = jax.random.normal(jax.random.key(0), (50, 2))

    def run(denoiser, n_steps):
        sampler = Ddim()(schedule, denoiser)
        grid_times = grid(schedule, n_steps)
        draw = jax.vmap(lambda x: sample(jax.random.key(0), sampler, x, grid_times, COND))
        return jax.jit(draw)(x_T)

    expected = run(teacher, n)
    np.testing.assert_allclose(run(student, n // 2), expected, atol=1e-4)
    # The teacher itself with half of the steps makes another sample.
    assert np.abs(run(teacher, n // 2) - expected).max() > 1e-2
