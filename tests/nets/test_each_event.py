import jax
import jax.numpy as jnp
import numpy as np
import pytest
from net_cases import normal

from jaxcalo.nets.each_event import each_event


def weighted(w):
    return lambda x, y: jnp.tanh(x @ w) * y.sum() + x.mean()


def by_hand(w, x, y):
    return jnp.stack([weighted(w)(a, b) for a, b in zip(x, y, strict=True)])


@pytest.mark.parametrize("batch", [1, 3])
def test_values_and_gradients_are_those_of_every_event_alone(batch):
    w, x, y = normal(0, (5, 4)), normal(1, (batch, 6, 5)), normal(2, (batch, 3))

    def loss(function, *args):
        return jnp.sum(function(*args) ** 3)

    def mapped(w, x, y):
        return each_event(weighted(w), x, y)

    np.testing.assert_allclose(mapped(w, x, y), by_hand(w, x, y), rtol=1e-5)
    found, expected = (jax.grad(loss, (1, 2, 3))(f, w, x, y) for f in (mapped, by_hand))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_transformations_compose(monkeypatch):
    w, x, y = normal(0, (5, 4)), normal(1, (3, 6, 5)), normal(2, (3, 3))

    def f(x):
        return jax.jvp(lambda x: each_event(weighted(w), x, y), (x,), (x,))[1]

    one_by_one = jax.grad(lambda x: jnp.sum(f(x)))(x)
    vmapped = jax.vmap(lambda x, y: each_event(weighted(w), x[None], y[None])[0])(x, y)
    np.testing.assert_allclose(vmapped, by_hand(w, x, y), rtol=1e-5)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    together = jax.grad(lambda x: jnp.sum(f(x)))(x)
    np.testing.assert_allclose(one_by_one, together, rtol=1e-4, atol=1e-5)
