import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec
from jaxpr_equations import equations
from net_cases import assert_close, normal, random_params

from jaxcalo.errors import InputError
from jaxcalo.nets import Conv, ConvTranspose, conv_transpose, cylindrical_conv, planar_conv

# (azimuth, layer, radius), kernel, stride
CASES = [
    ((6, 5, 4), (3, 3, 3), (1, 1, 1)),
    ((5, 3, 2), (1, 3, 5), (1, 1, 1)),
    ((2, 4, 3), (5, 3, 3), (1, 1, 1)),
    ((1, 4, 3), (3, 3, 3), (1, 1, 1)),
    ((8, 7, 5), (4, 3, 4), (2, 2, 2)),
    ((7, 4, 6), (4, 3, 4), (2, 1, 2)),
    ((6, 6, 5), (3, 3, 3), (1, 2, 2)),
]


UNIT = (1, 1, 1)

conv = jax.jit(cylindrical_conv, static_argnums=(2, 3, 4))
transpose = jax.jit(conv_transpose, static_argnums=(2, 3))


def case(grid, kernel, n=2, c=3, f=4):
    return normal(0, (n, *grid, c)), normal(1, (*kernel, c, f))


def by_hand(x, w, stride, periodic=True):
    """The definition: y[j] = sum_i x[s j + i - margin] w[i], in float64."""
    x, w = np.asarray(x, np.float64), np.asarray(w, np.float64)
    grid, kernel = x.shape[1:-1], w.shape[:-2]
    margin = [(k - 1) // 2 for k in kernel]
    out = [
        (n + 2 * m - k) // s + 1 for n, m, k, s in zip(grid, margin, kernel, stride, strict=True)
    ]
    y = np.zeros((x.shape[0], *out, w.shape[-1]))
    for place in itertools.product(*map(range, out)):
        for tap in itertools.product(*map(range, kernel)):
            cell = [s * j + i - m for s, j, i, m in zip(stride, place, tap, margin, strict=True)]
            if periodic:
                cell[0] %= grid[0]
            if all(0 <= i < n for i, n in zip(cell, grid, strict=True)):
                y[(slice(None), *place)] += x[(slice(None), *cell)] @ w[tap]
    return y


@pytest.mark.parametrize(("grid", "kernel", "stride"), CASES)
def test_both_forms_are_the_definition(grid, kernel, stride):
    x, w = case(grid, kernel)
    expected = by_hand(x, w, stride)
    for implementation in ("fold", "native"):
        y = conv(x, w, stride, implementation)
        assert y.shape == expected.shape
        assert_close(y, expected)


@pytest.mark.parametrize(("grid", "kernel", "stride"), CASES[:2] + CASES[3:6])
def test_gradients_of_all_forms_agree(grid, kernel, stride):
    x, w = case(grid, kernel)
    weight = normal(2, jax.eval_shape(lambda x, w: cylindrical_conv(x, w, stride), x, w).shape)

    def gradients(implementation, gradient):
        def loss(x, w):
            return jnp.sum(weight * cylindrical_conv(x, w, stride, implementation, gradient) ** 2)

        return jax.jit(jax.grad(loss, (0, 1)))(x, w)

    native = gradients("native", "auto")
    assert_close(gradients("fold", "auto"), native)
    assert_close(gradients("fold", "plain"), native)


@pytest.mark.parametrize("rows", [1, 40, 1000], ids=["one", "two", "all"])
def test_weight_gradient_is_the_same_from_parts_of_an_event(rows, monkeypatch):
    monkeypatch.setattr("jaxcalo.nets.conv._ROWS", rows)  # 20 an azimuthal cell
    x, w = case((6, 5, 4), (3, 3, 3))

    def gradient(implementation):
        return jax.grad(lambda w: jnp.sum(cylindrical_conv(x, w, UNIT, implementation) ** 2))(w)

    assert_close(gradient("fold"), gradient("native"))


def test_forward_mode_of_the_hand_written_form():
    x, w = case((6, 5, 4), (3, 3, 3))
    dx, dw = normal(2, x.shape), normal(3, w.shape)

    @jax.jit
    def derivatives(x, w, dx, dw):
        both = jax.jvp(cylindrical_conv, (x, w), (dx, dw))
        along_x = jax.jvp(lambda x: cylindrical_conv(x, jax.lax.stop_gradient(w)), (x,), (dx,))
        along_w = jax.jvp(lambda w: cylindrical_conv(x, w), (w,), (dw,))
        return *both, along_x[1], along_w[1]

    by_x, by_w = conv(dx, w), conv(x, dw)
    expected = (conv(x, w), by_x + by_w, by_x, by_w)
    assert_close(derivatives(x, w, dx, dw), expected)


def test_forward_mode_along_x_alone_costs_no_convolution_for_the_weights():
    x, w = case((6, 5, 4), (3, 3, 3))

    def along(x, dx):
        return jax.jvp(lambda x: cylindrical_conv(x, w, UNIT, "fold"), (x,), (dx,))

    # One for the value, one for the tangent.
    found = [e for e, _ in equations(along, x, x) if e.primitive.name == "conv_general_dilated"]
    assert len(found) == 2


def test_reverse_over_forward_mode():
    x, w = case((4, 3, 3), (3, 3, 3))

    def mixed(implementation, gradient):
        def derivative(w):
            def f(x):
                return jnp.sum(jnp.sin(cylindrical_conv(x, w, UNIT, implementation, gradient)))

            return jax.jvp(f, (x,), (x,))[1]

        return jax.jit(jax.grad(derivative))(w)

    native = mixed("native", "auto")
    assert_close(mixed("fold", "auto"), native)
    assert_close(mixed("fold", "plain"), native)


def test_vmap_equals_batch_in_value_and_gradient():
    x, w = case((6, 5, 4), (3, 3, 3), n=3)

    def one(x, w):
        return cylindrical_conv(x[None], w)[0]

    assert_close(jax.jit(jax.vmap(one, (0, None)))(x, w), conv(x, w))
    many = jnp.stack([w, 2 * w])
    assert_close(jax.jit(jax.vmap(cylindrical_conv, (None, 0)))(x, many)[1], 2 * conv(x, w))

    def gradient(f):
        return jax.grad(lambda w, x: jnp.sum(f(x, w) ** 2))

    each = jax.jit(jax.vmap(gradient(one), (None, 0)))(w, x)
    single = jax.jit(gradient(lambda x, w: cylindrical_conv(x, w, UNIT, "native")))
    for i in range(3):
        assert_close(each[i], single(w, x[i : i + 1]))


def test_shard_map_and_pmap_give_the_gradient_of_one_device():
    x, w = case((4, 3, 3), (3, 3, 3), n=8)

    def loss(w, x, implementation):
        return jnp.mean(cylindrical_conv(x, w, UNIT, implementation) ** 2)

    def local(x, w):
        return jax.lax.pmean(jax.grad(loss)(w, x, "fold"), "data")

    expected = jax.jit(jax.grad(loss), static_argnums=2)(w, x, "native")
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    specs = (PartitionSpec("data"), PartitionSpec())
    sharded = jax.shard_map(
        local, mesh=mesh, in_specs=specs, out_specs=PartitionSpec(), check_vma=False
    )
    assert_close(jax.jit(sharded)(x, w), expected)
    parallel = jax.pmap(local, axis_name="data", in_axes=(0, None))
    assert_close(parallel(x[:, None], w)[7], expected)


@pytest.mark.parametrize("stride", [(1, 1, 1), (2, 2, 2)])
def test_turning_the_shower_turns_the_result(stride):
    x, w = case((8, 5, 4), (3, 3, 3))
    y = conv(x, w, stride)
    turned = conv(jnp.roll(x, 2 * stride[0], 1), w, stride)
    assert_close(turned, jnp.roll(y, 2, 1))
    assert np.max(np.abs(turned - y)) > 0.1


def test_folded_form_keeps_to_the_fast_path():
    x, w = case((6, 5, 4), (3, 3, 3))

    def loss(x, w):
        return jnp.sum(cylindrical_conv(x, w, implementation="fold") ** 2)

    found = equations(jax.value_and_grad(loss, (0, 1)), x, w)
    convolutions = [pair for pair in found if pair[0].primitive.name == "conv_general_dilated"]
    assert convolutions
    for equation, in_loop in convolutions:
        assert equation.invars[0].aval.ndim == 4  # two-dimensional
        assert any(side for pair in equation.params["padding"] for side in pair)  # not all VALID
        assert not in_loop
    strided = equations(lambda x, w: cylindrical_conv(x, w, (2, 2, 2), "fold"), x, w)
    padding = [
        e.params["padding"] for e, _ in strided if e.primitive.name == "conv_general_dilated"
    ]
    assert padding == [((1, 1), (1, 1))]


def test_auto_folds_on_a_cpu_only(monkeypatch):
    x, w = case((6, 5, 4), (3, 3, 3))

    def ranks():
        return {
            e.invars[0].aval.ndim
            for e, _ in equations(lambda x, w: cylindrical_conv(x, w), x, w)
            if e.primitive.name == "conv_general_dilated"
        }

    assert ranks() == {4}
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert ranks() == {5}


@pytest.mark.parametrize(("kernel", "stride"), [((3, 3), (1, 1)), ((4, 4), (2, 2))])
def test_plane_is_zero_beyond_its_edges(kernel, stride):
    x, w = normal(0, (2, 7, 6, 3)), normal(1, (*kernel, 3, 4))

    def value_and_gradient(implementation):
        def loss(w):
            y = planar_conv(x, w, stride, implementation)
            return jnp.sum(y**2), y

        return jax.jit(jax.grad(loss, has_aux=True))(w)

    folded, native = value_and_gradient("fold"), value_and_gradient("native")
    assert_close(folded[1], by_hand(x, w, stride, periodic=False))
    assert_close(folded, native)


@pytest.mark.parametrize(
    ("size", "kernel", "stride"),
    [
        ((8, 7, 5), (4, 3, 4), (2, 2, 2)),
        ((7, 8, 6), (4, 4, 4), (2, 2, 2)),
        ((2, 5, 4), (4, 3, 4), (2, 1, 2)),
        ((9, 6), (4, 4), (2, 2)),
    ],
)
def test_conv_transpose_is_the_transpose_of_the_strided_convolution(size, kernel, stride):
    rank = len(size)
    w = normal(1, (*kernel, 3, 4))
    large = normal(2, (2, *size, 4))
    small = by_hand(large, w.swapaxes(-1, -2), stride, periodic=rank == 3)
    x = normal(0, small.shape)
    y = transpose(x, w, size, stride)
    assert y.shape == large.shape
    # <conv(large), x> = <large, conv_transpose(x)>
    np.testing.assert_allclose(np.vdot(small, x), np.vdot(large, y), rtol=1e-4)


def test_conv_transpose_wraps_round_in_azimuth_only():
    x, w = normal(0, (1, 4, 4, 4, 2)), normal(1, (4, 4, 4, 2, 3))
    y = transpose(x, w, (8, 8, 8), (2, 2, 2))
    for axis, same in ((1, True), (2, False), (3, False)):
        turned = transpose(jnp.roll(x, 1, axis), w, (8, 8, 8), (2, 2, 2))
        assert np.allclose(turned, jnp.roll(y, 2, axis), atol=1e-5) is same


def test_modules_take_their_rank_from_the_input():
    for grid in ((6, 5, 4), (6, 5)):
        x = normal(0, (2, *grid, 3))
        module = Conv(4)
        params = random_params(module, x)["params"]
        assert params["kernel"].shape == (3,) * len(grid) + (3, 4)
        expected = by_hand(x, params["kernel"], (1,) * len(grid), len(grid) == 3) + params["bias"]
        assert_close(jax.jit(module.apply)({"params": params}, x), expected)
    with pytest.raises(InputError, match="kernel_size"):
        jax.eval_shape(
            Conv(4, kernel_size=(3, 3)).init, jax.random.key(0), jnp.ones((1, 6, 5, 4, 3))
        )
    with pytest.raises(InputError, match="implementation"):
        cylindrical_conv(*case((4, 3, 3), (3, 3, 3)), implementation="folded")


def test_upsampling_keeps_the_scale_of_its_input():
    x = normal(0, (4, 4, 6, 4, 16))
    module = ConvTranspose(16, (8, 12, 8), (4, 4, 4), 2)
    y = jax.jit(lambda x: module.apply(module.init(jax.random.key(0), x), x))(x)
    assert y.shape == (4, 8, 12, 8, 16)
    assert 0.7 < float(jnp.std(y)) < 1.3


@pytest.mark.parametrize("implementation", ["fold", "native"])
def test_bf16_computes_in_bf16_on_f32_parameters(implementation):
    x = normal(0, (2, 6, 5, 4, 8))
    module = Conv(8, implementation=implementation, compute_dtype=jnp.bfloat16)
    params = random_params(module, x)

    def loss(params, module):
        return jnp.sum(jnp.sin(module.apply(params, x).astype(jnp.float32)))

    gradient = jax.jit(jax.grad(loss), static_argnums=1)

    with jax.numpy_dtype_promotion("strict"):
        assert jax.eval_shape(module.apply, params, x).dtype == jnp.bfloat16
        rough = gradient(params, module)
    assert {a.dtype for a in jax.tree.leaves((params, rough))} == {jnp.dtype("float32")}
    exact = gradient(params, Conv(8))
    assert_close(rough, exact, relative=0.05)
    assert np.any(rough["params"]["kernel"] != exact["params"]["kernel"])
