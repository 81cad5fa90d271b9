"""Convolutional encoders and decoders of showers: sizes, symmetry, and that all inputs count."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from net_cases import assert_close, normal, quick_jit, random_params

from jaxcalo.errors import InputError
from jaxcalo.nets import VoxelDecoder, VoxelEncoder

PAR04, CRYSTALS = (15, 8, 6), (11, 11)
CYLINDER = (3, 4, 2)


def networks(grid, n_layers, **options):
    sizes = {"n_layer_energies": n_layers, "channels": (4, 8), "width": 8}
    return VoxelEncoder(grid, 6, **sizes), VoxelDecoder(grid, **sizes, **options)


@pytest.mark.parametrize(("grid", "n_layers"), [(PAR04, 15), (CRYSTALS, 1)], ids=str)
def test_events_of_the_geometries_pass_and_every_number_counts(grid, n_layers):
    n = n_layers + math.prod(grid)
    encoder, decoder = networks(grid, n_layers)
    x, z, cond = normal(0, (2, n)), normal(1, (2, 3)), normal(2, (2, 2))
    params = random_params(encoder, x, cond), random_params(decoder, z, cond)

    def back(x, z, cond):
        return encoder.apply(params[0], x, cond), decoder.apply(params[1], z, cond)

    @quick_jit
    def slopes(x, z, cond):
        def total(x, z, cond):
            y, event = back(x, z, cond)
            assert y.shape == (2, 6)
            assert event.shape == (2, n)
            weigh = jnp.sin(jnp.arange(n))
            return jnp.sum(jnp.sin(y[0])), jnp.sum(weigh * event[0])

        return jax.jacrev(total, argnums=(0, 1, 2))(x, z, cond)

    of_encoder, of_decoder = slopes(x, z, cond)
    assert np.all(of_encoder[0][0] != 0)
    assert np.all(of_encoder[2][0] != 0)
    assert np.all(of_decoder[1][0] != 0)
    assert np.all(of_decoder[2][0] != 0)
    # Each event alone: the first one's results know nothing of the second.
    assert not any(np.any(g[1]) for g in (*of_encoder, *of_decoder))


def test_a_rotation_in_azimuth_of_the_noise_rotates_the_event():
    grid, n_layers = CYLINDER, 3
    decoder = networks(grid, n_layers, local_noise=True)[1]
    n = math.prod(grid)
    z, cond = normal(0, (2, 5 + n)), normal(1, (2, 1))
    params = random_params(decoder, z, cond)
    # The same at all azimuths, but for the noise of the voxels.
    layers = params["params"]
    shape = (2, 2, 1, 8)  # azimuth, layer, radius, channels of the coarse grid
    layers["in"] = jax.tree.map(
        lambda p: jnp.repeat(p.reshape(*p.shape[:-1], *shape)[..., :1, :, :, :], 2, -4).reshape(
            p.shape
        ),
        layers["in"],
    )
    apply = quick_jit(decoder.apply)

    def rolled(numbers, first):
        # By one cell of the coarse grid, whose cells the fine grid tells apart within.
        voxels = jnp.roll(numbers[:, first:].reshape(2, *grid), 2, axis=2).reshape(2, -1)
        return jnp.concatenate([numbers[:, :first], voxels], axis=1)

    event = apply(params, z, cond)
    assert_close(apply(params, rolled(z, 5), cond), rolled(event, n_layers))
    assert np.abs(rolled(event, n_layers) - event).max() > 0.1


def test_widths_stand_behind_the_means():
    decoder = networks((2, 3), 1, n_numbers=2)[1]
    z, cond = normal(0, (2, 3)), normal(1, (2, 1))
    params = random_params(decoder, z, cond)
    apply = quick_jit(decoder.apply)
    event = apply(params, z, cond)
    assert event.shape == (2, 14)
    # The last layers' second numbers are the widths: they alone move.
    moved = jax.tree.map(jnp.copy, params)
    moved["params"]["out"]["bias"] += jnp.array([0.0, 1.0])
    moved["params"]["layers"]["bias"] += jnp.array([0.0, 2.0])
    expected = np.r_[np.zeros(7), 2.0, np.ones(6)]
    np.testing.assert_allclose(apply(moved, z, cond) - event, [expected] * 2, atol=1e-5)


@pytest.mark.parametrize(
    ("net", "size", "message"),
    [
        (VoxelEncoder((2, 3), 1), 7, "found 7 numbers"),
        (VoxelDecoder((2, 3), 2), 2, "no layer energies or 1, found"),
        (VoxelDecoder((6,)), 2, "2 or 3 axes"),
        (VoxelDecoder((2, 3), channels=(6,)), 2, "multiples of 4"),
        (VoxelDecoder((2, 3), local_noise=True), 6, "more than 6 numbers"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(net, size, message):
    inputs = jnp.zeros((1, size)), jnp.zeros((1, 1))
    with pytest.raises(InputError, match=message):
        jax.eval_shape(net.init, jax.random.key(0), *inputs)
