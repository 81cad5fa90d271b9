"""Neighbours on a path, their distance, and the exact consistency function of Gaussian data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import GaussianOracle

from jaxcalo.diffusion import (
    EDM,
    Cosine,
    EpsPrediction,
    FlowVelocity,
    Heun,
    Linear,
    RectifiedFlow,
    ScorePrediction,
    VarianceExploding,
    VPrediction,
    X0Prediction,
    time_grids,
)
from jaxcalo.diffusion.consistency import (
    check_boundary,
    close_neighbours,
    consistency_distance,
    grid_path,
    karras_time,
    n_intervals_at,
)
from jaxcalo.errors import InputError

SCHEDULES = [Cosine(), Linear(), RectifiedFlow(), VarianceExploding()]
ORACLE = GaussianOracle(1.5, 0.5)


def coordinate(schedule, t, rho=7.0):
    """Share of the way from t = 0 to t = 1 in (sigma / alpha)^(1 / rho)."""
    at = lambda t: np.exp(-np.asarray(schedule.log_snr(t), np.float64) / (2 * rho))  # noqa: E731
    first, last = at(jnp.ones(())), at(jnp.zeros(()))
    return (at(t) - last) / (first - last)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize("n", [1, 2, 18])
def test_intervals_tile_the_time_and_are_the_karras_grid(schedule, n):
    u = (jnp.arange(n) + 0.5) / n
    later, earlier = jax.jit(jax.vmap(lambda u: grid_path(schedule, u, n)))(u).T
    assert later[-1] == 1.0
    assert earlier[0] == 0.0
    np.testing.assert_array_equal(later[:-1], earlier[1:])
    assert np.all(later > earlier)
    grid = time_grids.karras(schedule, n)[::-1]
    np.testing.assert_allclose(later, grid[1:], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(schedule.log_snr(earlier), schedule.log_snr(grid[:-1]), atol=2e-3)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_the_ends_of_u_fall_into_the_first_and_the_last_interval(schedule):
    n = 7
    first = grid_path(schedule, jnp.zeros(()), n)
    # The largest float32 below 1, times 7, rounds to 7.
    last = grid_path(schedule, jnp.asarray(np.nextafter(np.float32(1), np.float32(0))), n)
    assert first[1] == 0.0
    assert last[0] == 1.0
    np.testing.assert_allclose(coordinate(schedule, first[0]), 1 / n, rtol=1e-4)
    np.testing.assert_allclose(coordinate(schedule, last[1]), 1 - 1 / n, rtol=1e-4)


def test_a_way_of_several_steps_is_the_finer_grid():
    schedule = VarianceExploding()
    ways = jax.vmap(lambda u: grid_path(schedule, u, 5, 3))((jnp.arange(5) + 0.5) / 5)
    finer = time_grids.karras(schedule, 15)
    np.testing.assert_allclose(ways[:, 0], finer[::-1][3::3], rtol=1e-5)
    np.testing.assert_allclose(ways[2], finer[6:10], rtol=1e-5)


@pytest.mark.parametrize("rho", [1.0, 7.0])
def test_karras_time_has_its_coordinate(rho):
    u = jnp.asarray([0.0, 0.1, 0.5, 0.9, 1.0])
    for schedule in SCHEDULES:
        t = karras_time(schedule, u, rho)
        assert t.min() >= 0
        assert t.max() <= 1
        np.testing.assert_allclose(coordinate(schedule, t, rho), u, atol=1e-4)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize("n", [10.0, 160.0])
def test_close_neighbours_are_one_interval_apart(schedule, n):
    u = jnp.asarray([0.15, 0.4, 0.75, 1.0])
    t = karras_time(schedule, u)
    later, earlier = jax.jit(jax.vmap(lambda t: close_neighbours(schedule, t, n)))(t)
    np.testing.assert_array_equal(later, t)
    assert np.all(earlier < later)
    found = coordinate(schedule, later) - coordinate(schedule, earlier)
    np.testing.assert_allclose(found, 1 / n, atol=1e-4)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_close_neighbours_end_at_zero(schedule):
    for t in (karras_time(schedule, jnp.asarray(0.08)), jnp.zeros(())):
        later, earlier = close_neighbours(schedule, t, 10.0)
        assert (later, earlier) == (t, 0.0)


def test_the_number_of_intervals_grows_geometrically():
    found = [float(n_intervals_at(jnp.asarray(p), 10, 160)) for p in (0.0, 0.5, 1.0)]
    np.testing.assert_allclose(found, [10, 40, 160], rtol=1e-5)


def test_distance_without_huber_is_the_mean_square():
    a, b = jnp.asarray([1.0, 2.0, 5.0]), jnp.asarray([1.0, 0.0, 4.0])
    assert consistency_distance(a, b, 0.0) == pytest.approx(5 / 3)


def test_pseudo_huber_is_quadratic_near_and_linear_far():
    c, one = 0.03, jnp.ones(4)
    distance = lambda d: float(consistency_distance(d * one, 0 * one, c))  # noqa: E731
    for d in (0.01, 0.03, 0.5):
        assert distance(d) == pytest.approx(np.sqrt(d**2 + c**2) - c, rel=1e-4)
    # 1e-5 is a millionth of c^2: sqrt(d^2 + c^2) - c in float32 would be zero
    assert distance(1e-5) == pytest.approx(1e-10 / (2 * c), rel=1e-4)
    assert distance(200.0) - distance(100.0) == pytest.approx(100, rel=1e-4)


@pytest.mark.parametrize("huber", [0.0, 0.03])
def test_gradient_of_the_distance_is_finite_where_it_is_zero(huber):
    x = jnp.asarray([1.0, -2.0])
    gradient = jax.grad(lambda a: consistency_distance(a, x, huber))(x)
    np.testing.assert_array_equal(gradient, 0.0)
    away = jax.grad(lambda a: consistency_distance(a, x, huber))(x + 0.1)
    assert np.all(away > 0)


PARAMETRIZATIONS = [EDM(), EDM(0.5), VPrediction(), EpsPrediction(), ScorePrediction()]


@pytest.mark.parametrize("parametrization", [*PARAMETRIZATIONS, FlowVelocity()], ids=str)
@pytest.mark.parametrize("make", [Cosine, RectifiedFlow])
def test_denoiser_is_the_identity_at_the_noiseless_end(parametrization, make):
    """With the noise of t = 0 lowered, c_skip goes to 1 / alpha and c_out to 0."""
    check_boundary(parametrization)
    far = []
    for end in (15.0, 25.0):
        schedule = make(log_snr_max=end)
        alpha, sigma = schedule.alpha(jnp.zeros(())), schedule.sigma(jnp.zeros(()))
        c = parametrization.coefficients(alpha, sigma)
        far.append((abs(float(c.c_skip * alpha) - 1), abs(float(c.c_out))))
    assert max(far[0]) < 2e-3
    assert max(far[1]) < 1e-5


def test_a_denoiser_of_x_0_is_refused():
    with pytest.raises(InputError, match="X0Prediction"):
        check_boundary(X0Prediction())
    c = X0Prediction().coefficients(jnp.ones(()), jnp.zeros(()))
    assert c.c_skip == 0.0


@pytest.mark.parametrize("schedule", [Cosine(), RectifiedFlow(), VarianceExploding()], ids=str)
def test_exact_consistency_function_agrees_at_the_ends_of_a_teachers_step(schedule):
    """f(x_t, t) = f(x_r, r) up to Heun's error, which falls with the length of the step."""

    def consistent(x, t):
        return ORACLE.flow(schedule, x, t, jnp.zeros(()))

    sampler = Heun()(schedule, ORACLE.denoiser(schedule))

    def disagreement(u, z, n):
        t, r = grid_path(schedule, u, n)
        marginal = ORACLE.marginal(schedule, t)
        x_t = marginal.mean + jnp.sqrt(marginal.variance) * z
        x_r = sampler.step(sampler.init(x_t, None), None, t, r, None).x
        return jnp.abs(consistent(x_t, t) - consistent(x_r, r))

    z = jax.random.normal(jax.random.key(0), (100, 1))
    worst = []
    for n in (20, 80):
        u = (jnp.arange(100) + 0.5) / 100
        found = jax.jit(jax.vmap(lambda u, z, n=n: disagreement(u, z, n)))(u, z)
        worst.append(float(found.max()))
    assert worst[0] < 0.1
    assert worst[1] < worst[0] / 16
