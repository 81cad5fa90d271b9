import jax
import jax.numpy as jnp
import numpy as np
from net_cases import normal, quick_jit, random_params

from jaxcalo.nets import ResidualMLP


def example(depth=1, **options):
    args = normal(0, (3, 5)), normal(1, (3,)), normal(2, (3, 2))
    net = ResidualMLP(8, depth, 4, embedding_size=6, **options)
    return net, random_params(net, *args), args


def test_new_network_returns_zero_and_learns_everywhere():
    net, params, args = example()
    fresh = quick_jit(net.init)(jax.random.key(3), *args)
    apply = quick_jit(net.apply)
    np.testing.assert_array_equal(apply(fresh, *args), np.zeros((3, 4)))
    gradient = quick_jit(jax.grad(lambda p: jnp.sum(jnp.sin(net.apply(p, *args)))))(params)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert np.any(leaf != 0), path


def test_every_input_reaches_its_event_alone():
    net, params, args = example(depth=2)
    apply = quick_jit(net.apply)
    y = apply(params, *args)
    for i in range(3):
        changed = list(args)
        changed[i] = changed[i].at[0].add(0.5)
        other = apply(params, *changed)
        assert np.all(np.abs(other[0] - y[0]) > 1e-5)
        np.testing.assert_allclose(other[1:], y[1:], atol=1e-6)


def test_vmap_and_forward_mode():
    net, params, args = example()
    one = quick_jit(jax.vmap(lambda x, t, c: net.apply(params, x[None], t[None], c[None])[0]))
    f = quick_jit(lambda s: net.apply(params, args[0] * s, *args[1:]))
    np.testing.assert_allclose(one(*args), f(1.0), atol=1e-5)
    _, tangent = jax.jvp(f, (1.0,), (1.0,))
    difference = (f(1.01) - f(0.99)) / 0.02
    np.testing.assert_allclose(tangent, difference, atol=5e-3 * np.max(np.abs(tangent)))


def test_bf16_keeps_f32_parameters_and_result():
    net, params, args = example()
    rough, same, _ = example(compute_dtype=jnp.bfloat16)
    assert {a.dtype for a in jax.tree.leaves(same)} == {jnp.dtype("float32")}
    y, near = quick_jit(net.apply)(params, *args), quick_jit(rough.apply)(params, *args)
    assert near.dtype == jnp.float32
    assert 0 < np.max(np.abs(near - y)) < 0.1 * np.max(np.abs(y))
