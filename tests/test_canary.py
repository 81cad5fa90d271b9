"""Does this jax compute what it says? One release miscompiled fused elementwise chains on CPU."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest


def block(x, w, v):
    """A network-like chain: products, normalisation, silu and tanh, a roll, a reduction."""
    h = x @ w
    h = (h - h.mean(-1, keepdims=True)) / jnp.sqrt(h.var(-1, keepdims=True) + 1e-5)
    h = jax.nn.silu(h) + jnp.roll(h, 1, axis=0)
    return jnp.sum(jnp.tanh(h @ v), axis=0)


def block_float64(x, w, v):
    h = x @ w
    h = (h - h.mean(-1, keepdims=True)) / np.sqrt(h.var(-1, keepdims=True) + 1e-5)
    h = h / (1 + np.exp(-h)) + np.roll(h, 1, axis=0)
    return np.tanh(h @ v).sum(0)


@pytest.mark.parametrize("shape", [(7, 5, 3), (64, 128, 48), (130, 33, 257)])
def test_compiled_equals_interpreted_equals_float64(shape):
    n, i, o = shape
    keys = jax.random.split(jax.random.key(n), 3)
    arrays = [jax.random.normal(k, s) for k, s in zip(keys, [(n, i), (i, o), (o, 8)], strict=True)]
    expected = block_float64(*(np.asarray(a, np.float64) for a in arrays))
    scale = np.abs(expected).max()
    with jax.disable_jit():
        interpreted = block(*arrays)
    np.testing.assert_allclose(jax.jit(block)(*arrays), expected, atol=1e-5 * scale)
    np.testing.assert_allclose(interpreted, expected, atol=1e-5 * scale)
    gradient = jax.grad(lambda w: block(arrays[0], w, arrays[2]).sum())
    with jax.disable_jit():
        interpreted = gradient(arrays[1])
    np.testing.assert_allclose(jax.jit(gradient)(arrays[1]), interpreted, rtol=1e-3, atol=1e-4)
