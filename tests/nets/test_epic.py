import jax
import jax.numpy as jnp
import numpy as np
from jaxpr_equations import equations
from net_cases import assert_close, normal, quick_jit, random_params

from jaxcalo.nets import EpicCritic, EpicDenoiser, EpicEncoder, EpicGenerator
from jaxcalo.nets.epic import EpicLayer, WeightNormDense, masked_mean, masked_sum

MASK = jnp.array([[True, True, True, False, True], [True, False, False, True, False]])


def array(*shape, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(shape, dtype)


def sizes(net, *args):
    """Numbers of parameters: without the lengths of the weight normalisation, and of these."""
    shapes = jax.eval_shape(net.init, jax.random.key(0), *args)
    found = {"length": 0, "others": 0}
    for path, leaf in jax.tree_util.tree_leaves_with_path(shapes):
        found["length" if path[-1].key == "length" else "others"] += leaf.size
    return found["others"], found["length"]


def test_the_published_numbers_of_parameters():
    # 422k and 311k as published, for 3 features, 10 numbers of global noise, no condition.
    mask = array(1, 30, dtype=jnp.bool_)
    generator = EpicGenerator(out_features=3, sum_scale=1.0)
    found = sizes(generator, array(1, 30, 3), array(1, 10), mask, array(1, 0))
    assert found == (422_217, 2_633)
    found = sizes(EpicCritic(sum_scale=1.0), array(1, 30, 3), mask, array(1, 0))
    assert found == (311_337, 1_833)
    # By hand: one layer, with hidden 128 and global 10.
    layer = (2 * 128 + 10 + 1) * 128 + 129 * 10 + (138 + 1) * 128 + 129 * 128
    assert 6 * layer + 4 * 128 + 11 * 128 + 129 * 10 + 129 * 3 == 422_217


def test_sums_and_means_are_of_real_points():
    x = np.asarray(normal(0, (2, 5, 3)))
    for b in range(2):
        real = x[b][np.asarray(MASK[b])]
        np.testing.assert_allclose(masked_sum(x, MASK)[b], real.sum(0), rtol=1e-5)
        np.testing.assert_allclose(masked_mean(x, MASK)[b], real.mean(0), rtol=1e-5)
    np.testing.assert_array_equal(masked_mean(x, jnp.zeros_like(MASK)), np.zeros((2, 3)))


def reference_dense(layer, *parts):
    """The weight-normalised product of the parts, joined, in float64."""
    x = np.concatenate([np.asarray(part, np.float64) for part in parts], axis=-1)
    v = np.asarray(layer["direction"], np.float64)
    kernel = np.asarray(layer["length"]) * v / np.sqrt((v**2).sum(0))
    return x @ kernel + np.asarray(layer["bias"])


def leaky(x):
    return np.where(x > 0, x, 0.01 * x)


def test_weight_normalisation_equals_its_formula_and_starts_as_the_plain_layer():
    net, x = WeightNormDense(3), normal(0, (2, 5, 4))
    params = random_params(net, x)
    np.testing.assert_allclose(
        net.apply(params, x), reference_dense(params["params"], x), rtol=1e-4, atol=1e-5
    )
    new = net.init(jax.random.key(0), x)["params"]
    np.testing.assert_allclose(new["length"], np.linalg.norm(new["direction"], axis=0), rtol=1e-6)
    assert_close(net.apply({"params": new}, x), x @ new["direction"])
    # The direction's own length is of no effect.
    longer = {**params["params"], "direction": 3 * params["params"]["direction"]}
    assert_close(net.apply({"params": longer}, x), net.apply(params, x))


def test_a_layer_equals_its_formula():
    net = EpicLayer(sum_scale=0.3)
    x, g, cond = (np.asarray(normal(i, s)) for i, s in enumerate(((2, 5, 6), (2, 3), (2, 2))))
    params = random_params(net, x, g, MASK, cond)
    w = params["params"]
    found = quick_jit(net.apply)(params, x, g, MASK, cond)
    found_x, found_g = (np.asarray(a) for a in found)
    for b in range(2):
        real = x[b][np.asarray(MASK)[b]]
        pooled = (real.mean(0), 0.3 * real.sum(0), g[b], cond[b])
        inner = leaky(reference_dense(w["global_in"], *pooled))
        new_g = leaky(reference_dense(w["global_out"], inner) + g[b])
        np.testing.assert_allclose(found_g[b], new_g, rtol=1e-4, atol=1e-5)
        for i in np.flatnonzero(np.asarray(MASK)[b]):
            inner = leaky(reference_dense(w["point_in"], x[b, i], new_g, cond[b]))
            expected = leaky(reference_dense(w["point_out"], inner) + x[b, i])
            np.testing.assert_allclose(found_x[b, i], expected, rtol=1e-4, atol=1e-5)


def test_the_generator_adds_the_first_values_after_every_layer():
    net = EpicGenerator(hidden=6, global_width=3, n_layers=2, sum_scale=0.3)
    local, noise, cond = normal(0, (2, 5, 4)), normal(1, (2, 5)), normal(2, (2, 2))
    params = random_params(net, local, noise, MASK, cond)
    w, layer = params["params"], quick_jit(EpicLayer(0.3).apply)
    x = first_x = leaky(reference_dense(w["point_in"], local))
    g = leaky(reference_dense(w["global_in"], noise, cond))
    g = first_g = leaky(reference_dense(w["global_out"], g))
    for i in range(2):
        args = (x.astype(np.float32), g.astype(np.float32), MASK, cond)
        x, g = layer({"params": w[f"layer_{i}"]}, *args)
        x, g = np.asarray(x) + first_x, np.asarray(g) + first_g
    expected = np.where(np.asarray(MASK)[..., None], reference_dense(w["out"], x), 0)
    assert_close(quick_jit(net.apply)(params, local, noise, MASK, cond), expected)


def test_the_encoder_has_the_sizes_of_the_contract():
    args = (array(2, 9, 4), array(2, 9, dtype=jnp.bool_))
    net = EpicEncoder()
    shapes = jax.eval_shape(net.init, jax.random.key(0), *args, array(2, 2))
    found = jax.eval_shape(net.apply, shapes, *args, array(2, 2))
    assert [a.shape for a in found] == [(2, 256), (2, 256)]
    # The critic's, with two conditions at five places; no last product, but two of 256.
    summary = 311_337 - 129 + 128 + 2 * (128 * 2 + 3 * 256)
    assert sizes(net, *args, array(2, 2))[0] == summary + 2 * 129 * 256


def test_a_new_denoiser_returns_zero():
    net = EpicDenoiser(hidden=6, global_width=3, n_layers=1, embedding_size=4)
    args = (normal(0, (2, 5, 4)), MASK, normal(1, (2,)), normal(2, (2, 2)))
    last = quick_jit(lambda key: net.init(key, *args)["params"]["out"])(jax.random.key(0))
    np.testing.assert_array_equal(last["kernel"], np.zeros((6, 4)))
    np.testing.assert_array_equal(last["bias"], np.zeros(4))


def test_bf16_keeps_f32_parameters_sums_and_result():
    net = EpicCritic(hidden=6, global_width=3, n_layers=1, compute_dtype=jnp.bfloat16)
    args = (normal(0, (2, 5, 4)), MASK, normal(2, (2, 2)))
    params = jax.eval_shape(net.init, jax.random.key(0), *args)
    assert {a.dtype.name for a in jax.tree.leaves(params)} == {"float32"}
    assert jax.eval_shape(net.apply, params, *args).dtype == jnp.float32
    found = equations(net.apply, params, *args)
    types = {(e.primitive.name, e.invars[0].aval.dtype.name) for e, _ in found}
    assert ("dot_general", "bfloat16") in types
    assert ("reduce_sum", "float32") in types
    assert ("reduce_sum", "bfloat16") not in types
