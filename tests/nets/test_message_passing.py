import math
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxpr_equations import equations, products_with_long_rows
from net_cases import assert_close, normal, quick_jit, random_params

from jaxcalo.errors import InputError
from jaxcalo.nets import MessagePassingCritic, MessagePassingGenerator
from jaxcalo.nets.message_passing import NUMBERS_AT_ONCE, MPLayer, nearest, sum_messages

REAL = np.array([[True, True, True, True, True, True], [True, False, True, True, False, False]])
MASK = jnp.asarray(REAL)
SMALL = {"edge_widths": (5, 7), "node_widths": (8,)}


def array(*shape, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(shape, dtype)


def n_params(net, *args):
    shapes = jax.eval_shape(net.init, jax.random.key(0), *args)
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


def leaky(x):
    return np.where(x > 0, x, 0.2 * x)


def edge_layers(n_features):
    sizes = enumerate(pairwise((2 * n_features, 5, 7)))
    return [(normal(9 + i, (a, b)) / math.sqrt(a), normal(7, (b,))) for i, (a, b) in sizes]


def reference_messages(layers, x, heard):
    """The sum of messages to every point from those that `heard(i)` lists, in float64."""
    x, total = np.asarray(x, np.float64), []
    for i in range(len(x)):
        messages = np.zeros(layers[-1][1].shape)
        for j in heard(i):
            h = np.concatenate([x[i], x[j]])
            for kernel, bias in layers:
                h = leaky(h @ np.asarray(kernel) + np.asarray(bias))
            messages += h
        total.append(messages)
    return np.stack(total)


def test_the_published_numbers_of_parameters():
    mask = array(1, 30, dtype=jnp.bool_)
    generator = MessagePassingGenerator(out_features=3)
    args = (array(1, 30, 32), array(1, 0), mask, array(1, 0))
    assert n_params(generator, *args) == 361_123
    assert n_params(MessagePassingCritic(), array(1, 30, 3), mask, array(1, 0)) == 355_617
    # A condition and global noise reach the node network of every layer.
    args = (array(1, 30, 32), array(1, 4), mask, array(1, 2))
    assert n_params(generator, *args) == 361_123 + 2 * 6 * 256


def test_neighbours_are_the_nearest_real_points():
    x, choose = 5 + np.asarray(normal(0, (2, 6, 3))), quick_jit(nearest, static_argnums=4)
    chosen, real = choose(x, MASK, x[:, 2:4], np.arange(2, 4), 2)
    for b in range(2):
        for row, i in enumerate((2, 3)):
            distance = np.linalg.norm(x[b, i] - x[b], axis=-1)
            others = [j for j in np.argsort(distance) if REAL[b, j] and j != i]
            np.testing.assert_array_equal(chosen[b, row], [i, *others[:2]])
    assert np.all(real)
    # Four points of the second cloud are too few for five neighbours: the rest is not real.
    chosen, real = (np.asarray(a) for a in choose(x, MASK, x, np.arange(6), 5))
    for i in np.flatnonzero(REAL[1]):
        assert set(chosen[1, i][real[1, i]]) == {0, 2, 3}

    layers, chosen = edge_layers(3), chosen[0, :, :3]  # the nearest two are the first two of five
    found = quick_jit(sum_messages, static_argnums=3)(layers, x, MASK, 2)
    expected = reference_messages(layers, x[0], lambda i: chosen[i])
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-5)


def messages_and_gradients(n_neighbours, pairs_at_once):
    layers, x = edge_layers(3), normal(0, (2, 6, 3))
    weight = normal(5, (2, 6, 7)) * MASK[..., None]

    def loss(layers, x):
        messages = sum_messages(layers, x, MASK, n_neighbours, pairs_at_once)
        return jnp.sum(weight * messages**2), weight * messages

    return quick_jit(jax.grad(loss, argnums=(0, 1), has_aux=True))(layers, x)


def test_all_neighbours_are_all_pairs_and_parts_make_no_difference():
    whole = messages_and_gradients(None, 2**14)
    assert_close(messages_and_gradients(None, 50), whole)  # four receivers at a time, then two
    assert_close(messages_and_gradients(5, 1), whole)  # one at a time


@pytest.mark.parametrize("n_neighbours", [None, 8])
def test_no_array_of_all_pairs_exists_and_neighbours_are_chosen_once(n_neighbours):
    net, size = MPLayer(4, n_neighbours=n_neighbours), 3000
    args = (array(1, size, 4), array(1, size, dtype=jnp.bool_), array(1, 2))
    params = jax.eval_shape(net.init, jax.random.key(0), *args)

    def loss(params, x, mask, shared):
        return jnp.sum(net.apply(params, x, mask, shared) ** 2)

    found = equations(jax.grad(loss), params, *args)
    assert max(v.aval.size for e, _ in found for v in e.outvars) <= NUMBERS_AT_ONCE < size**2
    assert sum(e.primitive.name == "top_k" for e, _ in found) == (n_neighbours is not None)
    assert not products_with_long_rows(found)


def test_a_layer_equals_its_formula():
    net = MPLayer(3, **SMALL, message_scale=0.5)
    x, shared = np.asarray(normal(0, (2, 6, 4))), np.asarray(normal(1, (2, 2)))
    params = random_params(net, x, MASK, shared)
    w = {name: np.asarray(leaf) for name, leaf in params["params"].items()}
    edge = [(w[f"edge_{i}_kernel"], w[f"edge_{i}_bias"]) for i in range(2)]
    found = np.asarray(quick_jit(net.apply)(params, x, MASK, shared))
    for b in range(2):
        real = np.flatnonzero(REAL[b])
        messages = reference_messages(edge, x[b], lambda i, real=real: real)
        for i in real:
            h = np.concatenate([0.5 * messages[i], x[b, i], shared[b]])
            h = leaky(h @ w["node_0_kernel"] + w["node_0_bias"])
            expected = h @ w["node_1_kernel"] + w["node_1_bias"]
            np.testing.assert_allclose(found[b, i], expected, rtol=1e-4, atol=1e-5)


def test_results_stay_within_their_bounds():
    local, empty, cond = 30 * normal(0, (2, 6, 4)), jnp.zeros((2, 0)), normal(1, (2, 2))
    net = MessagePassingGenerator((), **SMALL)
    params = random_params(net, local, empty, MASK, cond)

    def two(free, bounded, *args):
        apply = quick_jit(lambda *values: (free.apply(*values), bounded.apply(*values)))
        return (np.asarray(result) for result in apply(params, *args))

    free, bounded = two(net, net.clone(output_bound=2.0), local, empty, MASK, cond)
    assert np.max(np.abs(free)) > 2
    assert_close(bounded, 2 * np.tanh(free / 2))

    critic = MessagePassingCritic((3,), **SMALL, pool_scale=0.1)
    params = random_params(critic, local, MASK, cond)
    free, bounded = two(critic.clone(sigmoid=False), critic, local, MASK, cond)
    assert_close(bounded, 1 / (1 + np.exp(-free)))


def test_the_points_of_a_new_generator_are_as_wide_as_its_gain_says():
    noise, empty, mask = normal(0, (1, 60, 8)), jnp.zeros((1, 0)), jnp.ones((1, 60), bool)
    sizes = {"edge_widths": (32, 32), "node_widths": (32, 32), "n_neighbours": 8}
    net = MessagePassingGenerator((16,), **sizes, message_scale=0.1, gain=1.92)

    @quick_jit
    def generate(key):
        plain = net.clone(gain=1.0)
        inputs = noise, empty, mask, empty
        return [n.apply(n.init(key, *inputs), *inputs) for n in (net, plain)]

    wide, narrow = (np.std(points[0], axis=0) for points in generate(jax.random.key(0)))
    assert np.all((wide > 0.4) & (wide < 2))
    assert np.all(narrow < 0.2)


def test_dropout_is_of_training_alone_and_keeps_the_mean():
    net = MPLayer(2, edge_widths=(4,), node_widths=(400,), dropout=0.5)
    x, mask, shared = normal(0, (1, 3, 2)), MASK[:1, :3], jnp.zeros((1, 0))
    params = random_params(net, x, mask, shared)
    keys = jax.random.split(jax.random.key(0), 200)

    def run(key, train):
        return net.apply(params, x, mask, shared, train, rngs={"dropout": key})

    apply = quick_jit(jax.vmap(run, (0, None)), static_argnums=1)
    draws, plain = np.asarray(apply(keys, True)), np.asarray(apply(keys[:2], False))
    np.testing.assert_array_equal(plain[0], plain[1])
    error = draws.std(axis=0) / math.sqrt(len(keys))
    assert np.all(error > 0)
    assert np.all(np.abs(draws.mean(axis=0) - plain[0]) < 4 * error)


def test_a_gradient_penalty_can_be_trained_through_the_parts():
    small = {"edge_widths": (5,), "node_widths": (), "n_neighbours": 2, "pairs_at_once": 20}
    critic = MessagePassingCritic((3,), sigmoid=False, **small)
    x, cond = normal(0, (2, 6, 4)), normal(1, (2, 1))
    params = random_params(critic, x, MASK, cond)

    def penalty(params):
        gradient = jax.grad(lambda x: jnp.sum(critic.apply(params, x, MASK, cond)))(x)
        return jnp.sum(gradient**2)

    gradient = quick_jit(jax.grad(penalty))(params)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))
    kernels = [
        leaf for path, leaf in jax.tree_util.tree_leaves_with_path(gradient) if leaf.ndim > 1
    ]
    assert all(np.any(leaf != 0) for leaf in kernels)


def test_no_neighbour_is_an_error_of_one_line():
    net = MPLayer(2, n_neighbours=0)
    with pytest.raises(InputError, match="n_neighbours of 1 or more, found 0"):
        net.init(jax.random.key(0), normal(0, (1, 3, 2)), MASK[:1, :3], jnp.zeros((1, 0)))
