import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxcalo.diffusion import (
    Cosine,
    Linear,
    RectifiedFlow,
    Shifted,
    Sigmoid,
    VarianceExploding,
    alpha_from_log_snr,
    prior_std,
    sigma_from_log_snr,
)
from jaxcalo.errors import InputError

PRESERVING = [
    Cosine(),
    Cosine(-6.0, 9.0),
    Linear(),
    Linear(0.5, 12.0, log_snr_max=10.0),
    Sigmoid(),
    Sigmoid(0.0, 3.0, tau=0.7),
    Shifted(Cosine(), -2.5),
    Shifted(Linear(), 1.0),
    Shifted(VarianceExploding(), 1.0),
]
SCHEDULES = [
    *PRESERVING,
    VarianceExploding(),
    VarianceExploding(0.02, 5.0),
    RectifiedFlow(),
    RectifiedFlow(-9.0, 10.0),
]
times = st.floats(0.0, 1.0, width=32)
# one compiled function a schedule: hypothesis calls it many times
levels = jax.jit(lambda s, t: (s.log_snr(t), s.alpha(t), s.sigma(t)), static_argnums=0)
round_trip = jax.jit(lambda s, t: s.inverse_log_snr(s.log_snr(t)), static_argnums=0)
each_schedule = pytest.mark.parametrize("schedule", SCHEDULES, ids=str)


@each_schedule
def test_log_snr_falls_strictly_and_is_finite_at_the_ends(schedule):
    log_snr = np.asarray(schedule.log_snr(jnp.linspace(0, 1, 1001)))
    assert np.all(np.isfinite(log_snr))
    assert np.all(np.diff(log_snr) < 0)


@each_schedule
@settings(max_examples=25, deadline=None, derandomize=True)
@given(t=times)
def test_inverse_log_snr_inverts(schedule, t):
    # float32: log_snr up to 15 is known to 1e-6, and no schedule here is flatter than d/dt = -5
    assert float(round_trip(schedule, t)) == pytest.approx(t, abs=1e-6)


@each_schedule
@settings(max_examples=25, deadline=None, derandomize=True)
@given(t=times)
def test_signal_and_noise_are_what_log_snr_says(schedule, t):
    log_snr, alpha, sigma = (float(x) for x in levels(schedule, t))
    assert 2 * np.log(alpha / sigma) == pytest.approx(log_snr, abs=5e-6)


@pytest.mark.parametrize("schedule", PRESERVING, ids=str)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(t=times)
def test_variance_is_preserved_where_it_should_be(schedule, t):
    _, alpha, sigma = (float(x) for x in levels(schedule, t))
    assert alpha**2 + sigma**2 == pytest.approx(1, abs=5e-7)


@pytest.mark.parametrize("schedule", PRESERVING, ids=str)
def test_generation_starts_from_unit_noise_where_variance_is_preserved(schedule):
    assert float(prior_std(schedule)) == pytest.approx(1, abs=3e-7)


def test_generation_starts_from_the_width_of_unit_data_at_the_end():
    assert float(prior_std(VarianceExploding())) == pytest.approx(np.sqrt(6401), rel=1e-6)
    left = 1 / (1 + np.exp(8))
    assert float(prior_std(RectifiedFlow())) == pytest.approx(np.hypot(left, 1 - left), rel=1e-6)


@pytest.mark.parametrize("log_snr", [-30.0, -16.0, -1.0, 0.0, 3.0, 15.0, 30.0])
@pytest.mark.parametrize("level", [alpha_from_log_snr, sigma_from_log_snr])
def test_derivatives_in_log_snr_keep_their_digits(level, log_snr):
    single = float(jax.grad(level)(jnp.float32(log_snr)))
    alpha, sigma = 1 / np.sqrt(1 + np.exp(-log_snr)), 1 / np.sqrt(1 + np.exp(log_snr))
    expected = alpha * sigma**2 / 2 if level is alpha_from_log_snr else -sigma * alpha**2 / 2
    assert single == pytest.approx(expected, rel=1e-5)


@each_schedule
def test_float32_agrees_with_float64(schedule):
    t = np.linspace(0, 1, 101, dtype=np.float32)
    single = np.asarray(schedule.log_snr(jnp.asarray(t)))
    with jax.enable_x64(True):
        double = np.asarray(schedule.log_snr(jnp.asarray(t.astype(np.float64))))
    # an error of one float32 epsilon in t or 1 - t is one epsilon in log_snr, not in 1 - alpha
    np.testing.assert_allclose(single, double, atol=5e-6)


def test_cosine_is_the_cosine_of_an_affine_angle():
    t = np.linspace(0, 1, 50)
    angle = np.arccos(np.asarray(Cosine().alpha(jnp.asarray(t)), np.float64))
    inner = slice(1, None)  # arccos near 1 has no digits in float32
    line = np.arctan(np.exp(-7.5)) * (1 - t) + np.arctan(np.exp(5)) * t
    np.testing.assert_allclose(angle[inner], line[inner], atol=3e-6)


def test_variance_exploding_is_a_geometric_growth_over_unmoved_data():
    schedule, t = VarianceExploding(0.01, 50.0), jnp.array([0.0, 0.25, 0.5, 1.0])
    np.testing.assert_array_equal(schedule.alpha(t), np.ones(4))
    expected = 0.01 * 5000 ** np.array([0, 0.25, 0.5, 1])
    np.testing.assert_allclose(schedule.sigma(t), expected, rtol=2e-6)


@pytest.mark.parametrize(
    "schedule", [Cosine(), Cosine(-6.0, 9.0), Sigmoid(), RectifiedFlow()], ids=str
)
def test_the_bounds_are_reached(schedule):
    ends = schedule.log_snr(jnp.array([0.0, 1.0]))
    np.testing.assert_allclose(ends, [schedule.log_snr_max, schedule.log_snr_min], atol=1e-5)


def test_linear_starts_at_its_bound_and_ends_at_the_integral_of_beta():
    assert float(Linear().log_snr(0.0)) == pytest.approx(15, abs=1e-5)
    expected = np.exp(-(0.1 + 20) / 2)
    assert float(Linear().alpha(1.0)) ** 2 == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("n_steps", [1000, 8000])
def test_grid_of_the_linear_schedule_has_the_betas_of_ho(n_steps):
    with jax.enable_x64(True):
        alpha = np.asarray(Linear().alpha(jnp.linspace(0, 1, n_steps + 1)))
    beta = 1 - (alpha[1:] / alpha[:-1]) ** 2
    ho = np.linspace(1e-4, 0.02, n_steps) * 1000 / n_steps
    # half a step of the grid (his beta is that of the step's end), and 1 - exp(-x) = x - x^2 / 2
    offset = 20 * 3.1e-6 / n_steps  # the shift of time that keeps sigma(0) above zero
    assert np.all(np.abs(beta - ho) < 0.5 * 20 / n_steps**2 + ho**2 / 2 * 1.01 + offset)


def test_sigmoid_is_the_published_curve():
    t = np.linspace(0.02, 0.98, 49)

    def curve(x, tau=0.7):
        return 1 / (1 + np.exp(-x / tau))

    published = (curve(3) - curve(3 * t)) / (curve(3) - curve(0))
    ours = np.asarray(Sigmoid(0.0, 3.0, tau=0.7).alpha(jnp.asarray(t))) ** 2
    np.testing.assert_allclose(ours, published, atol=6e-5)  # the bounds move it by exp(-10)


def test_shift_moves_log_snr():
    t = jnp.linspace(0, 1, 5)
    moved = Shifted(Cosine(), -2.0).log_snr(t)
    np.testing.assert_allclose(moved, Cosine().log_snr(t) - 2, rtol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Cosine(3.0, 3.0),
        lambda: Linear(0.0, 20.0),
        lambda: Linear(2.0, 1.0),
        lambda: Linear(log_snr_max=-12.0),
        lambda: Sigmoid(3.0, 3.0),
        lambda: Sigmoid(tau=0.0),
        lambda: Sigmoid(log_snr_min=16.0),
        lambda: VarianceExploding(0.0, 80.0),
        lambda: VarianceExploding(80.0, 80.0),
        lambda: RectifiedFlow(3.0, 3.0),
    ],
)
def test_impossible_settings_are_refused(make):
    with pytest.raises(InputError, match="expected"):
        make()
