import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import GaussianOracle

from jaxcalo.diffusion import (
    EDM,
    Cosine,
    EDMWeight,
    EpsPrediction,
    FlowVelocity,
    FlowWeight,
    Linear,
    MinSnr,
    RectifiedFlow,
    ScorePrediction,
    Shifted,
    Sigmoid,
    Snr,
    Unit,
    VarianceExploding,
    VPrediction,
    X0Prediction,
    denoising_loss,
    estimate_vlb,
    fix_variance,
    hybrid_loss,
    kl_divergence,
    p_transition,
    q_posterior,
    q_sample,
    split_variance_output,
    time_grids,
    transition_kl,
    vlb_terms,
)

PARAMETRIZATIONS = [
    EpsPrediction(),
    X0Prediction(),
    VPrediction(),
    ScorePrediction(),
    EDM(),
    EDM(0.5),
    FlowVelocity(),
]
WEIGHTINGS = [Unit(), Snr(), MinSnr(), EDMWeight(), FlowWeight()]
SCHEDULES = [
    Cosine(),
    Linear(),
    Sigmoid(),
    Shifted(Cosine(), -2.0),
    VarianceExploding(),
    RectifiedFlow(),
]
each_parametrization = pytest.mark.parametrize("parametrization", PARAMETRIZATIONS, ids=str)


def draw(*shapes):
    keys = jax.random.split(jax.random.key(7), len(shapes))
    return [jax.random.normal(k, s) for k, s in zip(keys, shapes, strict=True)]


def denoise(parametrization, schedule, x_t, t, output):
    c = parametrization.coefficients(schedule.alpha(t), schedule.sigma(t))
    return c.c_skip * x_t + c.c_out * output


@each_parametrization
@pytest.mark.parametrize("t", [0.0, 0.02, 0.5, 1.0])
def test_snr_weight_is_the_squared_error_of_eps(parametrization, t):
    with jax.enable_x64(True):
        schedule = Cosine()
        x_0, output = draw((5,), (5,))
        x_t, eps = q_sample(jax.random.key(0), schedule, x_0, t)
        x_0_hat = denoise(parametrization, schedule, x_t, t, output)
        eps_hat = (x_t - schedule.alpha(t) * x_0_hat) / schedule.sigma(t)
        loss = denoising_loss(parametrization, Snr(), schedule, x_0, x_t, t, output)
        assert float(loss) == pytest.approx(float(jnp.mean((eps - eps_hat) ** 2)), rel=1e-6)


@each_parametrization
@pytest.mark.parametrize("weighting", WEIGHTINGS, ids=str)
def test_the_loss_is_the_weighted_squared_error_of_the_event(parametrization, weighting):
    schedule, t = Linear(), 0.3
    x_0, output = draw((5,), (5,))
    x_t, _ = q_sample(jax.random.key(0), schedule, x_0, t)
    error = denoise(parametrization, schedule, x_t, t, output) - x_0
    weight = np.exp(float(weighting.log_weight(schedule.log_snr(t))))
    loss = denoising_loss(parametrization, weighting, schedule, x_0, x_t, t, output)
    assert float(loss) == pytest.approx(weight * float(jnp.mean(error**2)), rel=1e-4)


@each_parametrization
def test_loss_and_gradient_are_finite_at_both_ends(parametrization):
    x_0, output = draw((5,), (5,))

    def loss_fn(output, t, schedule, weighting):
        x_t, _ = q_sample(jax.random.key(0), schedule, x_0, t)
        return denoising_loss(parametrization, weighting, schedule, x_0, x_t, t, output)

    @jax.jit
    def all_pairs(t):
        return [
            jax.value_and_grad(loss_fn)(output, t, schedule, weighting)
            for schedule in (Linear(), Cosine(), VarianceExploding(), RectifiedFlow())
            for weighting in WEIGHTINGS
        ]

    for loss, gradient in all_pairs(0.0) + all_pairs(1.0):
        assert np.isfinite(loss)
        assert loss > 0
        assert np.all(np.isfinite(gradient))


def test_eps_network_that_answers_eps_has_no_loss():
    schedule, (x_0,) = Cosine(), draw((5,))
    for t in (0.01, 0.5, 0.99):
        x_t, eps = q_sample(jax.random.key(0), schedule, x_0, t)
        loss = denoising_loss(EpsPrediction(), Snr(), schedule, x_0, x_t, t, eps)
        assert loss < 1e-8


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize(("s", "t"), [(0.0, 0.01), (0.4, 0.5), (0.9, 1.0)])
def test_transition_kl_is_the_divergence_of_the_two_gaussians(schedule, s, t):
    with jax.enable_x64(True):
        x_0, x_0_hat, x_t, logits = draw((6,), (6,), (6,), (6,))
        fraction = jax.nn.sigmoid(logits)
        q = q_posterior(schedule, x_0, x_t, s, t)
        p = p_transition(schedule, x_0_hat, x_t, s, t, fraction)
        kl = transition_kl(schedule, x_0, x_0_hat, fraction, s, t)
        assert float(kl) == pytest.approx(float(kl_divergence(q, p)) / 6, rel=1e-9)


def test_transition_kl_vanishes_without_a_step_or_an_error():
    x_0, x_0_hat = draw((6,), (6,))
    half = jnp.full(6, 0.5)
    assert transition_kl(Cosine(), x_0, x_0_hat, half, 0.3, 0.3) == 0
    assert transition_kl(Cosine(), x_0, x_0, jnp.zeros(6), 0.3, 0.4) == 0
    assert transition_kl(Cosine(), x_0, x_0, half, 0.3, 0.4) > 0


@each_parametrization
def test_hybrid_gradient_of_the_mean_is_that_of_l_simple(parametrization):
    schedule, t = Cosine(), 0.6
    x_0, output = draw((5,), (10,))
    x_t, _ = q_sample(jax.random.key(0), schedule, x_0, t)

    def hybrid(output):
        return hybrid_loss(
            parametrization, schedule, x_0, x_t, t, output, n_steps=100, vlb_weight=0.5
        )

    def simple(prediction):
        return denoising_loss(parametrization, Snr(), schedule, x_0, x_t, t, prediction)

    gradient = jax.grad(hybrid)(output)
    np.testing.assert_allclose(gradient[:5], jax.grad(simple)(output[:5]), rtol=1e-6)
    assert np.all(np.abs(gradient[5:]) > 1e-6)


def test_hybrid_loss_is_l_simple_and_the_weighted_bound():
    schedule, parametrization, t, n_steps = Linear(), EpsPrediction(), 0.6, 100
    x_0, output = draw((5,), (10,))
    x_t, _ = q_sample(jax.random.key(0), schedule, x_0, t)
    prediction, fraction = split_variance_output(output)
    x_0_hat = denoise(parametrization, schedule, x_t, t, prediction)
    simple = denoising_loss(parametrization, Snr(), schedule, x_0, x_t, t, prediction)
    bound = n_steps * transition_kl(schedule, x_0, x_0_hat, fraction, t - 1 / n_steps, t)
    total = hybrid_loss(parametrization, schedule, x_0, x_t, t, output, n_steps=n_steps)
    assert float(total) == pytest.approx(float(simple + 1e-3 * bound), rel=1e-5)
    assert bound > 1e-3


@pytest.mark.parametrize("t", [0.0, 1e-4, 1.0])
def test_hybrid_loss_is_finite_at_the_ends(t):
    schedule, (x_0, output) = Cosine(), draw((5,), (10,))
    x_t, _ = q_sample(jax.random.key(0), schedule, x_0, t)

    def loss_fn(output):
        return hybrid_loss(VPrediction(), schedule, x_0, x_t, t, output, n_steps=100)

    loss, gradient = jax.value_and_grad(loss_fn)(output)
    assert np.isfinite(loss)
    assert np.all(np.isfinite(gradient))


ORACLE = GaussianOracle(mean=jnp.array([0.0, 1.0, -0.5, 0.2]), std=jnp.array([1.0, 0.3, 0.7, 0.1]))
N_EVENTS = 2000


def excess(denoiser, schedule, times):
    """Mean and standard error of (bound - negative log likelihood) on the oracle's events."""
    x_0 = ORACLE.sample(jax.random.key(0), (N_EVENTS, 4))
    keys = jax.random.split(jax.random.key(1), N_EVENTS)

    def bound(key, x):
        return vlb_terms(key, schedule, denoiser, x, times, jnp.zeros(1)).total

    gap = jax.jit(jax.vmap(bound))(keys, x_0) - ORACLE.negative_log_likelihood(x_0)
    gap = np.asarray(gap, np.float64)
    return gap.mean(), gap.std() / np.sqrt(N_EVENTS)


def expected_excess(schedule, n_steps):
    """The same for the posterior variance, by hand, from Var[x_0 | x_t]."""
    with jax.enable_x64(True):
        times = time_grids.uniform_log_snr(schedule, n_steps)
        snr = np.exp(np.asarray(schedule.log_snr(times)))[:-1, None]
    std_2 = np.square(np.asarray(ORACLE.std, np.float64))
    variance = std_2 / (1 + snr * std_2)
    transitions = 0.5 * np.mean(np.diff(snr, axis=0) * variance[:-1], axis=1).sum()
    decoder = 0.5 * np.mean(-np.log(snr[-1]) + snr[-1] * variance[-1])
    return transitions + decoder - 0.5 * np.mean(1 + np.log(std_2))  # the prior is below 1e-4


@pytest.mark.parametrize("schedule", [Linear(), VarianceExploding(), RectifiedFlow()], ids=str)
def test_bound_of_the_exact_reverse_chain_is_the_likelihood(schedule):
    """With the true reverse variance the bound is tight at any number of steps."""
    times = time_grids.uniform_log_snr(schedule, 12)
    gap, error = excess(ORACLE.exact_reverse(schedule, times), schedule, times)
    assert error < 0.02
    assert abs(gap) < 5 * error


def test_bound_with_the_posterior_variance_falls_to_the_likelihood():
    schedule = Cosine()
    denoiser = fix_variance(ORACLE.denoiser(schedule), 0.0)
    gap, error = excess(denoiser, schedule, time_grids.uniform_log_snr(schedule, 60))
    assert error < 0.05
    assert gap > 5 * error
    assert gap == pytest.approx(expected_excess(schedule, 60), abs=5 * error)
    assert 0 < expected_excess(schedule, 8000) < 0.01 * gap


def test_estimated_bound_is_unbiased():
    schedule, times = Cosine(), time_grids.uniform_log_snr(Cosine(), 50)
    denoiser = fix_variance(ORACLE.denoiser(schedule), 0.0)
    args, n = (jnp.array([0.3, 1.2, -1.0, 0.25]), times, jnp.zeros(1)), 2000

    def both(key):
        few = estimate_vlb(key, schedule, denoiser, *args, n_samples=7)
        return vlb_terms(key, schedule, denoiser, *args).total, few

    keys = jax.random.split(jax.random.key(2), n)
    full, few = (np.asarray(x, np.float64) for x in jax.jit(jax.vmap(both))(keys))
    error = np.hypot(full.std(), few.std()) / np.sqrt(n)
    assert abs(full.mean() - few.mean()) < 5 * error
    assert error < 0.1


def test_estimate_with_all_transitions_visits_each_once():
    schedule, times = Cosine(), time_grids.uniform(20)
    x_0 = jnp.array([0.3, 1.2, -1.0, 0.25])

    def blind(x_t, t, cond):
        return jnp.zeros(4), jnp.zeros(4)

    args = (jax.random.key(0), schedule, blind, x_0, times, jnp.zeros(1))
    full, estimate = vlb_terms(*args), estimate_vlb(*args, n_samples=19)
    assert full.transitions.shape == (19,)
    assert float(estimate) == pytest.approx(float(full.total), rel=1e-5)


def test_ends_of_the_bound_are_the_closed_forms():
    schedule, x_0, x_0_hat = Cosine(-1.0, 6.0), jnp.array([0.3, 1.2]), jnp.array([0.25, 1.4])
    times = jnp.array([1.0, 0.5, 0.1, 0.0])
    denoiser = fix_variance(lambda x_t, t, cond: x_0_hat, 0.0)
    terms = vlb_terms(jax.random.key(0), schedule, denoiser, x_0, times, jnp.zeros(1))
    alpha_2, sigma_2 = 1 / (1 + np.exp(1)), 1 / (1 + np.exp(-1))
    prior = 0.5 * (sigma_2 - 1 - np.log(sigma_2) + alpha_2 * np.mean(np.square(x_0)))
    assert float(terms.prior) == pytest.approx(prior, rel=1e-5)
    variance = np.exp(-float(schedule.log_snr(0.1)))
    squares = np.square(np.array([0.05, -0.2])) / variance
    decoder = 0.5 * np.mean(np.log(2 * np.pi * variance) + squares)
    assert float(terms.decoder) == pytest.approx(decoder, rel=1e-4)
    snr = np.exp(np.asarray(schedule.log_snr(times)))
    transitions = 0.5 * np.diff(snr)[:2] * np.mean([0.05**2, 0.2**2])
    np.testing.assert_allclose(terms.transitions, transitions, rtol=1e-4)
    total = prior + transitions.sum() + decoder
    assert float(terms.total) == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize("schedule", [VarianceExploding(0.01, 2.0), RectifiedFlow(-1.0, 6.0)])
def test_prior_of_the_bound_has_the_width_that_generation_starts_from(schedule):
    x_0, denoiser = jnp.array([0.3, 1.2]), fix_variance(lambda x_t, t, cond: 0 * x_t, 0.0)
    args = (jax.random.key(0), schedule, denoiser, x_0, time_grids.uniform(2), jnp.zeros(1))
    alpha_2, sigma_2 = float(schedule.alpha(1.0)) ** 2, float(schedule.sigma(1.0)) ** 2
    signal = alpha_2 / (alpha_2 + sigma_2)
    expected = 0.5 * (-signal - np.log1p(-signal) + signal * np.mean(np.square(x_0)))
    assert float(vlb_terms(*args).prior) == pytest.approx(expected, rel=1e-5)


def test_the_decoder_alone_is_left_of_a_grid_of_one_step():
    denoiser = fix_variance(lambda x_t, t, cond: jnp.zeros(2), 0.0)
    args = (jax.random.key(0), Cosine(), denoiser, jnp.ones(2), time_grids.uniform(1), jnp.zeros(1))
    terms = vlb_terms(*args)
    assert terms.transitions.shape == (0,)
    assert float(terms.total) == pytest.approx(float(terms.prior + terms.decoder))
