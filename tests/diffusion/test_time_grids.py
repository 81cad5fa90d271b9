import numpy as np
import pytest

from jaxcalo.diffusion import (
    Cosine,
    Linear,
    RectifiedFlow,
    Sigmoid,
    VarianceExploding,
    time_grids,
)
from jaxcalo.errors import InputError

SCHEDULES = [Cosine(), Linear(), Sigmoid(), VarianceExploding(), RectifiedFlow()]
GRIDS = [
    time_grids.uniform,
    time_grids.quadratic,
    *(lambda n, s=s: time_grids.uniform_log_snr(s, n) for s in SCHEDULES),
    *(lambda n, s=s: time_grids.karras(s, n) for s in SCHEDULES),
]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("n_steps", [1, 2, 50])
def test_a_grid_falls_from_exactly_one_to_exactly_zero(grid, n_steps):
    times = np.asarray(grid(n_steps))
    assert times.shape == (n_steps + 1,)
    assert (times[0], times[-1]) == (1.0, 0.0)
    assert np.all(np.diff(times) < 0)


@pytest.mark.parametrize("grid", GRIDS)
def test_a_grid_without_steps_is_refused(grid):
    with pytest.raises(InputError, match="n_steps"):
        grid(0)


def test_uniform_and_quadratic_spacing():
    np.testing.assert_allclose(time_grids.uniform(4), [1, 0.75, 0.5, 0.25, 0])
    np.testing.assert_allclose(time_grids.quadratic(4), [1, 0.5625, 0.25, 0.0625, 0])


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_uniform_log_snr_has_equal_steps_in_log_snr(schedule):
    log_snr = np.asarray(schedule.log_snr(time_grids.uniform_log_snr(schedule, 10)))
    np.testing.assert_allclose(np.diff(log_snr), (log_snr[-1] - log_snr[0]) / 10, rtol=1e-3)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize("rho", [1.0, 7.0])
def test_karras_has_equal_steps_in_the_root_of_the_noise(schedule, rho):
    times = time_grids.karras(schedule, 10, rho)
    noise = np.exp(-np.asarray(schedule.log_snr(times), np.float64) / 2)
    root = noise ** (1 / rho)
    np.testing.assert_allclose(np.diff(root), (root[-1] - root[0]) / 10, rtol=2e-3)
    assert noise[0] == pytest.approx(np.exp(-float(schedule.log_snr(1.0)) / 2), rel=1e-4)


SETTINGS = [
    (time_grids.Uniform(), lambda schedule, n: time_grids.uniform(n)),
    (time_grids.Quadratic(), lambda schedule, n: time_grids.quadratic(n)),
    (time_grids.UniformLogSnr(), time_grids.uniform_log_snr),
    (time_grids.Karras(), time_grids.karras),
    (time_grids.Karras(3.0), lambda schedule, n: time_grids.karras(schedule, n, 3.0)),
    (time_grids.Searched((1.0, 0.7, 0.2, 0.0)), lambda schedule, n: np.float32([1, 0.7, 0.2, 0])),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize(("grid", "function"), SETTINGS, ids=[str(grid) for grid, _ in SETTINGS])
def test_a_setting_lays_the_grid_of_its_function(grid, function, schedule):
    np.testing.assert_array_equal(grid(schedule, 3), function(schedule, 3))


def test_a_setting_is_equal_to_its_like_and_not_to_another():
    assert time_grids.Karras(7.0) == time_grids.Karras()
    assert hash(time_grids.Searched((1.0, 0.0))) == hash(time_grids.Searched((1.0, 0.0)))
    assert time_grids.Karras(7.0) != time_grids.Karras(5.0)
    assert time_grids.Uniform() != time_grids.Quadratic()


@pytest.mark.parametrize("n_steps", [1, 4])
def test_searched_times_are_refused_for_another_number_of_steps(n_steps):
    with pytest.raises(InputError, match=f"n_steps=3.*found {n_steps}"):
        time_grids.Searched((1.0, 0.7, 0.2, 0.0))(Cosine(), n_steps)


@pytest.mark.parametrize(
    "times", [(), (1.0,), (0.9, 0.0), (1.0, 0.1), (1.0, 0.5, 0.5, 0.0), (1.0, 0.2, 0.4, 0.0)]
)
def test_searched_times_must_fall_from_one_to_zero(times):
    with pytest.raises(InputError, match="fall strictly from 1 to 0"):
        time_grids.Searched(times)


@pytest.mark.parametrize("rho", [0.0, -1.0])
def test_karras_exponent_must_be_positive(rho):
    with pytest.raises(InputError, match="rho > 0"):
        time_grids.Karras(rho)
