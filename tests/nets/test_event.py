from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from net_cases import normal, quick_jit, random_params

from jaxcalo.errors import InputError
from jaxcalo.geometry import Detector, PolarLayer, glam_maps, load_geometry, symmetries
from jaxcalo.nets import DiT, EventNet, GlamDecoder, GlamEncoder, UNet, n_event_channels

N_LAYERS, GRID = 3, (3, 4, 2)
UNEQUAL = Detector(
    "unequal", "p", 0, (PolarLayer(0, (0.0, 2.0, 5.0), 1), PolarLayer(1, (0.0, 1.0, 2.0, 4.0), 4))
)


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


def test_layer_conditions_are_a_channel_and_conditions():
    net = DiT((1, 2, 2), width=8, depth=1, n_heads=2)
    flat = EventNet(net, GRID, n_layer_conditions=N_LAYERS)
    x, c_noise, cond = events(2, 24), normal(1, (2,)), normal(2, (2, N_LAYERS + 1))
    params = random_params(flat, x, c_noise, cond)
    apply = quick_jit(flat.apply)
    y = apply(params, x, c_noise, cond)

    by_hand = np.zeros((2, *GRID, 2), np.float32)
    by_hand[..., 0] = x.reshape(2, *GRID)
    for layer in range(N_LAYERS):
        by_hand[:, layer, :, :, 1] = cond[:, layer, None, None]
    inner = {"params": params["params"]["net"]}
    expected = quick_jit(net.apply)(inner, jnp.asarray(by_hand), c_noise, cond)
    np.testing.assert_allclose(y, expected.reshape(2, 24), atol=1e-6)

    changed = apply(params, x, c_noise, cond.at[0, 1].add(0.5))
    assert np.all(changed[0] != y[0])
    np.testing.assert_array_equal(changed[1], y[1])


def test_layer_conditions_stand_between_the_energies_and_the_coordinates():
    conds = normal(3, (2, 4))
    coordinates = np.full((*GRID, 1), 7.0, np.float32)
    net = EventNet(
        Analytic(lambda g, t, c: g[..., 2:] + 0 * c.sum()), GRID, N_LAYERS, coordinates, False, 3
    )
    y = net.apply({}, events(2, N_LAYERS + 24), jnp.zeros(2), conds)
    np.testing.assert_array_equal(y[:, :3], 7.0)
    np.testing.assert_array_equal(y[:, 3:].reshape(2, 3, 8), conds[:, :3, None].repeat(8, 2))
    plane = EventNet(Analytic(lambda g, t, c: g[..., 1:]), (4, 2), n_layer_conditions=1)
    y = plane.apply({}, events(2, 8), jnp.zeros(2), conds)
    np.testing.assert_array_equal(y, conds[:, :1].repeat(8, 1))


def unequal_layers():
    """A net with everything on, its parameters, and two events with their conditions."""
    maps = glam_maps(UNEQUAL)
    net = DiT((1, 2, 2), width=8, depth=1, n_heads=2, out_channels=4)
    coordinates = np.ones((*maps.grid_shape, 1), np.float32)
    flat = EventNet(net, maps.grid_shape, 2, coordinates, True, n_layer_conditions=2, maps=maps)
    args = events(2, 2 + UNEQUAL.n_voxels), normal(1, (2,)), normal(2, (2, 3))
    return flat, random_params(flat, *args), args


def test_unequal_layers_are_encoded_and_decoded():
    """decode(net(encode)): all numbers as in the parts put together by hand."""
    flat, params, (x, c_noise, cond) = unequal_layers()
    n_voxels, grid, maps = UNEQUAL.n_voxels, flat.grid_shape, flat.maps
    assert (n_voxels, grid) == (14, (2, 4, 4))
    y = quick_jit(flat.apply)(params, x, c_noise, cond)
    assert y.shape == (2, 2 * (2 + n_voxels))

    part = {name: {"params": tree} for name, tree in params["params"].items()}
    channels = np.ones((2, *grid, 4), np.float32)
    channels[..., 0] = GlamEncoder(maps).apply(part["encoder"], x[:, 2:])
    channels[..., 1] = x[:, :2, None, None]
    channels[..., 2] = cond[:, :2, None, None]
    out = quick_jit(flat.net.apply)(part["net"], jnp.asarray(channels), c_noise, cond)
    for image, logits in ((0, False), (2, True)):
        found = y[:, 16:] if logits else y[:, :16]
        energies = np.asarray(out[..., image + 1]).mean(axis=(2, 3))
        np.testing.assert_allclose(found[:, :2], energies, atol=1e-5)
        voxels = GlamDecoder(maps).apply(part["decoder"], out[..., image])
        np.testing.assert_allclose(found[:, 2:], voxels, atol=1e-5)


def test_unequal_layers_pass_derivatives_of_both_modes():
    flat, params, (x, c_noise, cond) = unequal_layers()
    direction = normal(3, x.shape)

    @quick_jit
    def derivatives(params, x):
        one = jax.vmap(lambda x, t, c: flat.apply(params, x[None], t[None], c[None])[0])
        y, tangent = jax.jvp(lambda x: one(x, c_noise, cond), (x,), (direction,))
        gradient = jax.grad(lambda p: jnp.vdot(flat.apply(p, x, c_noise, cond), y))(params)
        return y, tangent, gradient

    y, tangent, gradient = derivatives(params, x)
    apply = quick_jit(flat.apply)
    np.testing.assert_allclose(y, apply(params, x, c_noise, cond), atol=1e-5)
    ends = [apply(params, x + s * direction, c_noise, cond) for s in (1e-2, -1e-2)]
    difference = (ends[0] - ends[1]) / 2e-2
    np.testing.assert_allclose(tangent, difference, atol=1e-2 * np.max(np.abs(tangent)))
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert np.all(np.isfinite(leaf)), path
        assert np.any(leaf != 0), path


def test_turning_a_shower_of_data_set_1_turns_the_result():
    detector = load_geometry("ds1-photons")
    maps = glam_maps(detector)
    net = UNet((4, 4, 4), embedding_size=4, groups=2, attention=False)
    flat = EventNet(net, maps.grid_shape, maps=maps)
    x, c_noise, cond = events(2, detector.n_voxels), normal(1, (2,)), normal(2, (2, 1))
    params = random_params(flat, x, c_noise, cond)
    apply = quick_jit(flat.apply)
    y = apply(params, x, c_noise, cond)
    # the azimuth of the grid halves once, so that turns by two of its ten bins are exact
    turn = symmetries(detector)[2]
    assert turn[8] == 8 + 2 * 16
    turned = apply(params, x[:, turn], c_noise, cond)
    np.testing.assert_allclose(turned, y[:, turn], atol=1e-4 * np.max(np.abs(y)))
    assert np.max(np.abs(turned - y)) > 0.01


def test_conditions_and_maps_that_do_not_fit_are_named():
    def same(g, t, c):
        return g[..., :1]

    with pytest.raises(InputError, match="n_layer_conditions 0 or 3"):
        apply(same, events(1, 24), grid_shape=GRID, n_layer_conditions=2)
    with pytest.raises(InputError, match="expected 3 conditions or more"):
        apply(same, events(1, 24), grid_shape=GRID, n_layer_conditions=3)
    maps = glam_maps(UNEQUAL)
    with pytest.raises(InputError, match="found maps to"):
        apply(same, events(1, 24), grid_shape=GRID, maps=maps)
    with pytest.raises(InputError, match="14 voxels, found 32 numbers"):
        apply(same, events(1, 32), grid_shape=maps.grid_shape, maps=maps)
