"""Any flow in the family, and losses from physics on what it draws."""

import functools

import jax
import numpy as np
import optax
from jax.sharding import PartitionSpec as P
from scipy.stats import norm

from jaxcalo.families import PhysicsTerm
from jaxcalo.families.flow import evaluate_flow, flow
from jaxcalo.nets.autoregressive import MaskedAutoregressiveFlow
from jaxcalo.training import AXIS, Batch, data_mesh

quick_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
NET, N = MaskedAutoregressiveFlow(2, 1, (6,), n_bins=0), 1024


def encode(key, datum):
    return datum[:2], datum[2:]


SUM = PhysicsTerm("sum", lambda event, cond: event[:1] + cond[0], 3.0)
MODEL = flow(NET, optax.sgd(0.1), encode=encode, n_components=2, ema_decay=0.9, terms=(SUM,))
DATA = np.random.default_rng(0).standard_normal((N, 3)).astype(np.float32)
DATA = (DATA - DATA.mean(axis=0)) / DATA.std(axis=0) + np.array([2, 0, 0], np.float32)


@functools.cache
def run(n_devices, n_steps=10):
    """The state after steps on the same events, and the metrics of each, in one program."""
    init, step = MODEL.algorithm

    def steps(state, batch):
        one = lambda state, _: step(jax.random.key(1), state, batch)  # noqa: E731
        return jax.lax.scan(one, state, None, n_steps)

    mesh = data_mesh(jax.devices()[:n_devices])
    steps = jax.shard_map(steps, mesh=mesh, in_specs=(P(), P(AXIS)), out_specs=P(), check_vma=False)
    program = quick_jit(lambda batch: steps(init(jax.random.key(0), batch), batch))
    return jax.device_get(program(Batch(np.arange(N, dtype=np.int32), DATA)))


def folded(mean, std):
    """E|X| of a normal X."""
    tail = mean * (1 - 2 * norm.cdf(-mean / std))
    return std * np.sqrt(2 / np.pi) * np.exp(-((mean / std) ** 2) / 2) + tail


def test_the_term_is_the_distance_of_what_is_drawn():
    """A new flow draws N(0, 1) where the data are N(2, 1); the sums with the condition differ."""
    _, metrics = run(1)
    expected = (2 * folded(2.0, 2.0) - 2 * folded(0.0, 2.0)) / np.sqrt(2)
    np.testing.assert_allclose(metrics["physics_sum"][0], expected, rtol=0.1)
    likelihood = metrics["loss_likelihood"]
    normal_loss = np.mean(np.sum(DATA[:, :2] ** 2, axis=1)) / 2 + np.log(2 * np.pi)
    np.testing.assert_allclose(likelihood[0], normal_loss, rtol=1e-5)
    np.testing.assert_allclose(metrics["loss"], likelihood + 3 * metrics["physics_sum"], rtol=1e-5)


def test_it_is_learned_and_eight_devices_are_one():
    one, eight = run(1), run(8)
    assert one[1]["physics_sum"][-1] < 0.3 * one[1]["physics_sum"][0]
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(eight), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_evaluation_and_density_are_without_the_term():
    params = run(1)[0].params
    found = quick_jit(evaluate_flow(NET, encode))(jax.random.key(0), params, DATA)
    log_p = quick_jit(jax.vmap(MODEL.log_prob, (None, None, 0, 0)))(
        jax.random.key(0), params, DATA[:, :2], DATA[:, 2:]
    )
    np.testing.assert_allclose(found["validation_loss"], -np.mean(log_p), rtol=1e-5)
    assert 2.5 < found["validation_loss"] < run(1)[1]["loss_likelihood"][0] - 1.0
