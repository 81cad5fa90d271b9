import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import GaussianOracle, MixtureOracle

from jaxcalo.diffusion import (
    Cosine,
    Karras,
    Linear,
    RectifiedFlow,
    Shifted,
    Sigmoid,
    UniformLogSnr,
    VarianceExploding,
    log_likelihood,
    reverse_drift,
    score_from_x_0,
    sde,
    velocity,
)
from jaxcalo.errors import InputError

SCHEDULES = [
    Cosine(),
    Linear(),
    Sigmoid(),
    Shifted(Cosine(), -2.0),
    VarianceExploding(),
    RectifiedFlow(),
]
each_schedule = pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
COND = jnp.zeros(1)
ORACLE = GaussianOracle(jnp.array([0.0, 0.8, -0.5]), jnp.array([1.0, 0.5, 2.0]))
X_0 = jnp.array([[0.3, -0.2, 2.5], [-1.4, 0.9, -3.0], [0.0, 0.8, -0.5]])
CORRELATED = MixtureOracle(
    [1.0], [[0.0, 0.0, 0.0]], [[1.0, 0.6, 0.2], [0.6, 0.8, 0.1], [0.2, 0.1, 0.5]]
)
MIXTURE = MixtureOracle([0.3, 0.7], [[-1.4, 0.0], [0.6, 0.0]], [[0.1, 0.03], [0.03, 0.2]])


def likelihoods(oracle, schedule, x_0, times, n_probes=None, key=None):
    """Of a batch of events, in one compiled call."""
    keys = jax.random.split(jax.random.key(0) if key is None else key, len(x_0))

    def one(key, x):
        denoiser = oracle.denoiser(schedule)
        return log_likelihood(key, schedule, denoiser, x, COND, times, n_probes=n_probes)

    return np.asarray(jax.jit(jax.vmap(one))(keys, x_0), np.float64)


def flow_likelihood(schedule, x_0):
    """log p(x_0) of the oracle's flow from N(0, prior_std^2), in closed form, in float64."""
    with jax.enable_x64(True):
        start, end = ORACLE.marginal(schedule, 0.0), ORACLE.marginal(schedule, 1.0)
        alpha, prior = schedule.alpha(0.0), schedule.alpha(1.0) ** 2 + schedule.sigma(1.0) ** 2
        slope = jnp.sqrt(end.variance / start.variance)
        x_1 = ORACLE.flow(schedule, alpha * jnp.asarray(x_0, float), 0.0, 1.0)
        terms = -0.5 * (x_1**2 / prior + jnp.log(2 * jnp.pi * prior)) + jnp.log(slope * alpha)
        return np.asarray(jnp.sum(terms, axis=-1))


@each_schedule
@pytest.mark.parametrize("t", [0.0, 0.001, 0.5, 1.0])
def test_velocity_is_the_derivative_of_the_exact_flow(schedule, t):
    x_t = jnp.array([0.3, -1.2, 0.8]) * jnp.sqrt(schedule.alpha(t) ** 2 + schedule.sigma(t) ** 2)
    with jax.enable_x64(True):
        _, expected = jax.jvp(
            lambda s: ORACLE.flow(schedule, jnp.asarray(x_t, float), jnp.float64(t), s),
            (jnp.float64(t),),
            (jnp.float64(1),),
        )
    x_0_hat = ORACLE.denoiser(schedule)(x_t, t, COND)
    # eps_hat is a difference of numbers as large as x_t, divided by sigma
    slope = float(jax.grad(schedule.sigma)(jnp.float32(t)))
    cancelled = float(jnp.max(jnp.abs(x_t))) * slope / float(schedule.sigma(t))
    tolerance = 1e-6 * np.max(np.abs(expected)) + 3e-7 * cancelled
    np.testing.assert_allclose(velocity(schedule, x_0_hat, x_t, t), expected, atol=tolerance)


@each_schedule
@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
def test_forward_equation_grows_the_moments_of_the_kernel(schedule, t):
    """d alpha / dt = f alpha and d sigma^2 / dt = 2 f sigma^2 + g^2."""
    rate, g_2 = (float(x) for x in sde(schedule, t))
    with jax.enable_x64(True):
        t = jnp.float64(t)
        alpha, sigma = float(schedule.alpha(t)), float(schedule.sigma(t))
        alpha_rate, variance_rate = (
            float(jax.grad(lambda t, f=f: f(schedule, t))(t))
            for f in (lambda s, t: s.alpha(t), lambda s, t: s.sigma(t) ** 2)
        )
    assert rate * alpha == pytest.approx(alpha_rate, rel=1e-5)
    growth = 2 * rate * sigma**2 + g_2
    assert growth == pytest.approx(variance_rate, rel=1e-5, abs=1e-5 * g_2)
    assert g_2 > 0


def test_linear_schedule_has_the_rates_of_its_beta():
    t = 0.37
    rate, g_2 = sde(Linear(), t)
    beta = 0.1 + 19.9 * t
    assert float(rate) == pytest.approx(-beta / 2, rel=1e-4)
    assert float(g_2) == pytest.approx(beta, rel=1e-4)


@each_schedule
@pytest.mark.parametrize("t", [0.05, 0.5, 1.0])
def test_reverse_drift_is_the_velocity_and_half_the_noise(schedule, t):
    with jax.enable_x64(True):
        x_t = jnp.array([0.3, -1.2, 0.8])
        x_0_hat = ORACLE.denoiser(schedule)(x_t, t, COND)
        rate, g_2 = sde(schedule, t)
        score = score_from_x_0(x_0_hat, x_t, schedule.alpha(t), schedule.sigma(t))
        drift = reverse_drift(schedule, x_0_hat, x_t, t)
        np.testing.assert_allclose(drift, rate * x_t - g_2 * score, rtol=1e-9)
        flow = velocity(schedule, x_0_hat, x_t, t)
        np.testing.assert_allclose(drift, flow - g_2 / 2 * score, rtol=1e-9)


@each_schedule
def test_everything_is_finite_at_both_ends(schedule):
    x = jnp.array([0.3, -1.2, 0.8])
    for t in (0.0, 1.0):
        numbers = [*sde(schedule, t), *velocity(schedule, x, x, t)]
        numbers += [*reverse_drift(schedule, x, x, t)]
        assert np.all(np.isfinite(numbers))


@each_schedule
@pytest.mark.parametrize("grid", [Karras(), UniformLogSnr()], ids=str)
def test_likelihood_of_gaussian_data_is_the_closed_form(schedule, grid):
    found = likelihoods(ORACLE, schedule, X_0, grid(schedule, 32))
    np.testing.assert_allclose(found, flow_likelihood(schedule, X_0), atol=1e-3)


@each_schedule
def test_likelihood_is_that_of_the_data(schedule):
    oracle = GaussianOracle(0.0, jnp.array([1.0, 0.5, 2.0]))
    x_0 = jnp.array([[0.3, -0.2, 1.5], [-1.4, 0.4, -1.0]])
    found = likelihoods(oracle, schedule, x_0, Karras()(schedule, 40))
    # what is left is the signal at t = 1, which the prior does not have
    np.testing.assert_allclose(found, -3 * oracle.negative_log_likelihood(x_0), atol=1.5e-3)


def test_the_error_falls_with_the_fourth_power_of_the_step():
    with jax.enable_x64(True):
        schedule, x_0 = Cosine(), jnp.asarray(X_0, float)
        expected = flow_likelihood(schedule, x_0)
        errors = [
            np.max(
                np.abs(likelihoods(ORACLE, schedule, x_0, UniformLogSnr()(schedule, n)) - expected)
            )
            for n in (20, 40)
        ]
    assert 3.5 < np.log2(errors[0] / errors[1]) < 5.5


def test_an_event_of_data_finer_than_the_noise_has_the_density_of_the_noise():
    """x_0 always 0.7: log p is that of N(0.7, sigma^2 / alpha^2) at t = 0."""
    schedule = Cosine(log_snr_max=6.0)
    x_0 = jnp.array([[0.7], [0.72], [0.6]])
    oracle = GaussianOracle(0.7, 0.0)
    found = likelihoods(oracle, schedule, x_0, UniformLogSnr()(schedule, 64))
    variance = np.exp(-6)
    squares = np.square(np.asarray(x_0[:, 0], np.float64) - 0.7) / variance
    # the signal of 0.7 left at t = 1 has sigma 0.007 and moves the answer by 0.005 z
    np.testing.assert_allclose(found, -0.5 * (squares + np.log(2 * np.pi * variance)), atol=0.02)


@pytest.mark.parametrize("schedule", [Cosine(), VarianceExploding(), RectifiedFlow()], ids=str)
@pytest.mark.parametrize("oracle", [CORRELATED, MIXTURE], ids=["correlated", "mixture"])
def test_likelihood_of_a_density_that_does_not_factorise(schedule, oracle):
    x_0 = oracle.sample(jax.random.key(1), 30)
    found = likelihoods(oracle, schedule, x_0, UniformLogSnr()(schedule, 48))
    expected = np.asarray(jax.vmap(oracle.log_density)(x_0), np.float64)
    # Cosine and RectifiedFlow end at alpha = 0.007 and 0.0003: a component's mean of 1.4 is 0.01
    np.testing.assert_allclose(found, expected, atol=0.01 if isinstance(schedule, Cosine) else 2e-3)


def test_mixture_likelihood_is_normalised():
    side = jnp.linspace(-3.5, 3.5, 36)
    x_0 = jnp.stack(jnp.meshgrid(side, side), axis=-1).reshape(-1, 2)
    found = likelihoods(MIXTURE, Cosine(), x_0, UniformLogSnr()(Cosine(), 32))
    assert np.sum(np.exp(found)) * 0.2**2 == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("n_probes", [1, 4])
def test_hutchinson_is_unbiased(n_probes):
    n, schedule, x = 400, Cosine(), jnp.array([0.4, -0.9, 0.3])
    times = Karras()(schedule, 16)
    exact = likelihoods(CORRELATED, schedule, x[None], times)[0]
    x_0 = jnp.broadcast_to(x, (n, 3))
    found = likelihoods(CORRELATED, schedule, x_0, times, n_probes, jax.random.key(2))
    error = found.std() / np.sqrt(n)
    assert abs(found.mean() - exact) < 5 * error
    assert 1e-3 < found.std() * np.sqrt(n_probes) < 1


def test_hutchinson_is_exact_where_the_components_are_independent():
    times = Karras()(Cosine(), 16)
    exact = likelihoods(ORACLE, Cosine(), X_0, times)
    found = likelihoods(ORACLE, Cosine(), X_0, times, 1, jax.random.key(3))
    np.testing.assert_allclose(found, exact, atol=1e-4)


def test_the_condition_reaches_the_denoiser():
    schedule, times = Cosine(), UniformLogSnr()(Cosine(), 32)

    def denoiser(x_t, t, cond):
        return GaussianOracle(cond, 0.5).denoiser(schedule)(x_t, t, cond)

    def at(cond):
        key, x = jax.random.key(0), jnp.array([0.4])
        return log_likelihood(key, schedule, denoiser, x, jnp.array([cond]), times, n_probes=None)

    gap = 0.5 * (1.4**2 - 0.1**2) / 0.5**2
    assert float(at(0.5) - at(-1.0)) == pytest.approx(gap, abs=0.05)


def test_a_negative_number_of_probes_is_refused():
    with pytest.raises(InputError, match="n_probes >= 1 or None, found 0"):
        likelihoods(ORACLE, Cosine(), X_0, jnp.array([1.0, 0.0]), 0)
