import jax
import jax.numpy as jnp
import numpy as np
import pytest
from net_cases import normal, quick_jit

from jaxcalo.nets import splines
from jaxcalo.nets.splines import n_spline_parameters

BOUND, N_BINS = 3.0, 5
spline = quick_jit(lambda x, raw: splines.spline(x, raw, BOUND))
inverse_spline = quick_jit(lambda y, raw: splines.inverse_spline(y, raw, BOUND))
N_RAW = n_spline_parameters(N_BINS)


def curves(n=200, spread=2.0):
    """Numbers across both bounds, each with parameters of its own."""
    x = jnp.linspace(-1.5 * BOUND, 1.5 * BOUND, n)
    return x, spread * normal(1, (n, N_RAW))


def test_zero_parameters_are_the_identity():
    x, raw = curves()
    y, log_slope = spline(x, jnp.zeros_like(raw))
    np.testing.assert_allclose(y, x, atol=1e-6)
    np.testing.assert_allclose(log_slope, 0.0, atol=1e-6)


@pytest.mark.parametrize("spread", [0.5, 2.0])
def test_inverse_undoes_and_slopes_are_autodiffs(spread):
    x, raw = curves(spread=spread)
    y, log_slope = spline(x, raw)
    assert np.max(np.abs(y - x)) > 0.3
    back, log_inverse = inverse_spline(y, raw)
    # An error of y of one bit is as many bits of x as the inverse is steep.
    np.testing.assert_allclose(back, x, atol=2e-6 * max(1.0, float(jnp.exp(-log_slope).max())))
    slope = quick_jit(jax.vmap(jax.grad(lambda x, r: splines.spline(x, r, BOUND)[0])))(x, raw)
    np.testing.assert_allclose(log_slope, np.log(slope), atol=1e-4)
    np.testing.assert_allclose(log_inverse, -log_slope, atol=2e-2 if spread > 1 else 1e-4)


def test_a_curve_is_smooth_increasing_and_ends_on_the_diagonal():
    raw = 0.7 * normal(2, (N_RAW,))
    x = jnp.linspace(-1.2 * BOUND, 1.2 * BOUND, 20_001)
    y, log_slope = spline(x, jnp.broadcast_to(raw, (len(x), N_RAW)))
    assert np.all(np.diff(y) > 0.0)
    outside = np.abs(x) >= BOUND
    np.testing.assert_array_equal(y[outside], x[outside])
    np.testing.assert_array_equal(log_slope[outside], 0.0)
    near = np.abs(np.abs(x) - BOUND) < 1e-3
    np.testing.assert_allclose(log_slope[near], 0.0, atol=0.1)
    assert np.max(np.abs(np.diff(log_slope))) < 0.1  # no jump of the slope at any knot


def test_knots_and_ends_are_met_in_both_directions():
    """At a knot either neighbour may be chosen: the value must not depend on it."""
    raw = normal(3, (N_RAW,))
    for value in (-BOUND, BOUND, np.nextafter(np.float32(BOUND), np.float32(0.0))):
        for function in (spline, inverse_spline):
            result, log_slope = function(jnp.float32(value), raw)
            np.testing.assert_allclose(result, value, atol=1e-5)
            np.testing.assert_allclose(log_slope, 0.0, atol=1e-2)


def test_gradients_stay_finite_with_extreme_parameters():
    x, raw = curves(spread=50.0)
    total = lambda x, r: sum(jnp.sum(v) for v in splines.spline(x, r, BOUND))  # noqa: E731
    gradient = quick_jit(jax.grad(total, argnums=(0, 1)))
    for function in (gradient(x, raw), inverse_spline(x, raw)):
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(function))
