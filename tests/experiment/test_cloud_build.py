"""A real training step on point clouds: eight devices do what one does."""

import jax
import numpy as np
import pytest

from jaxcalo.data import CloudWriter, open_clouds, pad
from jaxcalo.data.toy_clouds import toy_clouds
from jaxcalo.experiment import (
    CloudDiffusion,
    CloudExperiment,
    CloudGan,
    EpicPlayers,
    PointWiseNet,
    ShowerFlow,
)
from jaxcalo.experiment.cloud_build import build_clouds, fit_clouds
from jaxcalo.geometry import load_geometry
from jaxcalo.training import AdamW, Batch, data_mesh, init_state, map_step, shard_batch

FLOW = ShowerFlow(n_blocks=1, n_affine=0, hidden=(16,))
MODELS = {
    "diffusion": CloudDiffusion(PointWiseNet(widths=(16, 16)), points_per_shower=32),
    "gan": CloudGan(EpicPlayers(16, 4, 1, 1), optimizer=AdamW(), critic_optimizer=AdamW()),
}


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_eight_devices_equal_one(model, tmp_path):
    made = toy_clouds(jax.random.key(1), 200)
    with CloudWriter(tmp_path / "clouds.h5", int(made.n_points.max())) as writer:
        writer.append(made)
    detector = load_geometry("ild_ecal")
    experiment = CloudExperiment(flow=FLOW, model=model)
    with open_clouds(tmp_path / "clouds.h5") as file:
        constants = fit_clouds(experiment, detector, file, made.n_showers)
        clouds = pad(file.read(0, 16), file.max_points)
    algorithm = build_clouds(experiment, detector, constants).model.algorithm
    batch = Batch(np.arange(16, dtype=np.int32), clouds)
    (state, metrics), (state_8, metrics_8) = (run(algorithm, batch, n) for n in (1, 8))
    assert metrics.keys() == metrics_8.keys()
    for name, value in metrics.items():
        np.testing.assert_allclose(metrics_8[name], value, rtol=1e-4, err_msg=name)
    # The first moments are the gradients; Adam's update itself divides by their size.
    moments, moments_8 = (jax.tree.leaves(s.optimizer) for s in (state, state_8))
    for a, b in zip(moments, moments_8, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-6 * max(1.0, np.abs(a).max()))


def run(algorithm, batch, n_devices):
    mesh = data_mesh(jax.devices()[:n_devices])
    state = init_state(algorithm, jax.random.key(0), batch, mesh)
    arguments = jax.random.key(1), state, shard_batch(batch, mesh)
    quick = {"xla_backend_optimization_level": 0}  # to compile, which is all the time it takes
    step = jax.jit(map_step(algorithm, mesh)).lower(*arguments).compile(quick)
    return jax.device_get(step(*arguments))
