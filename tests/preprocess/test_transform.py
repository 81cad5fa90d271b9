"""Every transform undoes itself, and maps the edges where it says."""

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from jaxcalo.preprocess import (
    Transform,
    chain,
    hit_scale,
    logit_scale,
    on_slice,
    scale_by_incident_energy,
    scale_with_energy,
    standardise,
    threshold,
)

ENERGY = jnp.asarray(2e4)
MEAN, STD = jnp.linspace(-1, 1, 6), jnp.linspace(0.5, 2, 6)
BATTERY = {
    "scale": (scale_by_incident_energy(2.0), 0.0, 3e4),
    "logit": (logit_scale(1e-6), 0.0, 1.0),
    "hit": (hit_scale(0.015, 1.0, 0.5, 1.5), None, None),
    "threshold": (threshold(0.015), None, None),
    "standardise": (standardise(MEAN, STD), -10.0, 10.0),
    "resolution": (scale_with_energy(jnp.array([0.5, 0, 0, 0, 1, 0]), 3e3), -10.0, 10.0),
    "on_slice": (on_slice(logit_scale(1e-3), 1, 4), 0.0, 1.0),
}


def showers(low, high):
    """Six numbers in a range, or voxel energies: empty or above threshold."""
    voxel = st.one_of(st.just(0.0), st.floats(0.015625, 3e4, width=32))
    number = voxel if low is None else st.floats(low, high, width=32)
    return st.lists(number, min_size=6, max_size=6).map(lambda x: np.asarray(x, np.float32))


@pytest.mark.parametrize("name", BATTERY)
def test_inverse_undoes_forward(name):
    transform, low, high = BATTERY[name]

    @settings(deadline=None, max_examples=50)
    @given(showers(low, high))
    def check(event):
        there = transform.forward(jnp.asarray(event), ENERGY)
        back = np.asarray(transform.inverse(there, ENERGY))
        back = np.maximum(back, 0.0) if name == "hit" else back
        scale = max(1.0, float(np.abs(event).max())) if name in ("scale", "logit") else 1.0
        np.testing.assert_allclose(back, event, rtol=1e-4, atol=3e-6 * scale)
        assert ((back == 0) == (event == 0)).all() or name not in ("hit", "threshold")

    check()


@pytest.mark.parametrize("name", BATTERY)
def test_jit_and_vmap_change_nothing(name):
    transform, low, _ = BATTERY[name]
    events = jnp.abs(jax.random.normal(jax.random.key(0), (3, 6))) * (0.2 if low == 0.0 else 1.0)
    events = jnp.clip(events, 0.02, 0.9)
    for function in transform:
        batch = jax.jit(jax.vmap(function, in_axes=(0, None)))(events, ENERGY)
        loop = jnp.stack([function(event, ENERGY) for event in events])
        np.testing.assert_allclose(batch, loop, rtol=2e-5, atol=1e-6)


def test_hit_scale_leaves_a_gap_between_empty_and_hit():
    transform = hit_scale(0.015, unit_mev=1.0, power=0.5, gap=1.5)
    y = transform.forward(jnp.array([0.0, 0.015, 4.0]), ENERGY)
    np.testing.assert_allclose(y, [0.0, 1.5 + 0.015**0.5, 3.5], rtol=1e-6)
    blurred = transform.inverse(jnp.array([-0.4, 0.7, 1.0, 1.4]), ENERGY)
    np.testing.assert_allclose(blurred[2:], 0.015, rtol=1e-6)
    assert blurred[0] < blurred[1] < 0


def test_chain_runs_forward_left_to_right_and_back():
    add = Transform(lambda x, _: x + 1, lambda x, _: x - 1)
    double = Transform(lambda x, _: 2 * x, lambda x, _: x / 2)
    both = chain(add, double)
    assert both.forward(jnp.asarray(3.0), ENERGY) == 8
    assert both.inverse(jnp.asarray(8.0), ENERGY) == 3


def test_threshold_cuts_what_a_model_leaves_below():
    out = threshold(0.015).inverse(jnp.array([-1.0, 0.0149, 0.0151]), ENERGY)
    np.testing.assert_allclose(out, [0.0, 0.0, 0.0151], rtol=1e-6)
