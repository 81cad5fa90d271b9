import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxpr_equations import equations, products_with_long_rows
from net_cases import normal, quick_jit

from jaxcalo.errors import InputError
from jaxcalo.nets import PointTransformer
from jaxcalo.nets.point_transformer import coordinate_waves

SMALL = {"width": 8, "depth": 1, "n_heads": 2, "n_octaves": 2, "embedding_size": 6}
MASK = jnp.array([[True, True, True, True, True], [True, False, True, False, False]])


def example(**options):
    net = PointTransformer(**{**SMALL, "n_landmarks": 3, **options})
    args = (normal(0, (2, 5, 4)), MASK, normal(1, (2,)), normal(2, (2, 2)))
    return net, args


def test_waves_of_the_coordinates():
    x = normal(0, (2, 5, 3))
    found = np.asarray(coordinate_waves(x, 2)).reshape(2, 5, 3, 4)
    phase = np.asarray(x)[..., None] * math.pi * np.array([0.25, 0.5])
    expected = np.concatenate([np.sin(phase), np.cos(phase)], axis=-1)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert coordinate_waves(x, 0).shape == (2, 5, 0)


def test_a_new_network_returns_zero():
    net, args = example()
    last = quick_jit(lambda key: net.init(key, *args)["params"]["out"])(jax.random.key(0))
    np.testing.assert_array_equal(last["kernel"], np.zeros((8, 4)))
    np.testing.assert_array_equal(last["bias"], np.zeros(4))


def test_landmarks_cost_what_the_points_cost_alone():
    def largest(net, size):
        shapes = ((1, size, 4), jnp.float32), ((1, size), bool), ((1,), jnp.float32)
        args = [jax.ShapeDtypeStruct(*a) for a in (*shapes, ((1, 2), jnp.float32))]
        params = jax.eval_shape(net.init, jax.random.key(0), *args)
        found = equations(net.apply, params, *args)
        assert not products_with_long_rows(found)
        return max(v.aval.size for e, _ in found for v in e.outvars)

    net, full = PointTransformer(depth=1), PointTransformer(depth=1, n_landmarks=None)
    assert largest(net, 4000) == 2 * largest(net, 2000)
    assert largest(full, 2000) == 4 * 2000**2


def test_forward_mode_goes_through():
    net, (x, *args) = example()
    params = jax.eval_shape(net.init, jax.random.key(0), x, *args)
    jax.eval_shape(lambda p, x: jax.jvp(lambda x: net.apply(p, x, *args), (x,), (x,)), params, x)


def test_bf16_keeps_f32_parameters_attention_and_result():
    net, args = example(compute_dtype=jnp.bfloat16)
    params = jax.eval_shape(net.init, jax.random.key(0), *args)
    assert {a.dtype.name for a in jax.tree.leaves(params)} == {"float32"}
    assert jax.eval_shape(net.apply, params, *args).dtype == jnp.float32
    found = equations(net.apply, params, *args)
    types = {(e.primitive.name, e.invars[0].aval.dtype.name) for e, _ in found}
    assert ("exp", "float32") in types
    assert ("exp", "bfloat16") not in types
    assert ("dot_general", "bfloat16") in types


@pytest.mark.parametrize(
    ("options", "message"), [({"n_heads": 3}, "n_heads 3"), ({"n_landmarks": 0}, "found 0")]
)
def test_unusable_sizes_are_named(options, message):
    net, args = example(**options)
    with pytest.raises(InputError, match=message):
        jax.eval_shape(net.init, jax.random.key(0), *args)
