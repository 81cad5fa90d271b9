"""VAEs: the bound where it is known, what is learned, and the buffer on any number of devices."""

import dataclasses
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from vector_cases import (
    Linear,
    batch_of,
    drawn,
    encode,
    quick_jit,
    run,
)

from jaxcalo.diffusion import randn
from jaxcalo.errors import InputError
from jaxcalo.families import (
    DensityBuffer,
    FixedWidth,
    LearnedWidth,
    Vae,
    evaluate_vae,
    vae,
    vae_noise,
)
from jaxcalo.families.physics import PhysicsTerm
from jaxcalo.nets import ResidualDense

N, K, S = 4, 2, 0.5
# Probabilistic PCA's factors, orthogonal so that the posterior is independent in its components.
Q = np.linalg.qr(np.random.default_rng(1).standard_normal((N, N)))[0]
W = Q[:, :K] * np.array([2.0, 1.0])
COVARIANCE = W @ W.T + S**2 * np.eye(N)


@cache
def gaussian(n=4096):
    draws = np.random.default_rng(2).standard_normal((n, N))
    event = draws @ np.linalg.cholesky(COVARIANCE).T
    return {"event": event.astype(np.float32), "cond": np.zeros((n, 0), np.float32)}


def ppca_loss(events):
    """-log N(x; 0, C), the mean over the events."""
    inverse, log_det = np.linalg.inv(COVARIANCE), np.linalg.slogdet(COVARIANCE)[1]
    squares = np.einsum("bi,ij,bj->b", events, inverse, events)
    return 0.5 * (squares.mean() + log_det + N * np.log(2 * np.pi))


PPCA = Vae(K, 1.0, LearnedWidth(of_event=False, smallest=1e-3))
PLAYERS = Linear(K, also=K), Linear(N)


def linear_model(config=PPCA, players=PLAYERS, optimizer=None, **options):
    optimizer = optax.adam(3e-2) if optimizer is None else optimizer
    settings = {"encode": encode, "n_components": N, "ema_decay": 0.98}
    return vae(*players, config, optimizer, **settings, **options)


def ppca_params():
    """q(z | x) = N(M^-1 W^T x, s^2 M^-1) and p(x | z) = N(W z, s^2), M = W^T W + s^2."""
    m = W.T @ W + S**2 * np.eye(K)
    encoder = {
        "A": W @ np.linalg.inv(m),
        "B": np.zeros((0, K)),
        "also": np.log(S**2 / np.diag(m)),
    }
    decoder = {"A": W.T, "B": np.zeros((0, N)), "also": np.zeros(0)}
    params = {"encoder": encoder, "decoder": decoder, "log_std": np.full(N, np.log(S))}
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), params)


def test_the_bound_of_a_linear_model_is_the_likelihood_of_probabilistic_pca():
    evaluate = quick_jit(evaluate_vae(*PLAYERS, PPCA, encode=encode))
    found = evaluate(jax.random.key(0), ppca_params(), gaussian())
    expected = ppca_loss(gaussian()["event"])
    # log p(x | z) of one z an event is sqrt(K / 2) nats wide or so: 0.016 in the mean.
    np.testing.assert_allclose(found["validation_loss"], expected, atol=0.05)
    worse = ppca_params()
    worse["encoder"]["also"] += 1.0
    # KL(q || posterior) of variances e times too large: K (e - 2) / 2
    loss = evaluate(jax.random.key(0), worse, gaussian())["validation_loss"]
    np.testing.assert_allclose(loss, expected + K * (np.e - 2) / 2, atol=0.06)


def test_training_a_linear_model_reaches_that_likelihood_and_samples_its_covariance():
    model = linear_model(optimizer=optax.adam(optax.cosine_decay_schedule(3e-2, 300)))
    state, _ = run(model, gaussian(), 300, 512)
    evaluate = quick_jit(evaluate_vae(*PLAYERS, PPCA, encode=encode))
    loss = evaluate(jax.random.key(0), state.ema, gaussian())["validation_loss"]
    np.testing.assert_allclose(loss, ppca_loss(gaussian()["event"]), atol=0.08)
    events = drawn(model, state.ema, np.zeros((4000, 0), np.float32))
    np.testing.assert_allclose(np.cov(events.T), COVARIANCE, atol=0.35)


def test_the_divergence_is_the_integral_of_q_log_q_over_p():
    mean, log_variance = np.array([0.7, -1.2]), np.array([0.5, -1.0])
    params = ppca_params()
    params["encoder"] = {"A": jnp.zeros((N, 2 * K)), "B": jnp.zeros((0, 2 * K))}
    params["encoder"]["also"] = jnp.zeros(0)

    class Constant(Linear):
        def apply(self, params, x, cond):
            return jnp.tile(jnp.concatenate([mean, log_variance]), (len(x), 1))

    judge = quick_jit(evaluate_vae(Constant(2 * K), Linear(N), PPCA, encode=encode))
    found = judge(jax.random.key(0), params, gaussian(64))["validation_divergence"]
    z = np.linspace(-12, 12, 200_001)[:, None]
    log_q = -0.5 * ((z - mean) ** 2 / np.exp(log_variance) + log_variance)
    integrand = np.exp(log_q) * (log_q + 0.5 * z**2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(found, integrand.sum() * (z[1, 0] - z[0, 0]), rtol=1e-5)


@cache
def told(n=2048):
    """Events (c, -c / 2), 0.3 wide."""
    draws = np.random.default_rng(3)
    cond = draws.uniform(-1, 1, (n, 1))
    event = cond * np.array([1.0, -0.5]) + 0.3 * draws.standard_normal((n, 2))
    return {"event": event.astype(np.float32), "cond": cond.astype(np.float32)}


def told_model(config, optimizer=None, **options):
    optimizer = (
        optax.adam(optax.cosine_decay_schedule(6e-2, 300)) if optimizer is None else optimizer
    )
    settings = {"encode": encode, "n_components": 2, "ema_decay": 0.98}
    return vae(Linear(2, also=2), Linear(2), config, optimizer, **settings, **options)


@pytest.mark.parametrize(
    "config",
    [
        Vae(2, 1.0, LearnedWidth(of_event=False)),
        Vae(2, 1.0, FixedWidth(0.1), DensityBuffer(2048, reach=0.1)),
    ],
    ids=["prior", "buffer"],
)
def test_samples_follow_the_condition(config):
    model = told_model(config)
    state, _ = run(model, told(), 300, 128)
    for c in (-0.8, 0.6):
        events = drawn(model, state.ema, np.full((2000, 1), c, np.float32))
        np.testing.assert_allclose(events.mean(axis=0), [c, -c / 2], atol=0.07)
        np.testing.assert_allclose(events.std(axis=0), 0.3, atol=0.06)


def spread(event, cond):
    return event[:1] ** 2


@cache
def after_three_steps(n_devices):
    """State and metrics of a model with a buffer of 40 and a term, on batches of 16."""
    config = Vae(2, 1.0, FixedWidth(0.5), DensityBuffer(40))
    term = PhysicsTerm("spread", spread, 3.0)
    model = told_model(config, optax.sgd(1e-3), terms=(term,))
    return run(model, told(), 3, 16, n_devices)


def test_eight_devices_equal_one_and_fill_the_buffer_alike():
    one, eight = (jax.tree.leaves(after_three_steps(n)) for n in (1, 8))
    for a, b in zip(one, eight, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_the_buffer_holds_what_the_averaged_encoder_makes_of_the_last_events():
    state, _ = after_three_steps(8)
    buffer, encoder = state.ema["buffer"], state.ema["encoder"]
    assert (buffer["filled"], buffer["next"]) == (40, 8)
    rows, event, cond = np.arange(32, 48) % 40, *(told()[k][32:48] for k in ("event", "cond"))
    mean = event @ encoder["A"] + cond @ encoder["B"]
    np.testing.assert_allclose(buffer["mean"][rows], mean, atol=1e-5)
    np.testing.assert_allclose(buffer["log_variance"][rows], [encoder["also"]] * 16, atol=1e-6)
    np.testing.assert_array_equal(buffer["cond"][rows], cond)
    np.testing.assert_array_equal(buffer["cond"][8:32], told()["cond"][8:32])


def test_a_physics_term_is_added_to_the_loss():
    _, metrics = after_three_steps(1)
    bound = metrics["reconstruction"] + metrics["divergence"]
    np.testing.assert_allclose(metrics["loss"], bound + 3.0 * metrics["physics_spread"], rtol=1e-5)
    assert abs(metrics["physics_spread"]) > 1e-2


@pytest.mark.parametrize("width", [PPCA.width, FixedWidth(0.5)])
def test_the_noise_that_is_drawn_gives_the_sampled_event(width):
    config = dataclasses.replace(PPCA, width=width)
    noise = vae_noise(PLAYERS[1], config, N)
    assert noise.n_noise == K + N * isinstance(width, LearnedWidth)
    cond, model = jnp.zeros(0), linear_model(config)
    for seed in range(3):
        latent, event = jax.random.split(jax.random.key(seed))
        z = randn(latent, (K,))
        eps = randn(jax.random.fold_in(event, 1), (N,))[: noise.n_noise - K]
        made = noise.event(jnp.concatenate([z, eps]), ppca_params(), cond)
        expected = model.sample(jax.random.key(seed), ppca_params(), cond)
        np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-6)
    assert vae_noise(PLAYERS[1], dataclasses.replace(config, buffer=DensityBuffer()), N) is None


def test_no_parameter_of_an_unconditional_model_is_empty():
    """Checkpoints cannot hold empty arrays."""
    players = ResidualDense(4, 1, 4), ResidualDense(4, 1, N)
    model = linear_model(Vae(2, 1.0, FixedWidth(), DensityBuffer(8)), players)
    batch = batch_of(gaussian(), 0, 4)
    shapes = jax.eval_shape(model.algorithm.init, jax.random.key(0), batch)
    assert min(leaf.size for leaf in jax.tree.leaves(shapes)) > 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Vae(n_latent=0), "n_latent >= 1"),
        (lambda: Vae(beta=-1.0), "beta >= 0"),
        (lambda: Vae(beta=0.5), "learned width"),
        (lambda: FixedWidth(0.0), "std above 0"),
        (lambda: LearnedWidth(smallest=0.0), "smallest above 0"),
    ],
)
def test_senseless_settings_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
