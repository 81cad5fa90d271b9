"""Unequal layers on a padded grid."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcalo.geometry import GEOMETRIES, from_grid, load_geometry, ragged_grid, to_grid


@pytest.mark.parametrize("name", GEOMETRIES)
def test_round_trip_is_exact_under_jit_and_vmap(name):
    detector = load_geometry(name)
    grid = ragged_grid(detector)
    events = jax.random.normal(jax.random.key(0), (2, detector.n_voxels))
    padded = jax.jit(jax.vmap(lambda event: to_grid(grid, event)))(events)
    assert padded.shape == (2, *grid.shape)
    assert (padded[:, ~grid.mask] == 0).all()
    back = jax.jit(jax.vmap(lambda image: from_grid(grid, image)))(padded)
    np.testing.assert_array_equal(back, events)
    assert grid.mask.sum() == detector.n_voxels


def test_layers_stand_in_their_corner():
    detector = load_geometry("ds1-photons")
    grid = ragged_grid(detector)
    assert grid.shape == (5, 10, 19)
    padded = np.asarray(to_grid(grid, jnp.arange(368.0), fill=-1.0))
    for image, layer, start in zip(
        padded, detector.relevant_layers, detector.offsets, strict=False
    ):
        rows, columns = layer.grid_shape
        expected = start + np.arange(layer.n_voxels).reshape(rows, columns)
        np.testing.assert_array_equal(image[:rows, :columns], expected)
        assert (image == -1).sum() == 190 - layer.n_voxels


def test_regular_grid_is_a_reshape():
    detector = load_geometry("par04_lite")
    grid = ragged_grid(detector)
    event = jnp.arange(720.0)
    assert grid.mask.all()
    np.testing.assert_array_equal(to_grid(grid, event), event.reshape(detector.grid_shape))


def test_padding_takes_no_part_in_gradients():
    grid = ragged_grid(load_geometry("ds1-pions"))
    event = jnp.ones(533)
    gradient = jax.grad(lambda x: (to_grid(grid, x, fill=7.0) ** 2).sum())(event)
    np.testing.assert_array_equal(gradient, 2 * event)
