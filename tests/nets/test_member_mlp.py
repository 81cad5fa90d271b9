"""Fixed masks: one network holds several that differ, each of them a plain network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcalo.errors import InputError
from jaxcalo.nets import MemberMLP, ResidualMLP, member_masks, member_params

WIDTH, M = 20, 3
NET = MemberMLP(width=WIDTH, depth=2, out_size=2, n_members=M, drop=0.4, embedding_size=8)
PLAIN = ResidualMLP(width=WIDTH, depth=2, out_size=2, embedding_size=8)


@pytest.mark.parametrize("drop", [0.1, 0.3, 0.5])
def test_members_lose_equal_shares_and_units_equally_many_members(drop):
    kept = member_masks(8, 200, drop) > 0
    np.testing.assert_allclose(kept.mean(axis=1), 1 - drop, atol=0.02)
    np.testing.assert_allclose(kept.mean(axis=0), 1 - drop, atol=1 / 8)
    np.testing.assert_allclose(member_masks(8, 200, drop).mean(axis=1), 1.0, rtol=1e-6)
    different = (kept[:, None] != kept[None]).mean(axis=2) + np.eye(8)
    assert different.min() > 0.1


def test_nothing_dropped_is_no_mask():
    np.testing.assert_array_equal(member_masks(2, 5, 0.0), np.ones((2, 5)))


@pytest.mark.parametrize(("members", "drop"), [(0, 0.5), (2, 1.0), (2, -0.1), (2, float("nan"))])
def test_unusable_masks(members, drop):
    with pytest.raises(InputError, match="fixed masks"):
        member_masks(members, 10, drop)


def quickly(function, *arguments):
    options = {"xla_backend_optimization_level": 0}
    return jax.jit(function).lower(*arguments).compile(options)(*arguments)


def test_a_member_is_the_plain_network_with_its_units_left_out():
    draws = np.random.default_rng(0)
    x, cond = draws.standard_normal((6, 3)), draws.standard_normal((6, 1))
    c_noise, number = np.linspace(-1, 1, 6), np.asarray([0, 1, 2, 2, 1, 0])
    shapes = jax.eval_shape(PLAIN.init, jax.random.key(0), x, c_noise, cond)
    params = jax.tree.map(lambda s: 0.4 * draws.standard_normal(s.shape), shapes)["params"]

    def both(params, number):
        apply = PLAIN.apply
        member = NET.apply({"params": params}, x, c_noise, jnp.column_stack([cond, number]))
        plain = []
        for mask in member_masks(M, WIDTH, 0.4):
            own = {}
            for block in ("block_0_out", "block_1_out"):
                kernel = mask[:, None] * params[block]["kernel"]
                own[block] = params[block] | {"kernel": kernel}
            plain.append(apply({"params": params | own}, x, c_noise, cond))
        return member, jnp.stack(plain)

    member, plain = quickly(both, params, number)
    np.testing.assert_allclose(member, plain[number, np.arange(6)], rtol=1e-4, atol=1e-5)
    assert jnp.abs(plain[0] - plain[1]).max() > 1e-2


def test_the_parameters_of_a_member_are_the_networks_with_its_units_left_out():
    draws = np.random.default_rng(1)
    shapes = jax.eval_shape(PLAIN.init, jax.random.key(0), *map(np.zeros, ((1, 3), 1, (1, 1))))
    params = jax.tree.map(lambda s: draws.standard_normal(s.shape), shapes)
    expected, mask = dict(params["params"]), member_masks(M, WIDTH, 0.4)[1]
    for block in ("block_0_out", "block_1_out"):
        kernel = mask[:, None] * params["params"][block]["kernel"]
        expected[block] = params["params"][block] | {"kernel": kernel}
    found = member_params(params, 1, M, 0.4)
    jax.tree.map(np.testing.assert_array_equal, found, {"params": expected})


def test_members_without_conditions():
    x, cond = np.ones((3, 2)), np.arange(3.0)[:, None]
    shapes = jax.eval_shape(NET.init, jax.random.key(0), x, np.zeros(3), cond)
    names = shapes["params"]["condition"]
    assert "noise_in" in names
    assert "cond_in" not in names
