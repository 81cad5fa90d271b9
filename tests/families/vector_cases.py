"""Vectors, networks and runs for the tests of VAEs and vector GANs."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P

from jaxcalo.training import AXIS, Batch, data_mesh

# Compiles in half the time; the networks are small.
quick_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def encode(key, datum):
    return datum["event"], datum["cond"]


class Linear(NamedTuple):
    """Two matrices without a bias: x A + cond B; `also` is constant and stands behind."""

    out_size: int
    also: int = 0

    def init(self, key, x, cond):
        a, b = jax.random.split(key)
        shapes = (x.shape[1], self.out_size), (cond.shape[1], self.out_size)
        params = {
            name: 0.3 * jax.random.normal(k, shape)
            for name, k, shape in zip("AB", (a, b), shapes, strict=True)
        }
        return params | {"also": jnp.zeros((self.also,))}

    def apply(self, params, x, cond):
        y = x @ params["A"] + cond @ params["B"]
        return jnp.concatenate([y, jnp.tile(params["also"], (len(x), 1))], axis=1)


def batch_of(data, i=0, size=None):
    """The i-th batch of the data, from the first again after the last."""
    n = len(data["cond"])
    size = n if size is None else size
    rows = (size * i + np.arange(size)) % n
    return Batch(np.arange(size, dtype=np.int32), {k: v[rows] for k, v in data.items()})


def run(model, data, n_steps, size, n_devices=1, seed=0):
    """The state and the last metrics after steps on batches of a size, in one program."""
    mesh = data_mesh(jax.devices()[:n_devices])
    batches = [batch_of(data, i, size) for i in range(n_steps)]
    batches = jax.tree.map(lambda *rows: np.stack(rows), *batches)

    def steps(key, state, batches):
        return jax.lax.scan(lambda s, batch: model.algorithm.step(key, s, batch), state, batches)

    specs = P(), P(), P(None, AXIS)
    mapped = jax.shard_map(steps, mesh=mesh, in_specs=specs, out_specs=P(), check_vma=False)

    def program(init_key, key, batches):
        first = jax.tree.map(lambda rows: rows[0], batches)
        state, metrics = mapped(key, model.algorithm.init(init_key, first), batches)
        return state, jax.tree.map(lambda values: values[-1], metrics)

    keys = jax.random.key(seed), jax.random.key(seed + 1)
    return jax.device_get(quick_jit(program)(*keys, batches))


def drawn(model, params, conds, seed=9):
    """One event for each condition."""
    keys = jax.random.split(jax.random.key(seed), len(conds))
    return np.asarray(quick_jit(jax.vmap(model.sample, (0, None, 0)))(keys, params, conds))
