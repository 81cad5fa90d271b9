"""Operations counted from the trace: hand counts, and XLA's own for whole networks."""

import jax
import jax.numpy as jnp
import pytest

from jaxcalo.experiment import DiTNet, UNetNet
from jaxcalo.experiment.flops import count_flops
from jaxcalo.geometry import load_geometry

W, X = jnp.ones((5, 7)), jnp.ones(7)


def scanned(turns, body):
    return lambda x: jax.lax.scan(lambda c, _: (body(c), None), x, None, length=turns)[0]


def test_matrix_products():
    assert count_flops(jnp.matmul, W, X) == 2 * 5 * 7
    batched = jnp.ones((3, 4, 5))
    assert (
        count_flops(lambda a, b: jnp.einsum("bij,jk->bik", a, b), batched, W) == 2 * 3 * 4 * 5 * 7
    )
    assert count_flops(jnp.add, X, X) == 0


@pytest.mark.parametrize("groups", [1, 2])
def test_convolutions(groups):
    x, kernel = jnp.ones((2, 8, 9, 4)), jnp.ones((3, 5, 4 // groups, 6))

    def conv(x, kernel):
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            (2, 1),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )

    assert count_flops(conv, x, kernel) == 2 * (2 * 4 * 9 * 6) * (3 * 5 * 4 // groups)


def test_scans_and_nested_functions():
    square = jnp.ones((7, 7))

    @jax.custom_jvp
    def product(x):
        return square @ x

    product.defjvp(lambda primals, tangents: (product(*primals), product(*tangents)))
    one = 2 * 7 * 7
    assert count_flops(scanned(6, jax.jit(lambda x: square @ x)), X) == 6 * one
    assert count_flops(scanned(2, scanned(3, product)), X) == 6 * one
    assert count_flops(jax.checkpoint(product), X) == one


def test_a_branch_in_a_scan_is_left_out_once():
    square = jnp.ones((7, 7))
    one = 2 * 7 * 7

    def body(x):
        x = square @ x
        return jax.lax.cond(x[0] > 0, lambda: square @ (square @ x), lambda: square @ x)

    assert count_flops(body, X) == 3 * one
    assert count_flops(scanned(4, body), X) == (4 + 3 * 2) * one


@pytest.mark.parametrize(
    ("config", "lowest", "highest"),
    [
        # XLA also counts what acts on single numbers, which a transformer of this size has little
        # of, and leaves out a convolution's zeros beyond the edge, a good part of a small grid.
        (DiTNet(patch=(3, 8, 6), width=64, depth=2), 0.9, 1.0),
        (UNetNet(channels=(8, 8)), 1.0, 1.3),
    ],
    ids=["dit", "unet"],
)
def test_networks_agree_with_xla(config, lowest, highest):
    net = config.build(load_geometry("par04_lite"), 15, False)
    inputs = jnp.zeros((1, 735)), jnp.zeros(1), jnp.zeros((1, 1))
    params = jax.eval_shape(net.init, jax.random.key(0), *inputs)
    xla = jax.jit(net.apply).lower(params, *inputs).cost_analysis()["flops"]
    assert lowest < count_flops(net.apply, params, *inputs) / xla < highest
