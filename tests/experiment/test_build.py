"""A real training step of both networks: eight devices do what one does."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxcalo.data import open_showers, sample_path
from jaxcalo.experiment import Data, DiTNet, Experiment, UNetNet, build
from jaxcalo.geometry import load_geometry
from jaxcalo.preprocess import fit
from jaxcalo.training import AXIS, Batch, data_mesh, init_state, map_step, shard_batch

NETS = [DiTNet(patch=(3, 8, 6), width=16, depth=1, n_heads=2), UNetNet(channels=(8, 8, 8))]
SLOW_UNET = [NETS[0], pytest.param(NETS[1], marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=SLOW_UNET, ids=["dit", "unet"])
def job(request):
    """The algorithm, a batch of real showers, and the state after one step on one device."""
    detector = load_geometry("par04_lite")
    with open_showers(sample_path("par04_lite_train"), detector) as file:
        showers = file.read(0, 64)
    experiment = Experiment(data=Data(batch_size=16), net=request.param)
    constants = fit(experiment.preprocess, detector, [showers[:2]])
    algorithm = build(experiment, detector, constants).model.algorithm
    batch = Batch(np.arange(16, dtype=np.int32), jax.tree.map(lambda x: x[:16], showers))
    return algorithm, batch, run(algorithm, batch, 1)


def run(algorithm, batch, n_devices):
    mesh = data_mesh(jax.devices()[:n_devices])
    arguments = (
        jax.random.key(1),
        init_state(algorithm, jax.random.key(0), batch, mesh),
        shard_batch(batch, mesh),
    )
    quick = {"xla_backend_optimization_level": 0}  # to compile, which is all the time it takes
    step = jax.jit(map_step(algorithm, mesh)).lower(*arguments).compile(quick)
    return jax.device_get(step(*arguments))


def assert_close(expected, found):
    (state, metrics), (state_2, metrics_2) = expected, found
    np.testing.assert_allclose(metrics["loss"], metrics_2["loss"], rtol=1e-5)
    np.testing.assert_allclose(metrics["gradient_norm"], metrics_2["gradient_norm"], rtol=1e-4)
    # The first moments are the gradients; Adam's update itself divides by their size.
    moments, moments_2 = (jax.tree.leaves(s.optimizer) for s in (state, state_2))
    for a, b in zip(moments, moments_2, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6 * max(1.0, np.abs(a).max()))


def test_eight_devices_equal_one_under_shard_map(job):
    algorithm, batch, expected = job
    assert_close(expected, run(algorithm, batch, 8))


@pytest.mark.parametrize(
    "job",
    [NETS[0], pytest.param(NETS[1], marks=pytest.mark.slow)],
    ids=["dit", "unet"],
    indirect=True,
)
def test_eight_devices_equal_one_under_pmap(job):
    algorithm, batch, expected = job
    state = jax.jit(algorithm.init)(jax.random.key(0), batch)
    step = jax.pmap(algorithm.step, axis_name=AXIS, in_axes=(None, None, 0), out_axes=None)
    split = jax.tree.map(lambda x: x.reshape(8, -1, *x.shape[1:]), batch)
    assert_close(expected, jax.device_get(step(jax.random.key(1), state, split)))


@pytest.mark.slow
@pytest.mark.parametrize("job", NETS[:1], ids=["dit"], indirect=True)
def test_accumulated_gradients_equal_one_larger_batch(job):
    """Two batches and one update: parameters move only with the second."""
    algorithm, batch, _ = job
    del algorithm
    detector = load_geometry("par04_lite")
    showers = batch.data
    base = Experiment(data=Data(batch_size=16), net=NETS[0])
    accumulated = dataclasses.replace(
        base, optimizer=dataclasses.replace(base.optimizer, accumulate=2, warmup_steps=1)
    )
    constants = fit(base.preprocess, detector, [showers[:2]])
    algorithm = build(accumulated, detector, constants).model.algorithm
    state = jax.jit(algorithm.init)(jax.random.key(0), batch)
    mesh = data_mesh(jax.devices()[:1])
    step = map_step(algorithm, mesh)
    start = jax.device_get(state.params)
    moved = []
    for _ in range(4):
        state, _ = step(jax.random.key(1), state, shard_batch(batch, mesh))
        pairs = zip(jax.tree.leaves(start), jax.tree.leaves(state.params), strict=True)
        moved.append(max(float(np.abs(a - np.asarray(b)).max()) for a, b in pairs))
    assert moved[0] == 0.0
    assert moved[3] > 0.0
    assert moved[2] == moved[1]
