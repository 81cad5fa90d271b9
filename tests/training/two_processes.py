"""Train a small regression as one of two processes, or alone: argument 1 is the run folder.

Argument 2 is the step after which this process signals itself, 0 for never.
"""

import os
import signal
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxcalo.training import (
    Batch,
    CheckpointPlan,
    Interrupted,
    TrainingPlan,
    data_mesh,
    fit,
    join_processes,
    minimise,
)

N_STEPS, BATCH = 12, 8


class Rows:
    """This process's rows of batches that are functions of the step."""

    def prefetch(self, start, stop):
        share = BATCH // jax.process_count()
        mine = slice(jax.process_index() * share, (jax.process_index() + 1) * share)
        for step in range(start, stop):
            x = np.random.default_rng(step).normal(size=(BATCH, 5)).astype(np.float32)
            yield Batch(np.arange(BATCH, dtype=np.int32)[mine], x[mine])


def regression():
    """Each event has its own noise, whatever device it is on; the parameters start from a batch."""

    def loss_fn(key, params, batch):
        noise = jax.vmap(lambda i: jax.random.normal(jax.random.fold_in(key, i), (5,)))(batch.index)
        return jnp.mean((jnp.tanh(batch.data @ params["w"]) - noise) ** 2), {}

    def init(key, batch):
        return {"w": jax.random.normal(key, (5, 5)) * jnp.std(batch.data, axis=0)}

    return minimise(init, loss_fn, optax.adamw(1e-2), 0.9)


def train(folder, devices=None, n_steps=N_STEPS, observe=lambda _step, _metrics: None):
    """The state after the last step, in the host's memory."""
    plan = TrainingPlan(n_steps, 3, checkpoints=CheckpointPlan(every=100))
    state = fit(
        jax.random.key(0),
        regression(),
        Rows(),
        plan,
        run=folder,
        mesh=data_mesh(devices),
        constants={"mean": np.arange(3.0, dtype=np.float32)},
        evaluate=lambda _key, params: {"norm": jnp.sum(params["w"] ** 2)},
        observe=observe,
    )
    return jax.device_get(state)


def stop_after(step):
    """Signal this process when it has done a step."""

    def observe(done, _metrics):
        if done == step:
            os.kill(os.getpid(), signal.SIGTERM)

    return observe


if __name__ == "__main__":
    join_processes()
    try:
        train(Path(sys.argv[1]), observe=stop_after(int(sys.argv[2])))
    except Interrupted as stop:
        sys.exit(stop.step)
