"""Layer energies apart from shapes: exact energies whatever the model says of the shapes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcalo.preprocess.layer_energies import layer_ratios, split_layers

LAYER = np.repeat(np.arange(4), [3, 5, 2, 6])
E_INC = jnp.asarray(5e3)
THRESHOLD = 0.5
MARGIN = 1e-6
RATIOS = layer_ratios(2.0, MARGIN)


@pytest.mark.parametrize(
    "layers", [[1.0, 2.0, 3.0, 4.0], [5.0, 0.0, 2.0, 0.0], [0.0, 0.0, 7.0, 0.0], [0.0] * 4]
)
def test_ratios_undo(layers):
    layers = jnp.array(layers)
    logits = RATIOS.forward(layers, E_INC)
    limit = -np.log(MARGIN)
    assert (np.abs(logits) <= limit * 1.01).all()
    np.testing.assert_allclose(RATIOS.inverse(logits, E_INC), layers, atol=1e-5)


def test_ratios_equal_their_definition():
    layers = np.array([3.0, 10.0, 4.0, 1.0])
    ratios = np.array([layers.sum() / 1e4, *(layers[i] / layers[i:].sum() for i in range(3))])
    inside = MARGIN + (1 - 2 * MARGIN) * ratios
    expected = np.log(inside / (1 - inside))
    np.testing.assert_allclose(RATIOS.forward(jnp.asarray(layers), E_INC), expected, rtol=1e-5)


def test_what_is_left_behind_a_layer_that_takes_nearly_all_is_exact():
    """1 - u = 1e-4 in float32 has three digits; the layers behind must not lose theirs."""
    layers = np.array([1e3, 0.06, 0.03, 0.01])
    back = RATIOS.inverse(RATIOS.forward(jnp.asarray(layers), E_INC), E_INC)
    np.testing.assert_allclose(back, layers, rtol=1e-5)


def shower(key, occupancy=0.6):
    hits = jax.random.bernoulli(key, occupancy, (16,))
    return jnp.where(hits, THRESHOLD * jnp.exp(3 * jax.random.uniform(key, (16,))), 0.0)


def test_split_layers_undoes_itself():
    transform = split_layers(LAYER, RATIOS, 4, THRESHOLD)
    for seed in range(20):
        event = shower(jax.random.key(seed), occupancy=0.3)
        there = transform.forward(event, E_INC)
        np.testing.assert_allclose(there[4:], event)
        np.testing.assert_allclose(transform.inverse(there, E_INC), event, rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_layers_get_exactly_their_energies(seed):
    """Any ratios and any shapes, also nonsense: the layers' sums are the ratios'."""
    transform = split_layers(LAYER, RATIOS, 4, THRESHOLD)
    keys = jax.random.split(jax.random.key(seed))
    logits = 2 * jax.random.normal(keys[0], (4,))
    voxels = 10 * jax.random.normal(keys[1], (16,))
    out = np.asarray(transform.inverse(jnp.concatenate([logits, voxels]), E_INC), np.float64)
    assert ((out == 0) | (out >= THRESHOLD)).all()
    sums = [out[layer == LAYER].sum() for layer in range(4)]
    np.testing.assert_allclose(sums, RATIOS.inverse(logits, E_INC), rtol=1e-5)


def test_energy_without_hits_goes_to_the_largest_voxel():
    transform = split_layers(np.zeros(3, int), RATIOS, 1, THRESHOLD)
    out = transform.inverse(jnp.array([0.0, -3.0, -1.0, -2.0]), E_INC)
    np.testing.assert_allclose(out, [0.0, 5e3, 0.0], rtol=1e-6)


def test_layer_below_threshold_is_empty():
    transform = split_layers(LAYER, RATIOS, 4, THRESHOLD)
    event = jnp.concatenate([jnp.array([-12.0, 0.5, 0.5, 0.5]), jnp.full(16, 3.0)])
    np.testing.assert_array_equal(transform.inverse(event, E_INC), np.zeros(16))


def test_voxels_that_cannot_all_reach_the_threshold_leave_one_hit():
    transform = split_layers(np.zeros(3, int), RATIOS, 1, THRESHOLD)
    total = np.log(1e-4 / (1 - 1e-4))  # 1 MeV of 10 GeV: three equal voxels would have 0.33 each
    out = transform.inverse(jnp.array([total, 0.5, 0.5, 0.5]), E_INC)
    np.testing.assert_allclose(out, [1.0, 0.0, 0.0], rtol=1e-2)


def test_a_voxel_below_threshold_gives_its_energy_to_the_others():
    transform = split_layers(np.zeros(3, int), RATIOS, 1, THRESHOLD)
    total = np.log(3e-4 / (1 - 3e-4))
    out = transform.inverse(jnp.array([total, 6.0, 3.0, 0.5]), E_INC)
    np.testing.assert_allclose(out, [2.0, 1.0, 0.0], rtol=1e-2)
