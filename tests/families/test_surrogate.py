"""A weak regressor as a term: its error cancels between real and generated events."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from point_nets import compiled

from jaxcalo.errors import InputError
from jaxcalo.families import PhysicsTerm, energy_distance, physics_loss
from jaxcalo.families.surrogate import surrogate_features, train_surrogate
from jaxcalo.metrics.wasserstein import wasserstein_1
from jaxcalo.nets import PlainDense

NET = PlainDense((8,), 1)
CONDS = np.zeros((4000, 1), np.float32)
WIDTHS = np.asarray([1.0, 0.3], np.float32)


def events(seed, n=4000):
    return np.asarray(jax.random.normal(jax.random.key(seed), (n, 2))) * WIDTHS


def quantity(events):
    """Numbers of hits, say: no gradient, and no smooth network has their steps."""
    return np.floor(3 * np.hypot(*events.T))


@pytest.fixture(scope="module")
def weak():
    known = events(0)
    target = 1000 * quantity(known)[:, None]
    return train_surrogate(jax.random.key(1), NET, known, CONDS, target, n_steps=300)


@pytest.fixture(scope="module")
def answer(weak):
    features = surrogate_features(NET, weak)
    return jax.jit(jax.vmap(features))


def test_learns_something_and_is_weak(answer):
    found = np.asarray(answer(events(2), CONDS))[:, 0]
    known = np.corrcoef(found, quantity(events(2)))[0, 1] ** 2
    assert 0.2 < known < 0.95, known


def test_the_error_of_a_weak_regressor_cancels(answer):
    """Equal distributions stay equal; against the true quantity the error itself would be seen."""
    real, same = (np.asarray(answer(events(i), CONDS))[:, 0] for i in (3, 4))
    wide = np.asarray(answer(1.5 * events(5), CONDS))[:, 0]
    parts = zip(real.reshape(40, 100), same.reshape(40, 100), wide.reshape(40, 100), strict=True)
    distance = jax.jit(energy_distance)
    null, signal = np.asarray([(distance(a, b), distance(a, c)) for a, b, c in parts]).T
    error = null.std() / np.sqrt(40)
    assert abs(null.mean()) < 4 * error
    assert signal.mean() > 5 * error
    truth = quantity(events(3))
    truth = (truth - truth.mean()) / truth.std()
    pairs = zip(truth.reshape(40, 100), same.reshape(40, 100), strict=True)
    naive = [distance(a, b) for a, b in pairs]
    assert np.mean(naive) > 5 * error


def test_a_term_of_it_brings_the_true_quantity_right(weak):
    """Of a generator with one wrong width, from the quantity's surrogate alone."""
    term = PhysicsTerm("hits", surrogate_features(NET, weak), 1.0)
    real, optimizer = events(6, 512), optax.adam(0.05)

    def step(key, width, moments, real):
        def loss(width):
            noise = jax.random.normal(key, (512, 2)) * WIDTHS
            drawn = noise * jnp.stack([width, 1.0])
            return physics_loss([term], real, drawn, CONDS[:512], axis_name=None)[0]

        updates, moments = optimizer.update(jax.grad(loss)(width), moments)
        return width + updates, moments

    width = jnp.asarray(0.5)
    moments = optimizer.init(width)
    program = compiled(step, jax.random.key(0), width, moments, real)
    for i in range(60):
        width, moments = program(jax.random.key(i), width, moments, real)
    before, after = (
        wasserstein_1(quantity(events(7)), quantity(events(8) * [w, 1.0])) for w in (0.5, width)
    )
    assert after < 0.3 * before


@pytest.mark.parametrize(
    ("quantities", "message"),
    [
        (np.zeros((3, 1)), "one row an event"),
        (np.zeros(4), "one row an event"),
        (np.full((4, 1), np.nan), "finite"),
    ],
)
def test_unusable_quantities(quantities, message):
    with pytest.raises(InputError, match=message):
        train_surrogate(jax.random.key(0), NET, events(0, 4), CONDS[:4], quantities, n_steps=1)
