"""Maps of columns to standard normals: closed forms, tails of the data's own weight."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtri

from jaxcalo.preprocess.quantile_map import (
    fit_quantiles,
    from_normal,
    no_quantiles,
    quantiles_of_uniform,
    to_normal,
)


def test_quantile_maps():
    """The knots of a uniform column map it to its normal quantiles; far out lines go on."""
    uniform = jnp.asarray(np.stack([quantiles_of_uniform(-1, 3)] * 2))
    np.testing.assert_allclose(from_normal(uniform, jnp.array([0.0, 1.0])), [1, 2.3654], atol=1e-4)
    identity = jnp.asarray(no_quantiles(3))
    x = jnp.array([-7.5, 0.33, 9.0])
    np.testing.assert_allclose(from_normal(identity, x), x, rtol=1e-6)


def drawn(knots, n):
    z = np.random.default_rng(1).normal(size=(n, len(knots))).astype(np.float32)
    return np.asarray(jax.jit(jax.vmap(lambda row: from_normal(knots, row)))(z), np.float64)


@pytest.mark.parametrize("tail", [ndtri, lambda u: -np.log(u), lambda u: np.log(u) ** 2])
def test_tails_have_their_weight(tail):
    """Normal, exponential, its square: mean excess over 3 standard deviations, on both sides."""
    u = np.random.default_rng(0).uniform(1e-9, 1, size=(400_000, 1))
    column = np.concatenate([tail(u), -tail(u)])
    made = drawn(fit_quantiles(column), 800_000)
    q = np.quantile(column, 0.99865)
    wanted = (column - q)[column > q].mean()
    for side in (1, -1):
        beyond = (side * made - q)[side * made > q]
        np.testing.assert_allclose(beyond.mean(), wanted, rtol=0.12)


def test_no_event_is_far_away():
    """A lone event stays within 6; one beyond a sharp edge is told from it, not torn away."""
    column = 100 * np.append(np.random.default_rng(0).uniform(size=9999), 50.0)[:, None]
    knots = jnp.asarray(fit_quantiles(column))
    assert 4.0 < float(to_normal(knots, jnp.array([5000.0]))[0]) <= 6.001
    edge = jnp.asarray(fit_quantiles(column[:-1]))
    assert 3.0 < float(to_normal(edge, jnp.array([101.0]))[0]) < 5.0
    few = jnp.asarray(fit_quantiles(column[:2]))
    assert np.isfinite(to_normal(few, jnp.array([7.0]))).all()
