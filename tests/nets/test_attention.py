import math

import jax
import jax.numpy as jnp
import numpy as np
from net_cases import normal, quick_jit

from jaxcalo.nets.attention import attention

MASK = jnp.array([[True, True, True, True, True], [True, False, True, False, False]])


def example():
    return [normal(i, (2, n, 6)) for i, n in enumerate((3, 5, 5))]


def test_attention_equals_its_formula():
    q, k, v = map(np.asarray, example())
    found = np.asarray(quick_jit(attention, static_argnums=3)(q, k, v, 2, MASK))
    for b in range(2):
        real = np.asarray(MASK[b])
        for part in (slice(0, 3), slice(3, 6)):
            logits = q[b][:, part] @ k[b][real, part].T / math.sqrt(3)
            weights = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
            expected = weights @ v[b][real, part]
            np.testing.assert_allclose(found[b][:, part], expected, rtol=1e-4, atol=1e-5)


def test_gradients_are_those_of_the_library():
    def library(q, k, v):
        q, k, v = (a.reshape(*a.shape[:2], 2, 3) for a in (q, k, v))
        mask = MASK[:, None, None]
        return jax.nn.dot_product_attention(q, k, v, mask=mask).reshape(2, -1, 6)

    ours, theirs = (
        quick_jit(jax.grad(lambda args, f=f: jnp.sum(jnp.sin(f(*args)))))(example())
        for f in (lambda q, k, v: attention(q, k, v, 2, MASK), library)
    )
    for found, expected in zip(ours, theirs, strict=True):
        assert np.max(np.abs(expected)) > 0.1
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_huge_logits_choose_one_and_nothing_to_attend_to_gives_the_mean():
    q, k, v = example()
    found = np.asarray(quick_jit(attention, static_argnums=3)(1e4 * q, 1e4 * k, v, 1))
    chosen = np.argmax(np.einsum("btd,bsd->bts", q, k), axis=-1)
    np.testing.assert_allclose(found, np.take_along_axis(v, chosen[..., None], 1), rtol=1e-6)
    none = quick_jit(attention, static_argnums=3)(q, k, v, 2, jnp.zeros((2, 5), bool))
    np.testing.assert_allclose(none[:, 0], jnp.mean(v, axis=1), rtol=1e-5, atol=1e-6)


def test_bf16_products_have_an_f32_softmax():
    q, k, v = (a.astype(jnp.bfloat16) for a in example())
    found = quick_jit(attention, static_argnums=3)(q, k, v, 2)
    exact = attention(*(a.astype(jnp.float32) for a in (q, k, v)), 2)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(found.astype(jnp.float32), exact, atol=0.02)
