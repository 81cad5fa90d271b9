"""The trainable maps: exact at the start, differentiable in every way, shared over azimuth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxpr_equations import equations, products_with_long_rows
from net_cases import assert_close, normal, quick_jit, random_params

from jaxcalo.geometry import Detector, PolarLayer, glam_maps, load_geometry
from jaxcalo.nets import GlamDecoder, GlamEncoder

SMALL = Detector(
    "small",
    "p",
    0,
    (
        PolarLayer(0, (0.0, 1.0, 3.0), 4),
        PolarLayer(1, (1.0, 2.0, 5.0), 6),
        PolarLayer(2, (0.0, 4.0), 1),
    ),
)
DETECTORS = [load_geometry("ds1-photons"), load_geometry("ds1-pions"), SMALL]


def n_parameters(*trees):
    return sum(leaf.size for leaf in jax.tree.leaves(trees))


def slow_encoder(detector, edges, n_azimuth, event):
    """Energy of every bin of the grid, shared out by area, one bin at a time."""
    grid = np.zeros((detector.n_layers, n_azimuth, len(edges) - 1))
    voxel = 0
    for index, layer in enumerate(detector.relevant_layers):
        share = n_azimuth // layer.n_azimuth
        for azimuth in range(layer.n_azimuth):
            for inner, outer in zip(layer.r_edges_mm, layer.r_edges_mm[1:], strict=False):
                for j in range(len(edges) - 1):
                    if inner <= edges[j] and edges[j + 1] <= outer:
                        area = (edges[j + 1] ** 2 - edges[j] ** 2) / (outer**2 - inner**2)
                        for fine in range(share * azimuth, share * azimuth + share):
                            grid[index, fine, j] = event[voxel] * area / share
                voxel += 1
    return grid


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda d: d.name)
def test_maps_start_exact(detector):
    maps = glam_maps(detector)
    edges = sorted({edge for layer in detector.relevant_layers for edge in layer.r_edges_mm})
    showers = normal(0, (2, detector.n_voxels)) ** 2
    grid, encoder = GlamEncoder(maps).init_with_output(jax.random.key(0), showers)
    for event, image in zip(np.asarray(showers, float), grid, strict=True):
        expected = slow_encoder(detector, edges, maps.grid_shape[1], event)
        np.testing.assert_allclose(image, expected, atol=1e-6)
        in_layers = np.add.reduceat(event, detector.offsets[:-1])
        np.testing.assert_allclose(np.sum(image, axis=(1, 2)), in_layers, rtol=1e-6)
    back, decoder = GlamDecoder(maps).init_with_output(jax.random.key(1), grid)
    np.testing.assert_allclose(back, showers, atol=1e-6)
    n_radius = maps.grid_shape[2]
    assert n_parameters(encoder, decoder) == 2 * sum(
        layer.n_radius * n_radius for layer in detector.relevant_layers
    )


@pytest.mark.parametrize(("name", "published"), [("ds1-photons", 3_180), ("ds1-pions", 3_404)])
def test_parameter_counts_are_the_published_ones(name, published):
    maps = glam_maps(load_geometry(name))
    grid, encoder = jax.eval_shape(
        GlamEncoder(maps).init_with_output, jax.random.key(0), np.zeros((1, maps.n_voxels))
    )
    decoder = jax.eval_shape(GlamDecoder(maps).init, jax.random.key(0), grid)
    assert n_parameters(encoder, decoder) == published


def moved(maps):
    """Encoder and decoder with parameters away from their start, as functions of the event."""
    x, y = normal(2, (3, maps.n_voxels)), normal(3, (3, *maps.grid_shape))
    modules = (GlamEncoder(maps), x), (GlamDecoder(maps), y)
    return [(module, random_params(module, array), array) for module, array in modules]


def test_trained_maps_are_those_of_their_matrices():
    """Layer 1 of the small detector: 6 of 12 azimuths, so pairs of the grid's bins are equal."""
    (encoder, kernels, x), (decoder, kernels_2, y) = moved(glam_maps(SMALL))
    grid, back = encoder.apply(kernels, x), decoder.apply(kernels_2, y)
    w, w_2 = kernels["params"]["layer_1"], kernels_2["params"]["layer_1"]
    for azimuth in range(12):
        start = 8 + 2 * (azimuth // 2)
        assert_close(grid[:, 1, azimuth], x[:, start : start + 2] @ w / 2)
    for azimuth in range(6):
        start = 8 + 2 * azimuth
        pair = y[:, 1, 2 * azimuth] + y[:, 1, 2 * azimuth + 1]
        assert_close(back[:, start : start + 2], pair @ w_2)


@pytest.mark.parametrize("which", [0, 1], ids=["encoder", "decoder"])
def test_derivatives_of_both_modes_and_vmap(which):
    module, params, x = moved(glam_maps(SMALL))[which]
    one = jax.vmap(lambda event: module.apply(params, event[None])[0])
    assert_close(one(x), module.apply(params, x))
    direction = normal(4, x.shape)
    _, tangent = jax.jvp(one, (x,), (direction,))
    assert_close(tangent, module.apply(params, direction))  # linear, without bias
    cotangent = normal(5, tangent.shape)

    def loss(params, x):
        return jnp.vdot(cotangent, module.apply(params, x))

    gradient, in_x = quick_jit(jax.grad(loss, argnums=(0, 1)))(params, x)
    pairs = (in_x, direction), (cotangent, tangent)
    products = [np.asarray(a, float) * np.asarray(b, float) for a, b in pairs]
    # to the rounding of each product, not of their sum, which may be near zero
    assert abs(products[0].sum() - products[1].sum()) < 1e-6 * np.abs(products[0]).sum()
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert np.all(leaf != 0), path
    # the loss is linear in the parameters too
    pairs = zip(jax.tree.leaves(gradient), jax.tree.leaves(params), strict=True)
    assert_close(sum(jnp.vdot(*pair) for pair in pairs), loss(params, x))


def test_no_matrix_product_with_long_rows():
    for module, params, x in moved(glam_maps(SMALL)):
        found = equations(jax.grad(lambda p, m=module, x=x: jnp.sum(m.apply(p, x) ** 2)), params)
        assert not products_with_long_rows(found)
