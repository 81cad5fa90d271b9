import functools

import jax
import numpy as np
import pytest
from net_cases import normal, quick_jit, random_params

from jaxcalo.nets.autoregressive import MaskedAutoregressiveFlow

CASES = {
    "affine": (MaskedAutoregressiveFlow(5, 3, (12, 9), n_bins=0), 2),
    "spline": (MaskedAutoregressiveFlow(4, 2, (10,), n_bins=4, bound=3.0), 0),
}
ONE_LAYER = MaskedAutoregressiveFlow(4, 1, (16, 16), n_bins=0)
every_case = pytest.mark.parametrize("name", CASES)


def example(net, n_conditions, n=32):
    x, cond = 1.5 * normal(10, (n, net.n_dims)), normal(11, (n, n_conditions))
    params = jax.tree.map(lambda p: 0.5 * p, random_params(net, x, cond))
    return params, x, cond


@functools.partial(quick_jit, static_argnums=0)
def run(net, params, x, cond):
    """z, log_det, from_noise(z), Jacobians of z in x and cond."""
    z, log_det = net.apply(params, x, cond)
    back = net.apply(params, z, cond, method="from_noise")

    def one(x, c):
        return net.apply(params, x[None], c[None])[0][0]

    return z, log_det, back, *jax.vmap(jax.jacfwd(one, (0, 1)))(x, cond)


@every_case
def test_undone_and_its_log_det_is_autodiffs(name):
    net, n_conditions = CASES[name]
    params, x, cond = example(net, n_conditions)
    z, log_det, back, jacobian, _ = run(net, params, x, cond)
    assert np.all(np.max(np.abs(z - x), axis=0) > 0.1)  # every component is changed
    np.testing.assert_allclose(back, x, atol=1e-5)
    assert np.std(log_det) > 0.1
    _, expected = np.linalg.slogdet(np.asarray(jacobian, np.float64))
    np.testing.assert_allclose(log_det, expected, atol=1e-4)


@every_case
def test_a_new_flow_is_the_identity(name):
    net, n_conditions = CASES[name]
    _, x, cond = example(net, n_conditions)
    new = quick_jit(net.init)(jax.random.key(0), x, cond)
    z, log_det, back, *_ = run(net, new, x, cond)
    np.testing.assert_allclose(z, x, atol=2e-6)
    np.testing.assert_allclose(log_det, 0.0, atol=5e-6)
    np.testing.assert_allclose(back, x, atol=2e-6)


def test_a_component_depends_on_all_before_it_and_on_none_after():
    params, x, cond = example(ONE_LAYER, 1)
    *_, jacobian, of_cond = run(ONE_LAYER, params, x, cond)
    (layer,) = ONE_LAYER.bind(params).layers
    order = np.argsort(layer.places)
    assert sorted(order) == list(range(4))
    seen = np.abs(np.asarray(jacobian)).max(axis=0)[np.ix_(order, order)]
    assert np.all(seen[np.tril_indices(4)] > 1e-3)
    assert np.all(seen[np.triu_indices(4, 1)] == 0.0)
    assert np.all(np.abs(of_cond).max(axis=0) > 1e-3)  # the first component sees the condition too


def test_the_orders_are_part_of_the_configuration_and_reverse():
    net, _ = CASES["affine"]
    places = lambda net: [layer.places for layer in net.bind({}).layers]  # noqa: E731
    found = places(net)
    assert found == places(net.clone())
    assert found != places(net.clone(seed=1))
    assert found[1] == tuple(4 - place for place in found[0])
    assert found[2] not in found[:2]
