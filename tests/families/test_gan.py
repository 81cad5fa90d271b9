"""GANs on clouds: what they learn, padding, devices, and the real networks at tiny size."""

from functools import cache, partial
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from jaxcalo.diffusion import randn
from jaxcalo.errors import InputError
from jaxcalo.families import Gan, evaluate_gan, gan
from jaxcalo.nets import EpicCritic, EpicGenerator, MessagePassingCritic, MessagePassingGenerator
from jaxcalo.training import (
    R1,
    Adversarial,
    Batch,
    TrainState,
    data_mesh,
    map_step,
    shard_batch,
)

# Compiles in half the time; the networks are small.
quick_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

MESH = data_mesh(jax.devices()[:1])
ROWS = 24
MEAN, WIDTH = np.array([0.5, -0.5, 0.0, 1.0]), np.array([1.0, 0.5, 0.4, 0.3])
SHOWER_WIDTH = 0.6  # of the third column's mean, which only the condition tells
CONFIG = Gan(Adversarial(penalty=R1(weight=0.1)), n_local=4, n_global=3)


@cache
def clouds(n=1024, rows=ROWS):
    """8 to 24 normal points a cloud; the third column is centred on the condition."""
    normal = np.asarray(randn(jax.random.key(0), (1024, 4 * ROWS + 2)))
    cond, n_points = normal[:, 0], np.clip(np.round(16 + 4 * normal[:, 1]), 8, ROWS)
    points = MEAN + WIDTH * normal[:, 2:].reshape(1024, ROWS, 4)
    points[..., 2] += SHOWER_WIDTH * cond[:, None]
    points *= (np.arange(ROWS) < n_points[:, None])[..., None]
    points = np.pad(points, ((0, 0), (0, rows - ROWS), (0, 0))).reshape(1024, -1)
    data = {"points": points, "cond": np.stack([cond, n_points], axis=1)}
    return {name: value[:n].astype(np.float32) for name, value in data.items()}


def encode(key, datum):
    return datum["points"], datum["cond"]


def batch_of(data):
    return Batch(np.arange(len(data["cond"]), dtype=np.int32), data)


def dense(key, *sizes):
    """Kernels and zero biases, from one draw."""
    shapes = list(pairwise(sizes))
    ends = np.cumsum([i * o for i, o in shapes])
    drawn = jax.random.uniform(key, (ends[-1],), minval=-1.7, maxval=1.7)
    parts = zip(jnp.split(drawn, ends[:-1]), shapes, strict=True)
    return [(part.reshape(i, o) / i**0.5, jnp.zeros(o)) for part, (i, o) in parts]


def leaky(x):
    return jnp.maximum(x, 0.1 * x)


def mlp(layers, x):
    *hidden, (kernel, bias) = layers
    for w, b in hidden:
        x = leaky(x @ w + b)
    return x @ kernel + bias


def with_shared(x, shared):
    return jnp.concatenate(
        [x, jnp.broadcast_to(shared[:, None], (*x.shape[:2], shared.shape[1]))], -1
    )


def mean_of(x, mask):
    return jnp.sum(x * mask[..., None], 1) / jnp.sum(mask, 1, keepdims=True)


class PooledGenerator(NamedTuple):
    """Points that know the mean of all points' features, as in an EPiC layer."""

    def init(self, key, local, whole, mask, cond):
        first, second = jax.random.split(key)
        n_shared = whole.shape[1] + cond.shape[1]
        return {
            "first": dense(first, local.shape[2] + n_shared, 16),
            "second": dense(second, 16 + 16 + n_shared, 24, 4),
        }

    def apply(self, params, local, whole, mask, cond):
        shared = jnp.concatenate([whole, cond], axis=1)
        h = leaky(mlp(params["first"], with_shared(local, shared)))
        shared = jnp.concatenate([mean_of(h, mask), shared], axis=1)
        return mlp(params["second"], with_shared(h, shared))


class PooledCritic(NamedTuple):
    """A function of the mean of the points' features."""

    def init(self, key, points, mask, cond):
        first, second = jax.random.split(key)
        return {
            "points": dense(first, 4 + cond.shape[1], 32),
            "cloud": dense(second, 32 + cond.shape[1], 32, 1),
        }

    def apply(self, params, points, mask, cond):
        h = leaky(mlp(params["points"], with_shared(points, cond)))
        pooled = jnp.concatenate([mean_of(h, mask), cond], axis=1)
        return mlp(params["cloud"], pooled)[:, 0]


@cache
def model_of(generator=PooledGenerator(), critic=PooledCritic(), config=CONFIG, n_points=ROWS):  # noqa: B008
    optimizer = optax.adam(6e-3, b1=0.0, b2=0.99)
    return gan(
        generator,
        critic,
        config,
        optimizer,
        optimizer,
        encode=encode,
        n_points=n_points,
        ema_decay=0.98,
    )


@cache
def step_of(n_devices=1):
    mesh = data_mesh(jax.devices()[:n_devices])
    return mesh, quick_jit(map_step(model_of().algorithm, mesh))


@cache
def new_state():
    return quick_jit(model_of().algorithm.init)


@cache
def start_of(seed):
    return jax.device_get(new_state()(jax.random.key(seed), batch_of(clouds(32))))


def run(seed, n_steps, n_devices=1, rows=ROWS):
    """The state and the last metrics after steps on batches of 32 clouds."""
    mesh, step = step_of(n_devices)
    # As every step leaves it: placed otherwise, the first would be a program of its own.
    state = jax.device_put(start_of(seed), NamedSharding(mesh, PartitionSpec()))
    for i in range(n_steps):
        some = (32 * i + np.arange(32)) % 1024
        data = {name: value[some] for name, value in clouds(rows=rows).items()}
        state, metrics = step(jax.random.key(seed + 1), state, shard_batch(batch_of(data), mesh))
    return jax.device_get((state, metrics))


@cache
def trained(seed):
    return run(seed, 300)[0].ema


evaluate = quick_jit(evaluate_gan(PooledGenerator(), PooledCritic(), CONFIG, encode=encode))


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_mean_and_width_are_learned_and_nothing_collapses(seed):
    found = evaluate(jax.random.key(5), trained(seed), clouds(512))
    assert np.abs(found["mean_difference"]).max() < 0.12
    assert np.abs(found["width_difference"]).max() < 0.12
    # The means of a shower's points are 0.25, 0.12, 0.61 and 0.08 wide.
    assert np.abs(found["shower_width_difference"]).max() < 0.12
    assert abs(found["critic_gap"]) < 0.1


def test_padding_changes_nothing():
    found = [evaluate(jax.random.key(5), trained(0), clouds(512, rows)) for rows in (ROWS, 40)]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6), *found)


@pytest.mark.slow
def test_devices_and_padding_do_not_change_a_step():
    one, eight = run(0, 2), run(0, 2, n_devices=8, rows=40)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(eight), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5)


def test_samples_come_from_the_key_and_the_condition_alone():
    cond, params = clouds(20)["cond"], trained(0)
    keys = jax.random.split(jax.random.key(1), 20)
    together = quick_jit(jax.vmap(model_of().sample, (0, None, 0)))(keys, params, cond)
    points = together.reshape(20, ROWS, 4)
    np.testing.assert_array_equal(np.abs(points).sum(-1) > 0, np.arange(ROWS) < cond[:, 1:])
    alone = quick_jit(model_of(n_points=40).sample)
    for i in (0, 7):
        more = alone(keys[i], params, cond[i]).reshape(40, 4)
        np.testing.assert_allclose(more[:ROWS], points[i], atol=2e-6)
        assert not more[ROWS:].any()
    other = alone(keys[1], params, cond[0]).reshape(40, 4)
    assert np.abs(other[:8] - points[0, :8]).max() > 0.1


class ConstantGenerator(PooledGenerator):
    """Every point is the same."""

    def apply(self, params, local, whole, mask, cond):
        return jnp.full((*mask.shape, 4), 2.0)


class FirstColumn(PooledCritic):
    """D is the mean of the first column."""

    def apply(self, params, points, mask, cond):
        return mean_of(points, mask)[:, 0]


def test_evaluation_of_a_collapsed_generator_in_closed_form():
    players = ConstantGenerator(), FirstColumn()
    params = {"generator": (), "critic": ()}
    judge = quick_jit(evaluate_gan(*players, CONFIG, encode=encode))
    found = judge(jax.random.key(1), params, clouds(50))
    rows, n_points = clouds(50)["points"].reshape(50, ROWS, 4), clouds(50)["cond"][:, 1]
    real = np.arange(ROWS) < n_points[:, None]
    means = rows.sum(1) / n_points[:, None]
    expected = {
        "critic_gap": means[:, 0].mean() - 2.0,
        "mean_difference": 2.0 - rows[real].mean(0),
        "width_difference": -rows[real].std(0),
        "shower_width_difference": -means.std(0),
    }
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-5, err_msg=name)


def zeros(like):
    return np.zeros(like.shape, like.dtype)


EPIC = EpicGenerator(8, 4, 1), EpicCritic(8, 4, 1)
SMALL = {"edge_widths": (6,), "node_widths": (8,), "n_neighbours": 3, "message_scale": 0.1}
MESSAGES = (
    MessagePassingGenerator((4,), **SMALL),
    MessagePassingCritic((4,), sigmoid=False, pool_scale=0.1, **SMALL),
)


def start_at(model, data):
    """A state with parameters of sines, which costs no compilation."""
    shapes = jax.eval_shape(model.algorithm.init, jax.random.key(0), data)
    params = jax.tree.map(lambda s: np.sin(1 + np.arange(s.size)).reshape(s.shape), shapes.params)
    params = jax.tree.map(np.float32, params)
    return TrainState(np.int32(0), params, params, jax.tree.map(zeros, shapes.optimizer))


published = pytest.mark.parametrize(
    ("players", "n_global"), [(EPIC, 3), (MESSAGES, 0)], ids=["EPiC-GAN", "MP-GAN"]
)


@published
def test_the_published_networks_generate_and_judge(players, n_global):
    config, data = Gan(n_local=2, n_global=n_global, local_std=0.2), clouds(3)
    params = start_at(model_of(*players, config), batch_of(data)).ema
    judge = quick_jit(evaluate_gan(*players, config, encode=encode))
    found = judge(jax.random.key(1), params, data)
    assert np.abs(found["critic_gap"]) > 1e-3
    points = data["points"].reshape(-1, 4)
    width = points[np.abs(points).sum(1) > 0].std(0)
    assert np.all(width + found["width_difference"] > 0.02)


@pytest.mark.slow
@published
def test_the_published_networks_learn(players, n_global):
    config, data = Gan(n_local=2, n_global=n_global, local_std=0.2), batch_of(clouds(4))
    model = model_of(*players, config)
    before = start_at(model, data)
    state, metrics = map_step(model.algorithm, MESH)(jax.random.key(1), before, data)
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), before.params, state.params)
    assert min(jax.tree.leaves(jax.device_get(moved))) > 1e-4
    assert metrics["gradient_penalty"].ratio() > 0


def test_a_generator_without_noise_is_refused():
    with pytest.raises(InputError, match="n_local >= 1"):
        Gan(n_local=0)
