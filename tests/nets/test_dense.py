"""Networks on vectors: the thesis's sizes, conditions in every block, events on their own."""

from itertools import pairwise

import jax
import numpy as np
import pytest
from net_cases import assert_close, normal, quick_jit, random_params

from jaxcalo.nets import (
    PlainDense,
    ResidualDense,
    layer_norm,
    thesis_critic,
    thesis_decoder,
    thesis_encoder,
    thesis_generator,
)

X, COND = normal(0, (3, 5)), normal(1, (3, 2))


def n_parameters(net, size, n_conditions=0):
    inputs = normal(0, (1, size)), np.zeros((1, n_conditions), np.float32)
    return sum(
        leaf.size for leaf in jax.tree.leaves(jax.eval_shape(net.init, jax.random.key(0), *inputs))
    )


@pytest.mark.parametrize(
    ("net", "sizes"),
    [
        (thesis_encoder(), (32, 70, 35, 8, 40)),
        (thesis_decoder(), (20, 8, 35, 70, 32)),
        (thesis_generator(), (20, 40, 32)),
        (thesis_critic(), (32, 51, 102, 204, 1)),
    ],
    ids=["encoder", "decoder", "generator", "critic"],
)
def test_the_thesis_networks_have_its_sizes(net, sizes):
    assert n_parameters(net, sizes[0]) == sum((a + 1) * b for a, b in pairwise(sizes))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_the_residual_network_written_by_hand():
    net = ResidualDense(8, 2, 4)
    params = random_params(net, X, COND)
    layers = {name: jax.tree.map(np.float64, p) for name, p in params["params"].items()}

    def dense(name, x):
        return x @ layers[name]["kernel"] + layers[name].get("bias", 0.0)

    def silu(x):
        return x * sigmoid(x)

    def norm(x):
        return np.asarray(layer_norm(x.astype(np.float32)), np.float64)

    told, h = silu(dense("told", COND)), dense("in", X)
    for i in range(2):
        inner = dense(f"block_{i}_in", norm(h)) + dense(f"block_{i}_told", told)
        h = h + dense(f"block_{i}_out", silu(inner))
    assert_close(quick_jit(net.apply)(params, X, COND), dense("out", norm(h)), 1e-4)


def test_the_plain_network_written_by_hand():
    net = PlainDense((6,), 4)
    params = random_params(net, X, COND)
    layers = params["params"]
    h = np.concatenate([X, COND], axis=1) @ layers["Dense_0"]["kernel"] + layers["Dense_0"]["bias"]
    h = np.where(h > 0, h, np.expm1(h))
    expected = h @ layers["Dense_1"]["kernel"] + layers["Dense_1"]["bias"]
    assert_close(quick_jit(net.apply)(params, X, COND), expected)


@pytest.mark.parametrize("net", [PlainDense((6,), 4), ResidualDense(8, 1, 4)])
def test_without_conditions_no_parameter_is_empty_and_the_result_is_not_zero(net):
    none = COND[:, :0]
    params = quick_jit(net.init)(jax.random.key(0), X, none)
    assert min(leaf.size for leaf in jax.tree.leaves(params)) > 0
    y = np.asarray(quick_jit(net.apply)(params, X, none))
    assert np.abs(np.diff(y, axis=0)).max() > 0.1
