import numpy as np
import pytest

from jaxcalo.diffusion import Cosine, Linear, Sigmoid, time_grids
from jaxcalo.errors import InputError

SCHEDULES = [Cosine(), Linear(), Sigmoid()]
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
