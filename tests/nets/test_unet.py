import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxpr_equations import equations, products_with_long_rows
from net_cases import assert_close, net_inputs, normal, quick_jit, random_params

from jaxcalo.errors import InputError
from jaxcalo.nets import UNet
from jaxcalo.nets.unet import LinearAttention, ResnetBlock

SMALL = {"channels": (4, 4, 8), "embedding_size": 8, "groups": 2}


def example(grid, n=2, c=2, **options):
    net, args = UNet(**{**SMALL, **options}), net_inputs(grid, n, c)
    return net, random_params(net, *args), args


@pytest.fixture(scope="module")
def network():
    """A network on odd numbers of layers and radii, compiled once."""
    net, params, args = example((5, 8, 3))
    return quick_jit(net.apply), params, args


def test_more_conditions_widen_only_the_first_layer_of_their_embedding():
    counts = []
    for conditions in (1, 3):
        arrays = [jax.ShapeDtypeStruct(s, jnp.float32) for s in ((1, 4, 4, 4, 2), (1,))]
        cond = jax.ShapeDtypeStruct((1, conditions), jnp.float32)
        params = jax.eval_shape(UNet(**SMALL).init, jax.random.key(0), *arrays, cond)
        counts.append(sum(a.size for a in jax.tree.leaves(params)))
    assert counts[1] - counts[0] == 2 * 32


def test_turning_the_shower_turns_the_result(network):
    apply, params, (x, c_noise, cond) = network
    y = apply(params, x, c_noise, cond)
    assert y.shape == (2, 5, 8, 3, 1)
    # The azimuth halves once, so that turns by two cells are exact.
    turned = apply(params, jnp.roll(x, 2, 2), c_noise, cond)
    np.testing.assert_allclose(turned, jnp.roll(y, 2, 2), atol=1e-4 * np.max(np.abs(y)))
    assert np.max(np.abs(turned - y)) > 0.01
    for axis in (1, 3):
        moved = apply(params, jnp.roll(x, 2, axis), c_noise, cond)
        assert np.max(np.abs(moved - jnp.roll(y, 2, axis))) > 0.01


def test_noise_level_and_condition_reach_their_event_alone(network):
    apply, params, (x, c_noise, cond) = network
    y = apply(params, x, c_noise, cond)
    for changed in (
        (x, c_noise.at[0].add(0.5), cond),
        (x, c_noise, cond.at[0, 1].add(0.5)),
    ):
        other = apply(params, *changed)
        assert np.max(np.abs(other[0] - y[0])) > 1e-3
        np.testing.assert_allclose(other[1], y[1], atol=1e-5)


def test_folded_and_native_networks_agree(network):
    apply, params, args = network
    native = quick_jit(UNet(**SMALL, implementation="native").apply)
    assert_close(apply(params, *args), native(params, *args), relative=1e-4)


def test_folded_and_native_blocks_have_the_same_gradient():
    x, embedding = normal(0, (2, 4, 3, 2, 4)), normal(1, (2, 5))
    params = random_params(ResnetBlock(8, 2), x, embedding)

    def loss(params, implementation):
        block = ResnetBlock(8, 2, implementation)
        return jnp.sum(jnp.sin(block.apply(params, x, embedding)))

    gradient = quick_jit(jax.grad(loss), static_argnums=1)
    assert_close(gradient(params, "fold"), gradient(params, "native"), relative=1e-4)


def test_the_gradient_reaches_every_parameter():
    net, params, args = example((3, 4, 2), channels=(4, 4), implementation="native")
    gradient = quick_jit(jax.grad(lambda p: jnp.sum(net.apply(p, *args) ** 2)))(params)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert np.all(np.isfinite(leaf)), path
        assert np.any(leaf != 0), path


def test_forward_mode_through_vmap():
    net, params, (x, c_noise, cond) = example((3, 4, 2), channels=(4, 4), attention=False)
    direction = normal(5, x.shape)
    one = jax.vmap(lambda x, t, c: net.apply(params, x[None], t[None], c[None])[0])
    apply = quick_jit(net.apply)

    @quick_jit
    def along(x):
        return jax.jvp(lambda x: one(x, c_noise, cond), (x,), (direction,))

    y, tangent = along(x)
    assert_close(y, apply(params, x, c_noise, cond))
    ends = [apply(params, x + s * direction, c_noise, cond) for s in (1e-2, -1e-2)]
    difference = (ends[0] - ends[1]) / 2e-2
    np.testing.assert_allclose(tangent, difference, atol=5e-3 * np.max(np.abs(tangent)))


def test_plane_with_odd_sides():
    net, params, (x, c_noise, cond) = example((7, 5), c=1, attention=False)
    apply = quick_jit(net.apply)
    y = apply(params, x, c_noise, cond)
    assert y.shape == (2, 7, 5, 1)
    turned = apply(params, jnp.roll(x, 2, 1), c_noise, cond)
    assert np.max(np.abs(turned - jnp.roll(y, 2, 1))) > 0.01  # an edge is an edge


def test_layers_can_stay_uncompressed():
    net, params, args = example((2, 4, 4), compress_layers=False, attention=False)
    assert params["params"]["up_1_sample"]["kernel"].shape[:3] == (4, 3, 4)
    assert jax.eval_shape(net.apply, params, *args).shape == (2, 2, 4, 4, 1)
    assert not any("attention" in name for name in params["params"])


def test_no_matrix_product_with_long_rows():
    net, params, args = example((3, 4, 2), channels=(4, 4))
    found = equations(jax.grad(lambda p: jnp.sum(net.apply(p, *args) ** 2)), params)
    assert not products_with_long_rows(found)


def test_linear_attention_by_its_definition():
    x = normal(0, (1, 3, 2, 8))
    module = LinearAttention()
    params = random_params(module, x)
    p = params["params"]

    def norm(h):
        return (h - h.mean()) / np.sqrt(h.var() + 1e-5)

    def affine(h, name):
        return norm(h) * p[name]["scale"] + p[name]["bias"]

    h = affine(np.asarray(x), "norm_in").reshape(6, 8)
    q, k, v = np.split(h @ p["qkv"]["kernel"], 3, axis=-1)
    q = np.exp(q) / np.exp(q).sum(1, keepdims=True) / np.sqrt(32)
    k = np.exp(k) / np.exp(k).sum(0, keepdims=True)
    out = q @ (k.T @ v) @ p["out"]["kernel"] + p["out"]["bias"]
    expected = x[0] + affine(out, "norm_out").reshape(3, 2, 8)
    np.testing.assert_allclose(quick_jit(module.apply)(params, x)[0], expected, atol=1e-4)


def test_bf16_keeps_f32_parameters_statistics_and_result():
    rough, params, args = example((3, 4, 2), channels=(4, 4), compute_dtype=jnp.bfloat16)
    assert {a.dtype for a in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    assert jax.eval_shape(rough.apply, params, *args).dtype == jnp.float32
    found = equations(rough.apply, params, *args)
    types = {(e.primitive.name, e.invars[0].aval.dtype.name) for e, _ in found}
    assert ("conv_general_dilated", "bfloat16") in types
    assert ("conv_general_dilated", "float32") not in types
    assert ("sqrt", "float32") in types
    assert ("sqrt", "bfloat16") not in types
    assert ("exp", "float32") in types
    assert ("exp", "bfloat16") not in types


def test_bf16_block_is_near_the_exact_one():
    x, embedding = normal(0, (2, 4, 3, 2, 8)), normal(1, (2, 5))
    exact = ResnetBlock(8, 2)
    params = random_params(exact, x, embedding)
    y = quick_jit(exact.apply)(params, x, embedding)
    rough = exact.clone(compute_dtype=jnp.bfloat16)
    near = quick_jit(rough.apply)(params, x.astype(jnp.bfloat16), embedding)
    assert near.dtype == jnp.bfloat16
    assert 0 < np.max(np.abs(near - y)) < 0.05 * np.max(np.abs(y))


def test_unusable_shapes_are_named():
    with pytest.raises(InputError, match="finer grid"):
        example((5, 1, 3))
    with pytest.raises(InputError, match="groups"):
        example((3, 4, 2), groups=3)
