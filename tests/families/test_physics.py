"""Terms from physics: the energy distance by its definition, its closed form, its zero mean."""

from math import erf, exp, pi, sqrt

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from point_nets import quickly

from jaxcalo.errors import InputError
from jaxcalo.families.physics import PhysicsTerm, energy_distance, physics_loss
from jaxcalo.training import Batch, data_mesh, init_state, map_step, minimise, shard_batch

MANY = jax.vmap(energy_distance)


def by_definition(real, generated):
    """The U-statistic as a double sum."""

    def differences(a, b):
        return np.abs(a[:, None] - b).sum()

    n, m = len(real), len(generated)
    own = differences(real, real) / (n * (n - 1))
    own += differences(generated, generated) / (m * (m - 1))
    return 2 * differences(real, generated) / (n * m) - own


def slope_by_definition(real, generated):
    """Its derivatives by the generated numbers, with no slope of |x| at 0."""
    n, m = len(real), len(generated)
    to_real, to_own = (np.sign(generated[:, None] - x).sum(axis=1) for x in (real, generated))
    return 2 * to_real / (n * m) - 2 * to_own / (m * (m - 1))


def mean_difference(mean, variance):
    """E|X| of X ~ N(mean, variance)."""
    s = sqrt(variance)
    return s * sqrt(2 / pi) * exp(-(mean**2) / (2 * variance)) + mean * erf(mean / (s * sqrt(2)))


@pytest.mark.parametrize("digits", [9, 0])
def test_is_the_double_sum_and_so_is_its_gradient(digits):
    """Whole numbers, too: observables may pile up at one value. Equal ones push nowhere."""
    real = 2 * np.random.default_rng(0).standard_normal(13).round(digits)
    generated = 2 * np.random.default_rng(1).standard_normal(9).round(digits) + 1
    real, generated = real.astype(np.float32), generated.astype(np.float32)
    found = quickly(jax.value_and_grad(energy_distance, 1), real, generated)
    np.testing.assert_allclose(found[0], by_definition(real, generated), atol=2e-6)
    np.testing.assert_allclose(found[1], slope_by_definition(real, generated), atol=1e-6)


@pytest.mark.parametrize(("mean", "std"), [(0.5, 1.0), (0.0, 2.0), (-1.0, 0.5)])
def test_two_gaussians_have_their_closed_form(mean, std):
    draws = np.random.default_rng(2).standard_normal((2, 400, 100)).astype(np.float32)
    values = np.asarray(quickly(MANY, draws[0], mean + std * draws[1]))
    expected = 2 * mean_difference(mean, 1 + std**2)
    expected -= mean_difference(0, 2) + mean_difference(0, 2 * std**2)
    assert abs(values.mean() - expected) < 4 * values.std() / sqrt(400)
    assert values.std() / sqrt(400) < 0.02


def test_equal_distributions_have_mean_zero_however_few_the_events():
    draws = np.random.default_rng(3).exponential(size=(2, 20000, 4)).astype(np.float32)
    values = np.asarray(quickly(MANY, *draws))
    error = values.std() / sqrt(len(values))
    assert abs(values.mean()) < 4 * error
    # With the distances of events from themselves it would be 2 / n of their mean difference.
    assert 4 * error < 0.1 * 2 / 4


def test_the_unit_of_a_feature_does_not_matter():
    real, generated = np.random.default_rng(4).standard_normal((2, 50, 2)).astype(np.float32)
    generated = 1.5 * generated
    terms = (
        PhysicsTerm("plain", lambda event, cond: event, 3.0),
        PhysicsTerm("scaled", lambda event, cond: 90e3 + 1e4 * event, 0.0),
        # a constant of the real events keeps its unit
        PhysicsTerm("constant", lambda event, cond: jnp.asarray([7.0]), 1.0),
    )

    def loss(real, generated):
        return physics_loss(terms, real, generated, jnp.zeros((50, 1)), axis_name=None)

    loss, metrics = quickly(loss, real, generated)
    each = [
        by_definition(x / x.std(), y / x.std()) for x, y in zip(real.T, generated.T, strict=True)
    ]
    np.testing.assert_allclose(metrics["physics_plain"], np.mean(each), rtol=1e-4)
    np.testing.assert_allclose(metrics["physics_scaled"], np.mean(each), rtol=1e-3)
    assert float(metrics["physics_constant"]) == 0.0
    np.testing.assert_allclose(loss, 3 * metrics["physics_plain"], rtol=1e-6)


def test_no_terms_are_zero():
    loss, metrics = physics_loss((), jnp.ones((1, 2)), jnp.ones((1, 2)), jnp.ones((1, 1)))
    assert float(loss) == 0.0
    assert metrics == {}


def model_of(term, n_devices):
    """Events a + b noise, of which nothing but the term is learned; one step by sgd(1)."""

    def loss(key, params, batch):
        generated = params["a"] + params["b"] * batch.data["noise"]
        conds = batch.data["event"][:, :1]
        return physics_loss([term], batch.data["event"], generated, conds)

    start = {"a": jnp.asarray([0.3, -0.2]), "b": jnp.asarray([1.5, 0.7])}
    algorithm = minimise(lambda key, batch: start, loss, optax.sgd(1.0), 0.9)
    mesh = data_mesh(jax.devices()[:n_devices])
    event, noise = np.random.default_rng(5).standard_normal((2, 48, 2)).astype(np.float32)
    batch = Batch(np.arange(48, dtype=np.int32), {"event": event, "noise": noise})
    state = init_state(algorithm, jax.random.key(0), batch, mesh)
    step = map_step(algorithm, mesh)
    return quickly(step, jax.random.key(1), state, shard_batch(batch, mesh))


def test_eight_devices_equal_one():
    term = PhysicsTerm("product", lambda event, cond: event * event[:1] + cond, 2.0)
    (one, of_one), (eight, of_eight) = model_of(term, 1), model_of(term, 8)
    assert abs(float(one.params["b"][0]) - 1.5) > 0.01
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6),
        (one.params, of_one),
        (eight.params, of_eight),
    )


@pytest.mark.parametrize(
    ("terms", "n", "message"),
    [
        ([("a", 1.0), ("a", 1.0)], 4, "different names"),
        ([("a", -1.0)], 4, "at least 0"),
        ([("a", float("nan"))], 4, "finite weight"),
        ([("a", 1.0)], 1, "at least 2 events"),
    ],
)
def test_unusable_terms(terms, n, message):
    terms = [PhysicsTerm(name, lambda event, cond: event, weight) for name, weight in terms]
    with pytest.raises(InputError, match=message):
        physics_loss(terms, jnp.ones((n, 2)), jnp.ones((n, 2)), jnp.ones((n, 1)), axis_name=None)
