"""Clouds and networks on points for the tests: a few lines, and no mask inside."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxcalo.training import Batch, data_mesh, map_step, shard_batch


def clouds(n=16, rows=6, sizes=(3, 5), seed=0):
    """Clouds that share their points whatever `rows` is, whose points share a shift of their own.

    The condition is [a number, the number of points].
    """
    n_points, most = np.asarray(sizes)[np.arange(n) % len(sizes)], max(sizes)
    numbers = np.asarray(jax.random.normal(jax.random.key(seed), (n, 4 * most + 5)))
    shift, noise, number = np.split(numbers, [4, 4 * most + 4], axis=1)
    points = 0.9 * shift[:, None] + 0.3 * noise.reshape(n, most, 4)
    points = np.where((np.arange(most) < n_points[:, None])[..., None], points, 0)
    padded = np.zeros((n, rows, 4), np.float32)
    padded[:, :most] = points
    cond = np.stack([number[:, 0], n_points], axis=1)
    return {"event": padded.reshape(n, -1), "cond": cond.astype(np.float32)}


def cloud_batch(n=16, rows=6, sizes=(3, 5), seed=0):
    return Batch(np.arange(n, dtype=np.int32), clouds(n, rows, sizes, seed))


def encode(key, datum):
    return datum["event"], datum["cond"]


def weights(key, **shapes):
    """Random arrays from one draw: many small ones take longer to compile than to train."""
    drawn, found = jax.random.normal(key, (4000,)), {}
    for name, shape in shapes.items():
        size = int(np.prod(shape))
        found[name], drawn = drawn[:size].reshape(shape) / max(shape[0], 4) ** 0.5, drawn[size:]
    return found


def compiled(function, *arguments):
    """The jitted function, compiled for these arguments quickly rather than well."""
    options = {"xla_backend_optimization_level": 0}
    return jax.jit(function).lower(*arguments).compile(options)


def quickly(function, *arguments):
    """The function of the arguments, `compiled`."""
    return compiled(function, *arguments)(*arguments)


def first_step(model, batch, key=1):
    """Loss, gradient and metrics of the first step of a model whose optimizer is sgd(1)."""
    mesh = data_mesh(jax.devices()[:1])
    state = model.algorithm.init(jax.random.key(0), batch)
    before = jax.device_get(state.params)
    step = map_step(model.algorithm, mesh)
    after, metrics = quickly(step, jax.random.key(key), state, shard_batch(batch, mesh))
    gradient = jax.tree.map(lambda a, b: a - np.asarray(b), before, after.params)
    return float(metrics["loss"]), gradient, metrics


def assert_same_step(found, expected, tolerance):
    """Equal losses; gradients equal on the scale of their largest number."""
    np.testing.assert_allclose(found[0], expected[0], rtol=tolerance)
    scale = max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected[1]))
    assert scale > 1e-3
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=tolerance * scale), found[1], expected[1]
    )


class PoolNet(NamedTuple):
    """All rows see the sum of all rows, and padded rows get an answer: masks have to hide both."""

    width: int = 8

    def init(self, key, x, c_noise, cond):
        width = self.width
        told = {"told": (cond.shape[1], width), "level": (1, width)}
        inner = weights(key, own=(4, width), sum=(4, width), out=(width, 4), **told)
        return inner | {"bias": jnp.ones(())}

    def apply(self, params, x, c_noise, cond):
        points = x.reshape(len(x), -1, 4)
        cond = cond.at[:, -1].divide(10.0)
        told = cond @ params["told"] + c_noise[:, None] @ params["level"]
        told += points.sum(axis=1) @ params["sum"]
        h = jnp.tanh(points @ params["own"] + told[:, None])
        return (h @ params["out"] + params["bias"]).reshape(x.shape)
