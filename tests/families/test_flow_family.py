"""The flow family: exact densities, and a mixture learned by maximum likelihood."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxcalo.families import generate
from jaxcalo.families.flow import evaluate_flow, flow
from jaxcalo.nets.coupling import ConditionalFlow
from jaxcalo.training import Batch, data_mesh, init_state, map_step, shard_batch

MESH = data_mesh(jax.devices()[:1])
NET = ConditionalFlow(2, n_blocks=1, n_affine=1, hidden=(32,), n_bins=8, bound=4.0)
SCALE, N_STEPS = 0.35, 250


def encode(key, datum):
    return datum["event"], datum["cond"]


def model_of(net=NET):
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-2, N_STEPS))
    return flow(net, optimizer, encode=encode, n_components=2, ema_decay=0.99)


def data(seed, n):
    """Two normal blobs at +-(1, c / 2), equally likely, c ~ U(-1, 1) the condition."""
    draws = np.random.default_rng(seed)
    cond = draws.uniform(-1, 1, (n, 1)).astype(np.float32)
    centre = np.concatenate([np.ones_like(cond), cond / 2], axis=1)
    side = np.where(draws.random((n, 1)) < 0.5, 1.0, -1.0)
    event = side * centre + SCALE * draws.standard_normal((n, 2))
    return {"event": event.astype(np.float32), "cond": cond}


def true_log_prob(event, cond):
    centre = np.concatenate([np.ones_like(cond), cond / 2], axis=1)
    logs = [-np.sum((event - s * centre) ** 2, axis=1) / (2 * SCALE**2) for s in (1, -1)]
    return np.logaddexp(*logs) - np.log(2) - np.log(2 * np.pi * SCALE**2)


def test_learns_a_conditional_mixture_whose_density_is_normalised():
    model = model_of()
    everything = data(0, 256 * N_STEPS)

    def batch(i):
        rows = slice(256 * i, 256 * (i + 1))
        return Batch(np.arange(256, dtype=np.int32), {k: v[rows] for k, v in everything.items()})

    state = init_state(model.algorithm, jax.random.key(0), batch(0), MESH)
    held_out = data(1, 4000)
    evaluate = evaluate_flow(NET, encode)
    entropy = -np.mean(true_log_prob(held_out["event"], held_out["cond"]))
    start = float(evaluate(jax.random.key(2), state.ema, held_out)["validation_loss"])
    normal_loss = np.mean(np.sum(held_out["event"] ** 2, axis=1)) / 2 + np.log(2 * np.pi)
    np.testing.assert_allclose(start, normal_loss, rtol=1e-5)

    step = map_step(model.algorithm, MESH)
    for i in range(N_STEPS):
        state, _ = step(jax.random.key(1), state, shard_batch(batch(i), MESH))
    loss = float(evaluate(jax.random.key(2), state.ema, held_out)["validation_loss"])
    # Measured: 1.437, the entropy 1.413, untrained 2.501.
    assert entropy - 0.01 < loss < entropy + 0.06

    axis = jnp.linspace(-5, 5, 201)
    grid = jnp.stack(jnp.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    log_prob = jax.jit(jax.vmap(model.log_prob, (None, None, 0, None)))
    for c in (-0.9, 0.4):
        density = jnp.exp(log_prob(jax.random.key(0), state.ema, grid, jnp.full((1,), c)))
        np.testing.assert_allclose(jnp.sum(density) * 0.05**2, 1.0, atol=0.01)

    cond = np.full((4000, 1), 0.8, np.float32)
    events = generate(jax.random.key(3), model, state.ema, cond, chunk=4000, mesh=MESH)
    right = events[events[:, 0] > 0]
    assert abs(len(right) / 4000 - 0.5) < 0.05
    np.testing.assert_allclose(right.mean(axis=0), [1.0, 0.4], atol=0.06)
    np.testing.assert_allclose(right.std(axis=0), SCALE, atol=0.06)


def test_a_new_model_samples_the_standard_normal():
    model = model_of()
    init = jax.jit(NET.init, compiler_options={"xla_backend_optimization_level": 0})
    params = init(jax.random.key(0), jnp.zeros((1, 2)), jnp.zeros((1, 1)))
    events = generate(
        jax.random.key(1), model, params, np.zeros((4000, 1), np.float32), chunk=4000, mesh=MESH
    )
    np.testing.assert_allclose(events.mean(axis=0), 0.0, atol=4 / np.sqrt(4000))
    np.testing.assert_allclose(np.cov(events.T), np.eye(2), atol=0.09)
    log_p = model.log_prob(jax.random.key(0), params, jnp.array([1.0, 2.0]), jnp.zeros(1))
    np.testing.assert_allclose(log_p, -2.5 - np.log(2 * np.pi), rtol=1e-5)
