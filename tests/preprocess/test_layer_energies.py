"""Layer energies apart from shapes: exact energies whatever the model says of the shapes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcalo.preprocess.layer_energies import energies_from_ratios, energy_ratios, split_layers

LAYER = np.repeat(np.arange(4), [3, 5, 2, 6])
E_INC = jnp.asarray(5e3)
THRESHOLD = 0.5


@pytest.mark.parametrize(
    "layers", [[1.0, 2.0, 3.0, 4.0], [5.0, 0.0, 2.0, 0.0], [0.0, 0.0, 7.0, 0.0], [0.0] * 4]
)
def test_ratios_undo(layers):
    layers = jnp.array(layers)
    ratios = energy_ratios(layers, E_INC, 2.0)
    assert ((ratios >= 0) & (ratios <= 1)).all()
    np.testing.assert_allclose(ratios[0], layers.sum() / 1e4, rtol=1e-6)
    np.testing.assert_allclose(energies_from_ratios(ratios, E_INC, 2.0), layers, atol=1e-5)


def test_ratios_equal_their_definition():
    layers = np.array([3.0, 10.0, 4.0, 1.0])
    expected = [layers.sum() / 1e4, *(layers[i] / layers[i:].sum() for i in range(3))]
    np.testing.assert_allclose(energy_ratios(jnp.asarray(layers), E_INC, 2.0), expected, rtol=1e-6)


def shower(key, occupancy=0.6):
    hits = jax.random.bernoulli(key, occupancy, (16,))
    return jnp.where(hits, THRESHOLD * jnp.exp(3 * jax.random.uniform(key, (16,))), 0.0)


def test_split_layers_undoes_itself():
    transform = split_layers(LAYER, 4, 2.0, THRESHOLD)
    for seed in range(20):
        event = shower(jax.random.key(seed), occupancy=0.3)
        there = transform.forward(event, E_INC)
        np.testing.assert_allclose(there[4:], event)
        np.testing.assert_allclose(transform.inverse(there, E_INC), event, rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_layers_get_exactly_their_energies(seed):
    """Any ratios and any shapes, also nonsense: the layers' sums are the ratios'."""
    transform = split_layers(LAYER, 4, 2.0, THRESHOLD)
    keys = jax.random.split(jax.random.key(seed))
    ratios = jax.random.uniform(keys[0], (4,), minval=0.05, maxval=0.9)
    voxels = 10 * jax.random.normal(keys[1], (16,))
    out = np.asarray(transform.inverse(jnp.concatenate([ratios, voxels]), E_INC), np.float64)
    assert (out >= 0).all()
    sums = [out[layer == LAYER].sum() for layer in range(4)]
    np.testing.assert_allclose(sums, energies_from_ratios(ratios, E_INC, 2.0), rtol=1e-5)


def test_energy_without_hits_goes_to_the_largest_voxel():
    transform = split_layers(np.zeros(3, int), 1, 2.0, THRESHOLD)
    out = transform.inverse(jnp.array([0.1, -3.0, -1.0, -2.0]), E_INC)
    np.testing.assert_allclose(out, [0.0, 1e3, 0.0], rtol=1e-6)


def test_layer_below_threshold_is_empty():
    transform = split_layers(LAYER, 4, 2.0, THRESHOLD)
    event = jnp.concatenate([jnp.array([1e-6, 0.5, 0.5, 0.5]), jnp.full(16, 3.0)])
    np.testing.assert_array_equal(transform.inverse(event, E_INC), np.zeros(16))
