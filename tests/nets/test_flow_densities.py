"""The density of every flow integrates to one; NICE keeps volumes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from net_cases import normal, quick_jit, random_params

from jaxcalo.nets.autoregressive import MaskedAutoregressiveFlow
from jaxcalo.nets.coupling import nice, real_nvp, spline_flow

FLOWS = {
    "nice": nice(2, 3, (6,)),
    "real-nvp": real_nvp(2, 3, (6,)),
    "spline": spline_flow(2, 2, (6,), n_bins=4, bound=3.0),
    "maf": MaskedAutoregressiveFlow(2, 2, (6,), n_bins=0),
    "maf-spline": MaskedAutoregressiveFlow(2, 2, (6,), n_bins=4, bound=3.0),
}
AXIS = jnp.linspace(-12, 12, 481)
GRID = jnp.stack(jnp.meshgrid(AXIS, AXIS), axis=-1).reshape(-1, 2)


@pytest.mark.parametrize("name", FLOWS)
def test_density_integrates_to_one(name):
    net = FLOWS[name]

    @quick_jit
    def integral_and_distance(params, cond):
        z, log_det = net.apply(params, GRID, jnp.broadcast_to(cond, (len(GRID), 1)))
        density = jnp.exp(log_det - jnp.sum(z**2, axis=1) / 2) / (2 * jnp.pi)
        normal_density = jnp.exp(-jnp.sum(GRID**2, axis=1) / 2) / (2 * jnp.pi)
        area = (AXIS[1] - AXIS[0]) ** 2
        return jnp.sum(density) * area, jnp.sum(jnp.abs(density - normal_density)) * area

    params = random_params(net, GRID[:1], jnp.zeros((1, 1)))
    for scale, cond in ((0.4, -1.0), (0.6, 0.7)):
        perturbed = jax.tree.map(lambda p: scale * p, params)  # noqa: B023
        integral, distance = integral_and_distance(perturbed, jnp.array([cond]))
        np.testing.assert_allclose(integral, 1.0, atol=2e-3)
        assert distance > 0.1  # it is not the standard normal's


@pytest.mark.parametrize("scaled", [False, True])
def test_nice_keeps_volumes_but_for_its_scales(scaled):
    net = nice(4, 3, (8,), scaled=scaled)
    x, cond = normal(1, (16, 4)), normal(2, (16, 1))
    params = random_params(net, x, cond)

    @quick_jit
    def run(params):
        def one(x, c):
            return net.apply(params, x[None], c[None])[0][0]

        z, log_det = net.apply(params, x, cond)
        back = net.apply(params, z, cond, method="from_noise")
        return log_det, jax.vmap(jax.jacfwd(one))(x, cond), back

    log_det, jacobian, back = run(params)
    expected = float(jnp.sum(params["params"]["log_scale"])) if scaled else 0.0
    assert scaled == (abs(expected) > 0.05)
    np.testing.assert_allclose(log_det, expected, atol=1e-7)
    _, found = np.linalg.slogdet(np.asarray(jacobian, np.float64))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(back, x, atol=1e-5)
    assert np.abs(np.asarray(jacobian) - np.eye(4)).max() > 0.3
