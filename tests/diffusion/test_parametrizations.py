import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxcalo.diffusion import (
    EDM,
    Cosine,
    EpsPrediction,
    FlowVelocity,
    RectifiedFlow,
    ScorePrediction,
    VarianceExploding,
    VPrediction,
    X0Prediction,
    eps_from_x_0,
    fix_variance,
    make_denoiser,
    make_variance_denoiser,
    score_from_x_0,
    split_variance_output,
    x_0_from_eps,
    x_0_from_score,
)

X_0 = np.array([0.7, -1.3, 0.0, 2.1])
EPS = np.array([-0.5, 0.2, 1.9, 0.4])

# What each network is told to predict, as its paper says it.
TARGETS = [
    (EpsPrediction(), lambda x_0, eps, alpha, sigma: eps),
    (X0Prediction(), lambda x_0, eps, alpha, sigma: x_0),
    (
        VPrediction(),
        lambda x_0, eps, alpha, sigma: alpha * eps - sigma * x_0,
    ),
    (ScorePrediction(), lambda x_0, eps, alpha, sigma: -eps / sigma),
    (FlowVelocity(), lambda x_0, eps, alpha, sigma: eps - x_0),
    (EDM(1.0), lambda x_0, eps, alpha, sigma: edm_target(x_0, eps, sigma / alpha, 1.0)),
    (EDM(0.5), lambda x_0, eps, alpha, sigma: edm_target(x_0, eps, sigma / alpha, 0.5)),
]
NAMES = [str(parametrization) for parametrization, _ in TARGETS]
each_target = pytest.mark.parametrize(("parametrization", "target"), TARGETS, ids=NAMES)


def edm_target(y, eps, noise, sigma_data):
    total = noise**2 + sigma_data**2
    c_skip = sigma_data**2 / total
    c_out = noise * sigma_data / np.sqrt(total)
    return (y - c_skip * (y + noise * eps)) / c_out


@each_target
@settings(max_examples=15, deadline=None, derandomize=True)
@given(alpha=st.floats(0.01, 1.0), sigma=st.floats(0.01, 80.0))
def test_the_true_output_gives_the_true_event(parametrization, target, alpha, sigma):
    with jax.enable_x64(True):
        c = parametrization.coefficients(jnp.float64(alpha), jnp.float64(sigma))
        x_t = alpha * X_0 + sigma * EPS
        x_0_hat = c.c_skip * x_t + c.c_out * target(X_0, EPS, alpha, sigma)
        np.testing.assert_allclose(x_0_hat, X_0, atol=1e-9)
        assert c.c_noise == pytest.approx(np.log(sigma / alpha) / 4)
        scale = parametrization.sigma_data if isinstance(parametrization, EDM) else 1.0
        assert c.c_in == pytest.approx(1 / np.sqrt((alpha * scale) ** 2 + sigma**2))


@pytest.mark.parametrize("schedule", [Cosine(), VarianceExploding(), RectifiedFlow()], ids=str)
@pytest.mark.parametrize("t", [0.0, 0.05, 0.5, 1.0])
@each_target
def test_one_true_eps_gives_one_denoised_event(parametrization, target, t, schedule):
    seen = []

    def net_fn(params, x, c_noise, cond):
        seen.append((x.shape, c_noise.shape, cond.shape))
        scaled = target(X_0, EPS, schedule.alpha(t), schedule.sigma(t))
        return params * scaled[None]

    denoiser = make_denoiser(net_fn, 1.0, schedule, parametrization)
    x_t = schedule.alpha(t) * X_0 + schedule.sigma(t) * EPS
    # float32: at t = 1 x_t and sigma eps agree but for alpha x_0, which costs the digits of alpha
    atol = 6e-7 * (1 + float(schedule.sigma(t)) / float(schedule.alpha(t)))
    np.testing.assert_allclose(denoiser(x_t, t, jnp.zeros(2)), X_0, atol=atol)
    assert seen == [((1, 4), (1,), (1, 2))]


def test_the_network_sees_the_scaled_event_the_noise_level_and_the_condition():
    schedule, parametrization, t = Cosine(), EDM(0.5), 0.3
    c = parametrization.coefficients(schedule.alpha(t), schedule.sigma(t))

    def net_fn(params, x, c_noise, cond):
        return x + 10 * c_noise[:, None] + 100 * cond

    x_t, cond = jnp.array([1.0, 2.0]), jnp.array([0.7])
    denoised = make_denoiser(net_fn, None, schedule, parametrization)(x_t, t, cond)
    expected = c.c_skip * x_t + c.c_out * (c.c_in * x_t + 10 * c.c_noise + 70)
    np.testing.assert_allclose(denoised, expected, rtol=1e-6)
    assert float(c.c_noise) == pytest.approx(-float(schedule.log_snr(t)) / 8, rel=1e-5)


def test_vmapped_denoiser_is_the_batch_of_the_network():
    schedule = Cosine()

    def net_fn(params, x, c_noise, cond):
        return jnp.tanh(x @ params + c_noise[:, None]) * cond

    keys = jax.random.split(jax.random.key(0), 4)
    params, x_t, cond = (
        jax.random.normal(k, s) for k, s in zip(keys, [(3, 3), (5, 3), (5, 1)], strict=False)
    )
    t = jnp.linspace(0.1, 0.9, 5)
    denoised = jax.vmap(make_denoiser(net_fn, params, schedule, VPrediction()))(x_t, t, cond)
    alpha, sigma = schedule.alpha(t)[:, None], schedule.sigma(t)[:, None]
    output = net_fn(params, x_t, jnp.log(sigma / alpha)[:, 0] / 4, cond)
    np.testing.assert_allclose(denoised, alpha * x_t - sigma * output, atol=1e-5)


def test_edm_of_unit_data_is_minus_v_where_variance_is_preserved():
    alpha, sigma = Cosine().alpha(0.37), Cosine().sigma(0.37)
    edm, v = EDM(1.0).coefficients(alpha, sigma), VPrediction().coefficients(alpha, sigma)
    np.testing.assert_allclose(edm, v._replace(c_out=-v.c_out), rtol=1e-6)


def test_edm_output_has_unit_variance_at_every_level():
    # target variance ((1 - c_skip)^2 sigma_data^2 + c_skip^2 noise^2) / c_out^2, with alpha = 1
    for noise in (0.002, 0.3, 80.0):
        c = EDM(0.5).coefficients(jnp.float32(1), jnp.float32(noise))
        variance = ((1 - c.c_skip) ** 2 * 0.25 + c.c_skip**2 * noise**2) / c.c_out**2
        assert variance == pytest.approx(1, rel=1e-4)
        assert c.c_in**2 * (0.25 + noise**2) == pytest.approx(1, rel=1e-5)


def test_variance_denoiser_splits_the_output():
    schedule, t, x_t = Cosine(), 0.6, jnp.array([0.3, -0.8])
    prediction, logits = jnp.array([0.1, 0.2]), jnp.array([-100.0, 0.0])

    def net_fn(params, x, c_noise, cond):
        return jnp.concatenate([prediction, logits])[None]

    make = make_variance_denoiser(net_fn, None, schedule, EpsPrediction())
    x_0_hat, fraction = make(x_t, t, jnp.zeros(1))
    plain = make_denoiser(lambda *_: prediction[None], None, schedule, EpsPrediction())
    np.testing.assert_allclose(x_0_hat, plain(x_t, t, jnp.zeros(1)))
    np.testing.assert_allclose(fraction, [0.0, 0.5])


def test_split_keeps_the_fraction_inside_its_interval():
    _, fraction = split_variance_output(jnp.array([0.0, 0.0, -1e4, 1e4]))
    np.testing.assert_array_equal(fraction, [0.0, 1.0])


def test_fix_variance_adds_the_number_and_leaves_the_event():
    denoiser = fix_variance(lambda x_t, t, cond: 2 * x_t, 0.25)
    x_0_hat, fraction = denoiser(jnp.array([1.0, 3.0]), 0.5, jnp.zeros(1))
    np.testing.assert_array_equal(x_0_hat, [2.0, 6.0])
    assert fraction == 0.25


def test_conversions_agree_with_the_definition_of_eps():
    alpha, sigma = 0.6, 0.8
    x_t = alpha * X_0 + sigma * EPS
    np.testing.assert_allclose(eps_from_x_0(X_0, x_t, alpha, sigma), EPS, atol=1e-12)
    np.testing.assert_allclose(x_0_from_eps(EPS, x_t, alpha, sigma), X_0, atol=1e-12)
    score = score_from_x_0(X_0, x_t, alpha, sigma)
    np.testing.assert_allclose(score, -EPS / sigma, atol=1e-12)
    np.testing.assert_allclose(x_0_from_score(score, x_t, alpha, sigma), X_0, atol=1e-12)


def test_score_of_gaussian_data_is_the_gradient_of_the_log_density():
    alpha, sigma, std = 0.6, 0.8, 0.5
    variance = (alpha * std) ** 2 + sigma**2

    def log_density(x):
        return -0.5 * x**2 / variance

    x_t = 0.9
    x_0_hat = alpha * std**2 / variance * x_t
    gradient = jax.grad(log_density)(x_t)
    assert score_from_x_0(x_0_hat, x_t, alpha, sigma) == pytest.approx(float(gradient), rel=1e-5)
