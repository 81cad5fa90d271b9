"""What every network on points must obey, and the adapter from flat events."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from net_cases import assert_close, normal, quick_jit, random_params

from jaxcalo.errors import InputError
from jaxcalo.nets import (
    CloudNet,
    EpicCritic,
    EpicDenoiser,
    EpicEncoder,
    EpicGenerator,
    GroupedGenerator,
    MessagePassingCritic,
    MessagePassingGenerator,
    PointTransformer,
    PointWise,
)

N_BATCH, SIZE, N_CONDITIONS = 3, 7, 2
N_POINTS = np.array([7, 4, 1])  # a full cloud, a padded one, one point alone


class Case(NamedTuple):
    net: object
    n_features: int  # of a point given to the network
    arguments: Callable  # (points, mask, cond) -> what the network is called with
    per_point: bool = True

    def apply(self, params, *args):
        """A row for every point, or for every cloud."""
        result = self.net.apply(params, *self.arguments(*args))
        if self.per_point:
            return result
        parts = [a.reshape(N_BATCH, -1) for a in jax.tree.leaves(result)]
        return jnp.concatenate(parts, axis=-1)


def denoiser(net):
    c_noise = normal(201, (N_BATCH,))
    return Case(net, 4, lambda x, mask, cond: (x, mask, c_noise, cond))


def generator(net):
    noise = normal(202, (N_BATCH, 3))
    return Case(net, 5, lambda x, mask, cond: (x, noise, mask, cond))


def summary(net):
    return Case(net, 4, lambda x, mask, cond: (x, mask, cond), per_point=False)


EPIC = {"hidden": 8, "global_width": 3, "n_layers": 1, "sum_scale": 0.2}
MP = {"hidden": (5,), "edge_widths": (6, 5), "node_widths": (6,), "message_scale": 0.5}
SET = {"width": 8, "depth": 1, "n_heads": 2, "n_octaves": 2, "embedding_size": 6}
CASES = {
    "point wise, CaloClouds II": denoiser(PointWise(widths=(8,), n_frequencies=4)),
    "point wise, CaloClouds I": denoiser(PointWise((8,), n_frequencies=None, residual=True)),
    "epic denoiser": denoiser(EpicDenoiser(**EPIC, embedding_size=6)),
    "landmarks": denoiser(PointTransformer(**SET, n_landmarks=3)),
    "full attention": denoiser(PointTransformer(**SET, n_landmarks=None)),
    "epic generator": generator(EpicGenerator(**EPIC)),
    "messages of all": generator(MessagePassingGenerator(**MP, output_bound=2.0)),
    "messages of some": generator(MessagePassingGenerator(**MP, n_neighbours=2, pairs_at_once=20)),
    "epic critic": summary(EpicCritic(**EPIC)),
    "epic encoder": summary(EpicEncoder(latent=5, **EPIC)),
    "message-passing critic": summary(MessagePassingCritic(**MP, sigmoid=False, pairs_at_once=50)),
}


def inputs(case, size=SIZE):
    x = np.zeros((N_BATCH, size, case.n_features), np.float32)
    x[:, :SIZE] = normal(200, (N_BATCH, SIZE, case.n_features))
    mask = np.arange(size) < N_POINTS[:, None]
    return x * mask[..., None], mask, np.asarray(normal(203, (N_BATCH, N_CONDITIONS)))


class Ready(NamedTuple):
    case: Case
    params: object
    apply: Callable  # (params, points, mask, cond) -> result and gradients: one program a case
    result: np.ndarray


def with_gradients(case):
    def loss(params, x, mask, cond):
        result = case.apply(params, x, mask, cond)
        return jnp.sum((result - 0.3) ** 2), result

    def apply(params, x, mask, cond):
        (_, result), gradients = jax.value_and_grad(loss, (0, 1), has_aux=True)(
            params, x, mask, cond
        )
        return result, gradients

    return quick_jit(apply)


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES.keys())
def ready(request):
    case = request.param
    x, mask, cond = inputs(case)
    params = jax.tree_util.tree_map_with_path(
        lambda path, leaf: 1 + leaf if path[-1].key == "length" else leaf,
        random_params(case.net, *case.arguments(x, mask, cond)),
    )
    apply = with_gradients(case)
    return Ready(case, params, apply, np.asarray(apply(params, x, mask, cond)[0]))


def test_a_permutation_of_the_points_permutes_the_result(ready):
    x, mask, cond = inputs(ready.case)
    order = np.array([3, 0, 6, 1, 5, 2, 4])  # real points and padding change places
    found, _ = ready.apply(ready.params, x[:, order], mask[:, order], cond)
    assert_close(found, ready.result[:, order] if ready.case.per_point else ready.result)


def test_padding_changes_nothing_and_comes_back_as_zero(ready):
    x, mask, cond = inputs(ready.case, SIZE + 5)
    apply = quick_jit(ready.case.apply)
    wild = np.where(mask[..., None], x, np.float32(30))
    for padded in (x, wild):
        result = np.asarray(apply(ready.params, padded, mask, cond))
        if ready.case.per_point:
            assert np.all(result[~mask] == 0)
            result = result[:, :SIZE]
        assert_close(result, ready.result, relative=1e-6)


def test_every_point_and_condition_tells_in_its_own_cloud_alone(ready):
    x, mask, cond = inputs(ready.case)
    other_x, other_cond = x.copy(), cond.copy()
    other_x[1, 3] += 0.7
    other_cond[1, 1] += 0.7
    for changed in ((other_x, mask, cond), (x, mask, other_cond)):
        found = np.asarray(ready.apply(ready.params, *changed)[0])
        assert np.abs(found[1] - ready.result[1]).max() > 1e-5
        assert_close(found[[0, 2]], ready.result[[0, 2]], relative=1e-6)
        if changed[0] is other_x and ready.case.per_point:
            others = np.abs(found[1, :3] - ready.result[1, :3]).max(axis=-1)
            alone = isinstance(ready.case.net, PointWise)
            assert np.all(others < 1e-6) if alone else np.any(others > 1e-5)


def test_the_gradient_is_finite_and_reaches_every_parameter(ready):
    x, mask, cond = inputs(ready.case)
    _, gradients = ready.apply(ready.params, x, mask, cond)
    of_params, of_x = jax.tree.map(np.asarray, gradients)
    for path, leaf in jax.tree_util.tree_leaves_with_path(of_params):
        assert np.all(np.isfinite(leaf)), path
        assert np.any(leaf != 0), path
    assert np.all(np.isfinite(of_x))
    np.testing.assert_array_equal(of_x[~mask], 0)
    assert np.all(np.any(of_x[mask] != 0, axis=-1))

    # All points but one masked, then all.
    for n_points in (1, 0):
        few = np.broadcast_to(np.arange(SIZE) < n_points, (N_BATCH, SIZE))
        for leaf in jax.tree.leaves(ready.apply(ready.params, x, few, cond)):
            assert np.all(np.isfinite(np.asarray(leaf)))


def test_a_cloud_net_is_its_net_on_flat_events_of_any_size():
    case = CASES["point wise, CaloClouds II"]
    net, (x, mask, cond) = case.net, inputs(case)
    c_noise = normal(201, (N_BATCH,))
    counted = np.concatenate([cond, N_POINTS[:, None].astype(np.float32)], axis=-1)
    flat = CloudNet(net)
    params = random_params(flat, x.reshape(N_BATCH, -1), c_noise, counted)
    inner = {"params": params["params"]["net"]}
    expected = np.asarray(quick_jit(net.apply)(inner, x, mask, c_noise, cond))
    apply = quick_jit(flat.apply)
    for size in (SIZE, SIZE + 5):
        events, mask, _ = inputs(case, size)
        noisy = np.where(mask[..., None], events, np.float32(1.5))  # as diffusion makes of padding
        found = apply(params, noisy.reshape(N_BATCH, -1), c_noise, counted)
        assert found.shape == (N_BATCH, 4 * size)
        found = np.asarray(found).reshape(N_BATCH, size, 4)
        assert_close(found[:, :SIZE], expected, relative=1e-6)
        assert np.all(found[:, SIZE:] == 0)


def test_groups_are_clouds_of_their_own():
    """Seven points in groups of three: 0 3 6, 1 4, 2 5; four points: 0 2, 1 3; one point: 0."""
    case = CASES["epic generator"]
    net, n_rows = GroupedGenerator(case.net, 3), SIZE + 1
    x, mask, cond = inputs(case, n_rows)
    noise = case.arguments(x, mask, cond)[1]
    order = np.array([0, 7, 1, 2, 3, 4, 5, 6])  # padding in between counts as no point
    x, mask = x[:, order], mask[:, order]
    params = random_params(net, x, noise, mask, cond)
    grouped, plain = quick_jit(net.apply), quick_jit(case.net.apply)
    found = np.asarray(grouped(params, x, noise, mask, cond))
    assert np.all(found[~mask] == 0)

    inner = {"params": params["params"]["net"]}
    for n_groups, cloud in ((3, 0), (2, 1), (1, 2)):
        real = np.flatnonzero(mask[cloud])
        for group in (real[i::n_groups] for i in range(n_groups)):
            alone = np.arange(3) < len(group)
            points = np.zeros((N_BATCH, 3, case.n_features), np.float32)
            points[cloud, alone] = x[cloud, group]
            expected = plain(inner, points, noise, np.tile(alone, (N_BATCH, 1)), cond)
            assert_close(found[cloud, group], np.asarray(expected)[cloud, alone])

    few = x[:, :3], noise, mask[:, :3], cond
    np.testing.assert_array_equal(grouped(params, *few), plain(inner, *few))


def test_a_group_without_a_point_is_an_error_of_one_line():
    case = CASES["epic generator"]
    with pytest.raises(InputError, match="size of 1 or more, found 0"):
        GroupedGenerator(case.net, 0).init(jax.random.key(0), *case.arguments(*inputs(case)))


def test_events_that_are_no_clouds_are_named():
    net, c_noise = CloudNet(PointWise()), jnp.zeros(1)
    for x, cond, message in (
        (jnp.zeros((1, 10)), jnp.zeros((1, 1)), "found 10 numbers"),
        (jnp.zeros((1, 8)), jnp.zeros((1, 0)), "found no condition"),
    ):
        with pytest.raises(InputError, match=message):
            jax.eval_shape(net.init, jax.random.key(0), x, c_noise, cond)
