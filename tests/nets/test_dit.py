import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxpr_equations import equations, products_with_long_rows
from net_cases import assert_close, net_inputs, normal, quick_jit, random_params

from jaxcalo.errors import InputError
from jaxcalo.nets import DiT
from jaxcalo.nets.dit import from_patches, to_patches

SMALL = {"patch": (2, 2, 2), "width": 8, "depth": 2, "n_heads": 2, "embedding_size": 8}
GRID = (3, 4, 2)


def example(grid=GRID, n=2, c=2, **options):
    net, args = DiT(**{**SMALL, **options}), net_inputs(grid, n, c)
    return net, random_params(net, *args), args


def test_patches_hold_their_cells_and_go_back():
    x = jnp.arange(2 * 3 * 4 * 2 * 1.0).reshape(2, 3, 4, 2, 1)
    patches = to_patches(x, (2, 2, 2))
    assert patches.shape == (2, 4, 8)
    np.testing.assert_array_equal(patches[1, 1], x[1, :2, 2:, :, 0].ravel())
    # The fourth layer is not there: zeros.
    np.testing.assert_array_equal(patches[0, 2], [*x[0, 2, :2, :, 0].ravel(), 0, 0, 0, 0])
    np.testing.assert_array_equal(from_patches(patches, (3, 4, 2), (2, 2, 2)), x)


def test_flagship_has_about_the_planned_size():
    arrays = [jax.ShapeDtypeStruct(s, jnp.float32) for s in ((1, 45, 16, 9, 3), (1,), (1, 1))]
    params = jax.eval_shape(DiT(patch=(3, 4, 3)).init, jax.random.key(0), *arrays)
    assert 1.35e6 < sum(a.size for a in jax.tree.leaves(params)) < 1.5e6


def test_a_new_network_returns_zero():
    net, _, args = example(depth=1, out_channels=2, bottleneck=4)
    y = quick_jit(lambda key: net.apply(net.init(key, *args), *args))(jax.random.key(0))
    assert y.shape == (2, *GRID, 2)
    np.testing.assert_array_equal(y, 0)


@pytest.mark.parametrize(("grid", "patch"), [(GRID, (2, 2, 2)), ((5, 6), (2, 3))])
def test_the_gradient_reaches_every_parameter(grid, patch):
    net, params, args = example(grid, patch=patch, depth=1, bottleneck=4)
    target = normal(4, (2, *grid, 1))
    step = quick_jit(jax.grad(lambda p: jnp.mean((net.apply(p, *args) - target) ** 2)))
    for path, leaf in jax.tree_util.tree_leaves_with_path(step(params)):
        assert np.all(np.isfinite(leaf)), path
        assert np.any(leaf != 0), path
    # From the zero of a new network the last product starts to move.
    last = jax.tree.map(jnp.zeros_like, params["params"]["out"])
    assert np.any(step({"params": {**params["params"], "out": last}})["params"]["out"]["kernel"])


def test_every_input_reaches_all_cells_of_its_event_alone():
    net, params, (x, c_noise, cond) = example(depth=1)
    apply = quick_jit(net.apply)
    y = apply(params, x, c_noise, cond)
    for changed in (
        (x, c_noise.at[0].add(0.5), cond),
        (x, c_noise, cond.at[0, 1].add(0.5)),
        (x.at[0, 0, 0, 0, 1].add(1.0), c_noise, cond),  # one cell of one patch
    ):
        other = apply(params, *changed)
        assert np.all(np.abs(other[0] - y[0]) > 0)
        assert np.max(np.abs(other[0] - y[0])) > 1e-3
        np.testing.assert_allclose(other[1], y[1], atol=1e-6)


def test_place_is_known():
    net, params, (x, c_noise, cond) = example(depth=1)
    y = quick_jit(net.apply)(params, jnp.ones_like(x), c_noise, cond)[0, :, :, :, 0]
    assert np.max(np.abs(y[:, :2] - y[:, 2:])) > 1e-3


def test_parameters_do_not_depend_on_the_azimuthal_size_within_an_octave():
    _, params, _ = example((3, 8, 2))
    _, other, _ = example((3, 12, 2))
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, other)


def test_only_attention_has_products_of_more_than_two_dimensions():
    net, params, args = example()
    forward = equations(net.apply, params, *args)
    backward = equations(jax.grad(lambda p: jnp.sum(net.apply(p, *args) ** 2)), params)
    for found, n_attention in ((forward, 2), (backward, 6)):
        assert not products_with_long_rows(found)
        deep = [
            e
            for e, _ in found
            if e.primitive.name == "dot_general" and max(v.aval.ndim for v in e.invars) > 2
        ]
        assert len(deep) == n_attention * net.depth


def test_forward_mode_and_vmap():
    net, params, (x, c_noise, cond) = example(depth=1)
    direction = normal(5, x.shape)
    f = quick_jit(lambda s: net.apply(params, x + s * direction, c_noise + 0.1 * s, cond))
    _, tangent = jax.jvp(f, (0.0,), (1.0,))
    difference = (f(1e-2) - f(-1e-2)) / 2e-2
    np.testing.assert_allclose(tangent, difference, atol=5e-3 * np.max(np.abs(tangent)))
    one = quick_jit(jax.vmap(lambda x, t, c: net.apply(params, x[None], t[None], c[None])[0]))
    assert_close(one(x, c_noise, cond), f(0.0))


def test_bf16_keeps_f32_parameters_statistics_and_result():
    net, params, args = example(depth=1)
    rough, same, _ = example(depth=1, compute_dtype=jnp.bfloat16)
    assert {a.dtype for a in jax.tree.leaves(same)} == {jnp.dtype("float32")}
    exact, y = quick_jit(net.apply)(params, *args), quick_jit(rough.apply)(params, *args)
    assert y.dtype == jnp.float32
    assert 0 < np.max(np.abs(y - exact)) < 0.1 * np.max(np.abs(exact))
    found = equations(rough.apply, params, *args)
    types = {(e.primitive.name, e.invars[0].aval.dtype.name) for e, _ in found}
    # Softmax, the deviations of layer_norm, and the large products.
    assert ("exp", "float32") in types
    assert ("exp", "bfloat16") not in types
    assert ("sqrt", "float32") in types
    assert ("sqrt", "bfloat16") not in types
    assert ("dot_general", "bfloat16") in types


def test_unusable_shapes_are_named():
    with pytest.raises(InputError, match="change the patch"):
        example(patch=(2, 2))
    with pytest.raises(InputError, match="n_heads"):
        example(n_heads=3)
