"""Terms from physics in diffusion: of drawn events, on any number of devices, and they help."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from point_nets import assert_same_step, compiled, quickly, weights

from jaxcalo.diffusion import Ddim
from jaxcalo.families import Diffusion, PhysicsTerm, Sampling, diffusion
from jaxcalo.metrics.wasserstein import wasserstein_1
from jaxcalo.training import Batch, data_mesh, map_step, shard_batch

N = 4
MESH = data_mesh(jax.devices()[:1])


class TanhNet(NamedTuple):
    """One hidden layer that knows the noise level: few operations, quickly compiled."""

    width: int = 48

    def init(self, key, x, c_noise, cond):
        width = self.width
        shapes = {"x": (N, width), "level": (3, width), "cond": (cond.shape[1], width)}
        return weights(key, out=(width, N), **shapes) | {"direct": jnp.zeros((3, N))}

    def apply(self, params, x, c_noise, cond):
        level = jnp.stack([jnp.ones_like(c_noise), c_noise, jnp.sin(2 * c_noise)], axis=1)
        h = jnp.tanh(x @ params["x"] + 2 * level @ params["level"] + cond @ params["cond"])
        return h @ params["out"] + level @ params["direct"] * x


def radius(event, cond):
    assert cond.shape == (1,)
    return jnp.sqrt(jnp.sum(event**2) + 1e-6)[None]


def encode(key, datum):
    return datum, jnp.zeros(1)


def events(seed, n):
    """Four numbers without direction, of radius 1.8 within a hundredth."""
    draws = np.random.default_rng(seed)
    x = draws.standard_normal((n, N))
    radii = 1.8 + 0.02 * draws.standard_normal((n, 1))
    return (radii * x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def batch_of(rows):
    return Batch(np.arange(len(rows), dtype=np.int32), rows)


def model_of(strengths, optimizer, config=None, n_steps=2):
    terms = tuple(PhysicsTerm("radius", radius, weight) for weight in strengths)
    sampling = Sampling(Ddim(), n_steps=n_steps)
    return diffusion(
        TanhNet(),
        config or Diffusion(),
        sampling,
        optimizer,
        encode=encode,
        n_components=N,
        ema_decay=0.98,
        terms=terms,
    )


@pytest.fixture(scope="module")
def start():
    """The state that every model here starts from."""
    init = model_of((), optax.sgd(1.0)).algorithm.init
    return jax.device_get(quickly(init, jax.random.key(0), batch_of(events(0, 16))))


def first_step(start, strengths, mesh=MESH):
    """Loss, gradient and metrics of 128 events: 16 a device of 8, of which 2 are drawn."""
    step = map_step(model_of(strengths, optax.sgd(1.0)).algorithm, mesh)
    state = jax.device_put(start, NamedSharding(mesh, PartitionSpec()))
    batch = shard_batch(batch_of(events(0, 128)), mesh)
    after, metrics = quickly(step, jax.random.key(1), state, batch)
    gradient = jax.tree.map(lambda a, b: a - np.asarray(b), start.params, after.params)
    return float(metrics["loss"]), gradient, metrics


def test_a_term_of_weight_zero_changes_nothing_and_eight_devices_equal_one(start):
    without, zero = first_step(start, ()), first_step(start, (0.0,))
    assert_same_step(zero[:2], without[:2], 1e-6)
    assert set(zero[2]) - set(without[2]) == {"physics_radius", "loss_denoising"}
    eight = first_step(start, (1.0,), data_mesh(jax.devices()))
    measured = float(zero[2]["physics_radius"])
    np.testing.assert_allclose(eight[2]["physics_radius"], measured, rtol=1e-4)
    np.testing.assert_allclose(eight[0], without[0] + measured, rtol=1e-5)
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), eight[1], without[1])
    assert max(jax.tree.leaves(moved)) > 1e-2


def test_features_see_conditions_without_the_flag_of_guidance():
    config = dataclasses.replace(Diffusion(), condition_dropout=0.1)
    model = model_of((1.0,), optax.sgd(1.0), config)
    batch = batch_of(events(0, 16))
    state = jax.eval_shape(model.algorithm.init, jax.random.key(0), batch)
    _, metrics = jax.eval_shape(map_step(model.algorithm, MESH), jax.random.key(0), state, batch)
    assert "physics_radius" in metrics


def test_prioritised_training_lowers_w1_of_its_feature(start):
    """Four steps of a sampler are too few for a narrow peak: the term makes up for that as well."""
    data = events(1, 128 * 150).reshape(150, 128, N)
    conds, keys = jnp.zeros((1000, 1)), jax.random.split(jax.random.key(2), 1000)
    known, found, sample = np.linalg.norm(events(2, 1000), axis=1), [], None
    for strengths in ((), (0.3,)):
        model = model_of(strengths, optax.adam(1e-2), n_steps=4)
        moments = optax.adam(1e-2).init(start.params)
        state = jax.device_put(
            start._replace(optimizer=moments), NamedSharding(MESH, PartitionSpec())
        )
        batches = [shard_batch(batch_of(rows), MESH) for rows in data]
        step = compiled(map_step(model.algorithm, MESH), jax.random.key(1), state, batches[0])
        for batch in batches:
            state, _ = step(jax.random.key(1), state, batch)
        sample = sample or compiled(
            jax.vmap(model.sample, (0, None, 0)), keys, jax.device_get(state.ema), conds
        )
        drawn = np.asarray(sample(keys, jax.device_get(state.ema), conds))
        found.append(wasserstein_1(known, np.linalg.norm(drawn, axis=1)))
    assert found[1] < 0.7 * found[0]
