import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from net_cases import normal

from jaxcalo.nets import GroupNorm, layer_norm


def test_group_norm_equals_two_passes():
    x = 3 + 2 * normal(0, (2, 4, 3, 8))
    params = {"params": {"scale": normal(1, (8,)), "bias": normal(2, (8,))}}
    grouped = np.asarray(x, np.float64).reshape(2, 4, 3, 4, 2)
    mean = grouped.mean((1, 2, 4), keepdims=True)
    variance = grouped.var((1, 2, 4), keepdims=True)
    expected = ((grouped - mean) / np.sqrt(variance + 1e-5)).reshape(x.shape)
    expected = expected * np.asarray(params["params"]["scale"]) + params["params"]["bias"]
    np.testing.assert_allclose(GroupNorm(4).apply(params, x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(2, 4, 3, 8), (2, 8)], ids=["on the grid", "of an event"])
def test_group_norm_adds_a_term_after_its_activation(shape):
    x, term = normal(0, (2, 4, 3, 8)), normal(1, shape)
    params = {"params": {"scale": normal(2, (8,)), "bias": normal(3, (8,))}}
    plain = GroupNorm(2).apply(params, x)
    activated = GroupNorm(2, jax.nn.silu).apply(params, x, term)
    expected = plain * jax.nn.sigmoid(plain) + term.reshape(2, *(1,) * (4 - len(shape)), *shape[1:])
    np.testing.assert_allclose(activated, expected, rtol=1e-5, atol=1e-6)


def test_group_norm_of_a_constant_is_finite_with_its_gradient():
    x = jnp.full((1, 5, 4), 1234.5)
    module = GroupNorm(2)
    params = module.init(jax.random.key(0), x)
    step = jax.jit(jax.value_and_grad(lambda x: jnp.sum(module.apply(params, x) ** 2)))
    value, gradient = step(x)
    assert np.isfinite(value)
    assert np.all(np.isfinite(gradient))


def test_statistics_are_f32_in_a_bf16_network():
    x = (100 + normal(0, (2, 400, 4))).astype(jnp.bfloat16)
    module = GroupNorm(2, compute_dtype=jnp.bfloat16)
    out = module.apply(module.init(jax.random.key(0), x), x)
    assert out.dtype == jnp.bfloat16
    # Sums of 800 numbers near 100 in bf16 would miss the mean by more than its deviation.
    assert abs(float(out.astype(jnp.float32).mean())) < 0.05
    assert abs(float(out.astype(jnp.float32).std()) - 1) < 0.05


def test_layer_norm_equals_flax():
    x = 5 * normal(0, (3, 4, 16)) + 2
    flax = nn.LayerNorm(epsilon=1e-5, use_bias=False, use_scale=False).apply({}, x)
    np.testing.assert_allclose(layer_norm(x), flax, rtol=1e-4, atol=1e-5)
    assert layer_norm(x.astype(jnp.bfloat16)).dtype == jnp.float32
