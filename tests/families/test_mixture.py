"""Gaussian mixtures: EM against known mixtures, densities and conditionals against closed forms."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from point_nets import quickly
from scipy.stats import multivariate_normal

from jaxcalo.errors import InputError
from jaxcalo.families.mixture import GaussianMixture, evaluate_mixture, mixture
from jaxcalo.families.mixture_choice import bic, choose_mixture
from jaxcalo.training import AXIS, Batch, data_mesh

quick_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
KINDS = ("full", "tied", "diagonal", "spherical")
every_kind = pytest.mark.parametrize("kind", KINDS)
WEIGHTS = np.array([0.5, 0.3, 0.2])
MEANS = np.array([[-2.0, 0.0, 1.0], [1.5, 1.5, -1.0], [1.0, -2.0, 0.5]])
N_EVENTS = 4000


def encode(key, datum):
    return datum[1:], datum[:1]


def covariances(kind):
    """Of three Gaussians of one condition and two components, (3, 3, 3)."""
    draws = np.random.default_rng(3)
    roots = 0.5 * np.eye(3) + 0.25 * draws.standard_normal((3, 3, 3))
    full = roots @ roots.transpose(0, 2, 1)
    variances = np.diagonal(full, axis1=1, axis2=2)
    return {
        "full": full,
        "tied": np.broadcast_to(full[:1], full.shape),
        "diagonal": np.stack([np.diag(v) for v in variances]),
        "spherical": variances.mean(axis=1)[:, None, None] * np.eye(3),
    }[kind]


def factors(kind, matrices):
    """The parameters that stand for covariances."""
    if kind == "full":
        return np.linalg.cholesky(matrices)
    if kind == "tied":
        return np.linalg.cholesky(matrices[0])
    spreads = np.sqrt(np.diagonal(matrices, axis1=1, axis2=2))
    return spreads if kind == "diagonal" else spreads[:, 0]


def dense(kind, found):
    """The covariances that parameters stand for."""
    if kind == "full":
        return found @ found.transpose(0, 2, 1)
    if kind == "tied":
        return np.broadcast_to(found @ found.T, (3, 3, 3))
    return np.stack([np.eye(3) * s**2 for s in found])


def known(kind):
    """Parameters of the mixture above."""
    exact = {"log_weights": np.log(WEIGHTS), "means": MEANS}
    exact["factors"] = factors(kind, covariances(kind))
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), exact)


@functools.cache
def sampled(kind):
    draws = np.random.default_rng(4)
    which = draws.choice(3, N_EVENTS, p=WEIGHTS)
    roots = np.linalg.cholesky(covariances(kind))[which]
    noise = draws.standard_normal((N_EVENTS, 3))
    return (MEANS[which] + np.einsum("nij,nj->ni", roots, noise)).astype(np.float32)


def batch_of(data):
    return Batch(np.arange(len(data), dtype=np.int32), data)


def fitted(config, data, n_iterations, n_devices=1):
    """The state after some iterations, and the loss before each, in one program."""
    init, step = mixture(config, encode=encode, n_components=2).algorithm

    def iterate(state, batch):
        one = lambda state, _: step(jax.random.key(1), state, batch)  # noqa: E731
        return jax.lax.scan(one, state, None, n_iterations)

    mesh = data_mesh(jax.devices()[:n_devices])
    iterate = jax.shard_map(
        iterate, mesh=mesh, in_specs=(P(), P(AXIS)), out_specs=P(), check_vma=False
    )
    program = quick_jit(lambda batch: iterate(init(jax.random.key(0), batch), batch))
    state, metrics = jax.device_get(program(batch_of(data)))
    return state, metrics["loss"]


@every_kind
def test_em_recovers_a_known_mixture_and_never_loses_likelihood(kind):
    state, losses = fitted(GaussianMixture(3, kind), sampled(kind), 40)
    assert losses[0] - losses[-1] > 1e-3
    assert np.all(np.diff(losses) < 2e-6)  # rounding of 32-bit numbers

    found, order = state.ema, np.argsort(-state.ema["log_weights"])
    np.testing.assert_allclose(np.exp(found["log_weights"])[order], WEIGHTS, atol=0.03)
    np.testing.assert_allclose(found["means"][order], MEANS, atol=0.08)
    matrices = dense(kind, found["factors"])[order]
    np.testing.assert_allclose(matrices, covariances(kind), atol=0.08)
    assert np.abs(covariances(kind)).max() > 0.3


@pytest.mark.parametrize("kind", ["full", "tied", "spherical"])
def test_densities_and_samples_given_the_condition_have_closed_forms(kind):
    """A mixture conditioned is the mixture of the conditioned Gaussians, with other weights."""
    params, matrices, given = known(kind), covariances(kind), 0.8
    model = mixture(GaussianMixture(3, kind), encode=encode, n_components=2)
    slope = matrices[:, 1:, 0] / matrices[:, :1, 0]
    means = MEANS[:, 1:] + slope * (given - MEANS[:, :1])
    inner = matrices[:, 1:, 1:] - slope[:, :, None] * matrices[:, None, 0, 1:]
    spread = np.sqrt(matrices[:, 0, 0])
    weights = WEIGHTS * np.exp(-(((given - MEANS[:, 0]) / spread) ** 2) / 2) / spread
    weights /= weights.sum()
    assert np.sort(weights)[1] > 0.1  # more than one counts

    @quick_jit
    def run(params, keys, events, cond):
        one = jax.vmap(model.log_prob, (None, None, 0, None))
        samples = jax.vmap(model.sample, (0, None, None))
        return one(keys[0], params, events, cond), samples(keys, params, cond)

    points = np.array([[0.0, 0.0], [1.0, -1.0], [-3.0, 2.0]], np.float32)
    keys = jax.random.split(jax.random.key(0), 8000)
    log_p, events = run(params, keys, points, jnp.array([given], jnp.float32))
    parts = [
        w * multivariate_normal(m, c).pdf(points)
        for w, m, c in zip(weights, means, inner, strict=True)
    ]
    np.testing.assert_allclose(log_p, np.log(np.sum(parts, axis=0)), rtol=1e-4, atol=1e-4)

    mean = weights @ means
    second = inner + means[:, :, None] * means[:, None, :]
    covariance = np.einsum("k,kij->ij", weights, second) - np.outer(mean, mean)
    error = 4 * np.sqrt(np.diag(covariance) / 8000)
    assert np.all(np.abs(events.mean(axis=0) - mean) < error)
    np.testing.assert_allclose(np.cov(events.T), covariance, atol=0.06 * covariance.max())


def test_without_condition_it_is_the_mixture_itself():
    config = GaussianMixture(3, "full")
    model = mixture(config, encode=lambda key, x: (x, jnp.zeros(0)), n_components=3)
    params, data = known("full"), sampled("full")

    @quick_jit
    def run(params, keys):
        events = jax.vmap(model.sample, (0, None, None))(keys, params, jnp.zeros(0))
        log_p = jax.vmap(model.log_prob, (None, None, 0, None))(
            keys[0], params, data[:50], jnp.zeros(0)
        )
        return events, log_p

    events, log_p = run(params, jax.random.split(jax.random.key(0), 4000))
    np.testing.assert_allclose(events.mean(axis=0), data.mean(axis=0), atol=0.12)
    np.testing.assert_allclose(np.cov(events.T), np.cov(data.T), atol=0.2)
    np.testing.assert_allclose(log_p, np.log(density("full", data[:50])), rtol=1e-4)
    with_cond = quick_jit(evaluate_mixture(config, encode))(jax.random.key(0), params, data)
    joint = np.mean(np.log(density("full", data)))
    np.testing.assert_allclose(with_cond["validation_loss_joint"], -joint, rtol=1e-4)
    of_cond = np.mean(np.log(density_of_condition(data[:, 0])))
    np.testing.assert_allclose(with_cond["validation_loss"], of_cond - joint, rtol=1e-4)


def density(kind, x):
    """Of the known mixture, (b,)."""
    rows = zip(WEIGHTS, MEANS, covariances(kind), strict=True)
    return np.sum([w * multivariate_normal(m, c).pdf(x) for w, m, c in rows], axis=0)


def density_of_condition(cond):
    variances = covariances("full")[:, 0, 0]
    squares = (cond[:, None] - MEANS[:, 0]) ** 2 / variances
    return np.sum(WEIGHTS * np.exp(-squares / 2) / np.sqrt(2 * np.pi * variances), axis=1)


def test_bic_finds_the_number_and_the_form():
    forms = ((2, "spherical"), (3, "spherical"), (4, "spherical"), (3, "diagonal"))
    candidates = [GaussianMixture(*form) for form in forms]
    data = sampled("spherical")[:2000]
    choice = choose_mixture(
        jax.random.key(0),
        candidates,
        data,
        encode=encode,
        n_components=2,
        mesh=data_mesh(jax.devices()[:1]),
    )
    assert choice.best.config == candidates[1]
    assert [fit.config for fit in choice.fits] == candidates
    assert choice.best.bic == min(fit.bic for fit in choice.fits)
    assert choice.best.params["factors"].shape == (3,)
    for fit in choice.fits:
        assert fit.bic == pytest.approx(bic(fit.config, fit.loss, 2000, 3))
    expected = bic(candidates[1], -np.mean(np.log(density("spherical", data))), 2000, 3)
    # The likelihood of fitted parameters is larger by half their number, on average.
    assert -50 < choice.best.bic - expected < 0


def test_number_of_parameters():
    """The numbers that determine weights, means and covariances of 4 Gaussians in 5 dimensions."""
    found = [GaussianMixture(4, kind).n_parameters(5) for kind in KINDS]
    assert found == [3 + 20 + 60, 3 + 20 + 15, 3 + 20 + 20, 3 + 20 + 4]
    assert bic(GaussianMixture(4, "tied"), 2.0, 100, 5) == pytest.approx(38 * np.log(100) + 400)


def test_one_start_centre_in_each_of_many_clusters():
    """Centres drawn evenly would hit 12 of 12 clusters once in 20 000 times."""
    draws = np.random.default_rng(0)
    centres = 10 * draws.standard_normal((12, 3))
    data = np.repeat(centres, 30, axis=0) + 0.1 * draws.standard_normal((360, 3))
    algorithm = mixture(GaussianMixture(12, "spherical"), encode=encode, n_components=2).algorithm
    start = quickly(algorithm.init, jax.random.key(0), batch_of(data.astype(np.float32))).params
    distance = np.linalg.norm(start["means"][:, None] - centres, axis=2)
    assert sorted(np.argmin(distance, axis=1)) == list(range(12))
    assert distance.min(axis=1).max() < 0.1
    np.testing.assert_allclose(np.exp(start["log_weights"]), 1 / 12, rtol=1e-5)
    np.testing.assert_allclose(start["factors"], 0.1, atol=0.03)


def test_variances_do_not_fall_below_the_smallest():
    """Events in a plane, and one event many times: without a floor the density is infinite."""
    data = sampled("full").copy()[:400]
    data[:, 2], data[:100] = 0.5, [3.0, 3.0, 0.5]
    state, losses = fitted(GaussianMixture(4, smallest_variance=0.01), data, 15)
    assert np.isfinite(losses).all()
    assert np.all(np.diff(losses) < 1e-5)  # the floor is part of what is maximised
    smallest = [np.linalg.svd(factor)[1].min() for factor in state.params["factors"]]
    np.testing.assert_allclose(smallest, 0.1, rtol=1e-4)


def test_eight_devices_are_one():
    (one, losses), (eight, others) = (
        fitted(GaussianMixture(3, "tied"), sampled("tied")[:400], 3, n) for n in (1, 8)
    )
    np.testing.assert_allclose(losses, others, rtol=1e-6)
    for a, b in zip(jax.tree.leaves(one.ema), jax.tree.leaves(eight.ema), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(InputError, match="n_gaussians >= 1"):
        GaussianMixture(0)
    with pytest.raises(InputError, match="smallest_variance"):
        GaussianMixture(2, smallest_variance=0.0)
    algorithm = mixture(GaussianMixture(5), encode=encode, n_components=2).algorithm
    with pytest.raises(InputError, match="at least 5 events"):
        algorithm.init(jax.random.key(0), batch_of(sampled("full")[:4]))
    mesh = data_mesh(jax.devices()[:1])
    with pytest.raises(InputError, match="candidates"):
        choose_mixture(
            jax.random.key(0), [], sampled("full"), encode=encode, n_components=2, mesh=mesh
        )
