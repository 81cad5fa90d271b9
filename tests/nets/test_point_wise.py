import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxpr_equations import equations
from net_cases import assert_close, normal, quick_jit, random_params

from jaxcalo.nets import PointWise
from jaxcalo.nets.point_wise import ConcatSquash, point_dense, random_frequencies


def inputs(n=2, size=5, conditions=2):
    mask = jnp.arange(size) < jnp.array([[size], [size - 2]])
    return normal(0, (n, size, 4)), mask, normal(1, (n,)), normal(2, (n, conditions))


def sizes(net, conditions):
    """Numbers of parameters: of all, of the embedding of the noise level."""
    args = inputs(conditions=conditions)
    params = jax.eval_shape(net.init, jax.random.key(0), *args)["params"]
    return tuple(
        sum(leaf.size for leaf in jax.tree.leaves(tree)) for tree in (params, params.get("noise"))
    )


def test_the_published_numbers_of_parameters():
    # CaloClouds I: latent vector of 256 and two conditions.
    assert sizes(PointWise(n_frequencies=None, residual=True), 258) == (1_001_520, 0)
    assert sizes(PointWise(), 2) == (504_920, 4_160)
    assert (
        sum(
            a * b + b + (2 * 66 + 1) * b
            for a, b in [(4, 128), (128, 256), (256, 512), (512, 256), (256, 128), (128, 4)]
        )
        == 504_920 - 4_160
    )


def test_a_layer_equals_its_formula():
    net, x, context = ConcatSquash(3), normal(3, (2, 5, 4)), normal(4, (2, 6))
    params = random_params(net, x, context)
    w = {k: {n: np.asarray(a) for n, a in v.items()} for k, v in params["params"].items()}
    for b in range(2):
        gate = 1 / (1 + np.exp(-(context[b] @ w["gate"]["kernel"] + w["gate"]["bias"])))
        expected = (x[b] @ w["point"]["kernel"] + w["point"]["bias"]) * gate
        expected = expected + context[b] @ w["shift"]["kernel"]
        np.testing.assert_allclose(net.apply(params, x, context)[b], expected, atol=1e-5)
    assert "bias" not in w["shift"]


@pytest.mark.parametrize("n_frequencies", [None, 3])
def test_the_network_equals_its_formula(n_frequencies):
    residual = n_frequencies is None
    net = PointWise((6,), n_frequencies=n_frequencies, residual=residual)
    x, mask, c_noise, cond = inputs()
    params = random_params(net, x, mask, c_noise, cond)
    layers = params["params"]

    def leaky(y):
        return np.where(y > 0, y, 0.01 * y)

    t = np.asarray(c_noise)[:, None]
    if n_frequencies is None:
        noise = np.concatenate([t, np.sin(t), np.cos(t)], axis=1)
    else:
        phase = 2 * math.pi * t * random_frequencies(3)
        dense = layers["noise"]["out"]
        noise = np.concatenate([np.cos(phase), np.sin(phase)], axis=1) @ dense["kernel"]
        noise = leaky(noise + dense["bias"])
    context = jnp.asarray(np.concatenate([noise, cond], axis=1))
    h = leaky(ConcatSquash(6).apply({"params": layers["layer_0"]}, x, context))
    expected = ConcatSquash(4).apply({"params": layers["out"]}, jnp.asarray(h), context)
    expected = np.asarray(expected) + (x if residual else 0)
    expected = np.where(np.asarray(mask)[..., None], expected, 0)
    assert_close(quick_jit(net.apply)(params, x, mask, c_noise, cond), expected)


def test_what_is_shared_is_multiplied_once_a_shower():
    x, shared, kernel = normal(0, (2, 5, 3)), normal(1, (2, 4)), normal(2, (7, 6))
    repeated = jnp.broadcast_to(shared[:, None], (2, 5, 4))
    expected = jnp.concatenate([x, repeated], axis=-1) @ kernel + 0.5
    assert_close(point_dense(x, shared, kernel, jnp.full(6, 0.5)), expected)
    assert_close(point_dense(x, shared[:, :0], kernel[:3]), x @ kernel[:3])

    net, args = PointWise((6, 7)), inputs()
    params = jax.eval_shape(net.init, jax.random.key(0), *args)
    products = [e for e, _ in equations(net.apply, params, *args) if "dot" in e.primitive.name]
    rows = [e.invars[0].aval.shape for e in products]
    assert [shape for shape in rows if shape[0] != 2] == [(10, 4), (10, 6), (10, 7)]


def test_the_frequencies_never_change():
    found = random_frequencies(32)
    # A snapshot: a trained network knows no others.
    np.testing.assert_allclose(found[:3], [1.6226422, 2.0252647, -0.43359444], rtol=1e-5)
    # 32 draws of N(0, 1): 3.5 sigma of the mean and of the variance.
    assert abs(found.mean()) < 3.5 / math.sqrt(32)
    assert abs(found.var() - 1) < 3.5 * math.sqrt(2 / 32)

    def first_two(x):
        return x + jnp.asarray(random_frequencies.__wrapped__(32)[:2])

    mesh = Mesh(np.array(jax.devices()[:2]), ("batch",))
    mapped = jax.shard_map(first_two, mesh=mesh, in_specs=P("batch"), out_specs=P("batch"))
    np.testing.assert_array_equal(jax.jit(mapped)(jnp.zeros(4)), np.tile(found[:2], 2))


def test_a_new_network_returns_zero_and_tells_points_apart_inside():
    net, n = PointWise((32, 48, 48, 32)), 64
    x = normal(0, (1, n, 4))
    args = (x, jnp.ones((1, n), bool), jnp.array([0.3]), jnp.array([[0.5, -0.5]]))

    def start(key):
        params = net.init(key, *args)["params"]
        point = {**params["out"]["point"], "kernel": normal(3, (32, 4)) / math.sqrt(32)}
        turned_on = {**params, "out": {**params["out"], "point": point}}
        return [net.apply({"params": p}, *args)[0] for p in (params, turned_on)]

    new, out = (np.asarray(a) for a in quick_jit(start)(jax.random.key(0)))
    np.testing.assert_array_equal(new, 0)
    assert 0.1 < np.std(out, axis=0).mean() < 3


def test_bf16_keeps_f32_parameters_context_and_result():
    rough, args = PointWise((8, 8), compute_dtype=jnp.bfloat16), inputs()
    params = jax.eval_shape(rough.init, jax.random.key(0), *args)
    assert {a.dtype.name for a in jax.tree.leaves(params)} == {"float32"}
    assert jax.eval_shape(rough.apply, params, *args).dtype == jnp.float32
    found = equations(rough.apply, params, *args)
    types = {(e.primitive.name, e.invars[0].aval.dtype.name) for e, _ in found}
    assert ("dot_general", "bfloat16") in types
    assert ("logistic", "bfloat16") not in types
    assert ("cos", "bfloat16") not in types
