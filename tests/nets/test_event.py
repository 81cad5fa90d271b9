from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from net_cases import normal, quick_jit, random_params

from jaxcalo.errors import InputError
from jaxcalo.nets import DiT, EventNet, UNet, n_event_channels

N_LAYERS, GRID = 3, (3, 4, 2)


class Analytic(nn.Module):
    """A net without parameters: a function of its three arguments."""

    function: Any

    @nn.compact
    def __call__(self, x, c_noise, cond):
        return self.function(x, c_noise, cond)


def apply(function, x, **options):
    net = EventNet(Analytic(function), **options)
    return net.apply({}, x, jnp.zeros(x.shape[0]), jnp.zeros((x.shape[0], 1)))


def events(n, n_numbers):
    return normal(0, (n, n_numbers))


def test_voxels_go_to_their_grid_and_back():
    x = jnp.arange(24.0)[None]

    def check(grid, c_noise, cond):
        assert grid.shape == (1, *GRID, 1)
        assert grid[0, 1, 2, 0, 0] == 1 * 8 + 2 * 2  # layer slowest, radius fastest
        return 2 * grid

    np.testing.assert_array_equal(apply(check, x, grid_shape=GRID), 2 * x)


@pytest.mark.parametrize(("grid", "n_layers"), [(GRID, N_LAYERS), ((4, 2), 1)])
def test_layer_energies_come_back_where_they_went_in(grid, n_layers):
    x = events(2, n_layers + int(np.prod(grid)))
    options = {"grid_shape": grid, "n_layer_energies": n_layers}
    np.testing.assert_allclose(apply(lambda g, t, c: g, x, **options), x, rtol=1e-6)


def test_layer_energies_stand_beside_the_voxels_of_their_layer():
    x = events(2, N_LAYERS + 24)
    swapped = apply(lambda g, t, c: g[..., ::-1], x, grid_shape=GRID, n_layer_energies=N_LAYERS)
    energies, voxels = np.asarray(x[:, :3]), np.asarray(x[:, 3:]).reshape(2, 3, 8)
    np.testing.assert_allclose(swapped[:, :3], voxels.mean(-1), atol=1e-6)
    np.testing.assert_array_equal(
        swapped[:, 3:].reshape(2, 3, 8), energies[:, :, None].repeat(8, 2)
    )


def test_coordinates_are_the_last_channels():
    coordinates = np.arange(48.0, dtype=np.float32).reshape(*GRID, 2)
    x = events(2, N_LAYERS + 24)
    options = {"grid_shape": GRID, "n_layer_energies": N_LAYERS, "coordinates": coordinates}
    y = apply(lambda g, t, c: g[..., 2:], x, **options)
    for i in range(2):
        np.testing.assert_array_equal(y[i, 3:], coordinates[..., 0].ravel())
        np.testing.assert_allclose(y[i, :3], coordinates[..., 1].reshape(3, 8).mean(-1))


def test_learned_variance_follows_the_prediction():
    x = events(2, N_LAYERS + 24)
    options = {"grid_shape": GRID, "n_layer_energies": N_LAYERS, "learned_variance": True}
    y = apply(lambda g, t, c: jnp.concatenate([g, 10 + g], -1), x, **options)
    np.testing.assert_allclose(y[:, :27], x, rtol=1e-6)
    np.testing.assert_allclose(y[:, 27:], 10 + x, rtol=1e-6)
    plain = apply(
        lambda g, t, c: jnp.concatenate([g, -g], -1),
        x[:, 3:],
        grid_shape=GRID,
        learned_variance=True,
    )
    np.testing.assert_array_equal(plain, jnp.concatenate([x[:, 3:], -x[:, 3:]], -1))


def test_noise_level_and_conditions_pass_through():
    net = EventNet(Analytic(lambda g, t, c: g * 0 + (t * c[:, 0])[:, None, None, None]), (4, 2))
    y = net.apply({}, events(2, 8), jnp.asarray([2.0, 3.0]), jnp.asarray([[5.0], [7.0]]))
    np.testing.assert_array_equal(y, np.asarray([[10.0], [21.0]]).repeat(8, 1))


@pytest.mark.parametrize(
    ("grid", "net"),
    [
        (GRID, DiT((1, 2, 2), width=8, depth=1, n_heads=2, out_channels=4)),
        (GRID, UNet((4, 4), embedding_size=4, groups=2, attention=False, out_channels=4)),
        ((4, 4), DiT((2, 2), width=8, depth=1, n_heads=2, out_channels=4)),
    ],
)
def test_real_networks_fit_in(grid, net):
    n_layers = grid[0] if len(grid) == 3 else 1
    assert n_event_channels(n_layers, learned_variance=True) == net.out_channels
    coordinates = np.ones((*grid, 2), np.float32)
    flat = EventNet(net, grid, n_layers, coordinates, learned_variance=True)
    n = n_layers + int(np.prod(grid))
    args = events(2, n), jnp.ones(2), jnp.ones((2, 1))
    params = random_params(flat, *args)
    y = quick_jit(flat.apply)(params, *args)
    assert y.shape == (2, 2 * n)
    assert np.all(np.isfinite(y))
    # Every number depends on the event: the two differ in nothing else.
    assert np.all(y[0] != y[1])


def test_sizes_that_do_not_fit_are_named():
    def same(g, t, c):
        return g

    with pytest.raises(InputError, match="n_layer_energies 0 or 3"):
        apply(same, events(1, 26), grid_shape=GRID, n_layer_energies=2)
    with pytest.raises(InputError, match="found 25 numbers"):
        apply(same, events(1, 25), grid_shape=GRID)
    with pytest.raises(InputError, match="coordinates"):
        apply(same, events(1, 24), grid_shape=GRID, coordinates=np.ones((3, 4, 3, 2)))
    with pytest.raises(InputError, match="out_channels=1"):
        apply(lambda g, t, c: jnp.concatenate([g, g], -1), events(1, 24), grid_shape=GRID)
