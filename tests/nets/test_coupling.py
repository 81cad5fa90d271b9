import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from net_cases import normal, quick_jit, random_params

from jaxcalo.nets.coupling import ConditionalFlow

CASES = {
    "2-d": (ConditionalFlow(2, n_blocks=1, hidden=(8,)), 1),
    "odd": (ConditionalFlow(5, n_blocks=1, n_affine=2, hidden=(16, 16), n_bins=5), 2),
    "no-condition": (ConditionalFlow(6, n_blocks=2, n_affine=0, hidden=(16,), bound=3.0), 0),
}
every_case = pytest.mark.parametrize("name", CASES)


def example(name, n=32):
    net, n_conditions = CASES[name]
    x, cond = 1.5 * normal(10, (n, net.n_dims)), normal(11, (n, n_conditions))
    # With wilder ones the steepest of the slopes amplify what float32 rounds.
    params = jax.tree.map(lambda p: 0.4 * p, random_params(net, x, cond))
    return net, params, x, cond


def as_new(params):
    """Last layers at zero, as a new flow has them."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: jnp.zeros_like(leaf) if "last" in str(path) else leaf, params
    )


class Results(NamedTuple):
    z: jax.Array  # to_noise of x, and the log |det|
    log_det: jax.Array
    back: jax.Array  # from_noise of z
    there: jax.Array  # to_noise of from_noise of x
    jacobian: jax.Array  # autodiff's


@functools.partial(quick_jit, static_argnums=0)
def run(net, params, x, cond):
    """Everything in one program: most of a test's time is compilation."""
    z, log_det = net.apply(params, x, cond, method="to_noise")
    back = net.apply(params, z, cond, method="from_noise")
    there, _ = net.apply(params, net.apply(params, x, cond, method="from_noise"), cond)

    def one(x, c):
        return net.apply(params, x[None], c[None])[0][0]

    return Results(z, log_det, back, there, jax.vmap(jax.jacfwd(one))(x, cond))


@every_case
def test_both_directions_undo_each_other(name):
    net, params, x, cond = example(name)
    found = run(net, params, x, cond)
    assert np.all(np.max(np.abs(found.z - x), axis=0) > 0.1)  # every component is changed
    np.testing.assert_allclose(found.back, x, atol=1e-5)
    np.testing.assert_allclose(found.there, x, atol=1e-5)


@every_case
def test_log_det_is_autodiffs(name):
    found = run(*example(name))
    assert np.std(found.log_det) > 0.1
    _, expected = np.linalg.slogdet(np.asarray(found.jacobian, np.float64))
    np.testing.assert_allclose(found.log_det, expected, atol=1e-4)


@every_case
def test_a_new_flow_is_the_identity(name):
    net, params, x, cond = example(name)
    found = run(net, as_new(params), x, cond)
    np.testing.assert_allclose(found.z, x, atol=2e-6)
    np.testing.assert_allclose(found.log_det, 0.0, atol=5e-6)
    np.testing.assert_allclose(found.back, x, atol=2e-6)


def test_initialisation_zeroes_last_layers_alone():
    net, params, x, cond = example("2-d")
    new = quick_jit(net.init)(jax.random.key(1), x, cond)
    for (path, leaf), other in zip(
        jax.tree_util.tree_leaves_with_path(new), jax.tree.leaves(params), strict=True
    ):
        assert leaf.shape == other.shape
        assert np.any(leaf != 0) == ("last" not in str(path) and "kernel" in str(path)), path


def test_a_new_flow_learns_and_every_parameter_then_does():
    net, params, x, cond = example("2-d")

    @quick_jit
    @jax.grad
    def gradient(params):
        z, log_det = net.apply(params, x, cond)
        return jnp.mean(jnp.sum(z**2, axis=-1) / 2 - log_det)

    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient(params)):
        assert np.any(leaf != 0), path
        assert np.isfinite(leaf).all(), path
    assert any(np.any(leaf != 0) for leaf in jax.tree.leaves(gradient(as_new(params))))


def test_an_event_and_its_condition_matter_to_it_alone():
    net, params, x, cond = example("odd")
    plain = run(net, params, x, cond)
    for args in ((x.at[0].add(0.5), cond), (x, cond.at[0].add(0.5))):
        other = run(net, params, *args)
        assert np.all(np.abs(other.z[0] - plain.z[0]) > 1e-5)
        assert abs(other.log_det[0] - plain.log_det[0]) > 1e-5
        np.testing.assert_allclose(other.z[1:], plain.z[1:], atol=1e-6)
        np.testing.assert_allclose(other.log_det[1:], plain.log_det[1:], atol=1e-6)


def test_the_components_chosen_are_part_of_the_configuration():
    net, _ = CASES["odd"]
    changed = lambda net: [c.changed for c in net.bind({}).couplings]  # noqa: E731
    assert changed(net) == changed(net.clone())
    assert changed(net) != changed(net.clone(seed=1))
    for one, other in zip(changed(net)[::2], changed(net)[1::2], strict=False):
        assert sorted(one + other) == list(range(net.n_dims))
