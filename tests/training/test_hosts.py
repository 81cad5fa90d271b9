"""Two processes train as one does, and a run goes on with any number of devices."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import two_processes as worker

from jaxcalo.training import Checkpoints, data_mesh, read_metrics

STOP = 4


def together(folder, stop=(0, 0)):
    """Exit codes of two processes of one device each."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    told = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}
    processes = [
        subprocess.Popen(
            [sys.executable, Path(worker.__file__), folder, str(stop[i])],
            env=os.environ | told | {"JAX_PROCESS_ID": str(i), "JAX_NUM_CPU_DEVICES": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(2)
    ]
    said = [process.communicate(timeout=200)[1] for process in processes]
    return [process.returncode for process in processes], said


def saved(folder, mesh, like):
    with Checkpoints(folder / "checkpoints") as checkpoints:
        constants = checkpoints.restore_constants({"mean": np.zeros(3, np.float32)})
        np.testing.assert_array_equal(constants["mean"], [0, 1, 2])
        return checkpoints.restore_state(like, mesh)


def assert_equal_to_the_bit(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, jax.device_get(b))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The state after an unbroken training of one process with two devices, and its folder."""
    folder = tmp_path_factory.mktemp("whole")
    return worker.train(folder, jax.devices()[:2]), folder


def test_two_processes_train_as_one_process_with_two_devices(whole, tmp_path):
    """One is told to stop at a step between two lines of the log: both stop at the next line."""
    codes, said = together(tmp_path, stop=(0, STOP))
    assert codes == [6, 6], said
    assert [r["step"] for r in read_metrics(tmp_path / "metrics.jsonl")] == [3, 6]
    state, folder = whole
    # One process goes on where two stopped; nothing is rounded otherwise.
    assert_equal_to_the_bit(worker.train(tmp_path, jax.devices()[:2]), state)
    logs = [read_metrics(path / "metrics.jsonl") for path in (tmp_path, folder)]
    assert len(logs[0]) == 5  # four means and an evaluation
    assert [r.get("loss") for r in logs[0]] == [r.get("loss") for r in logs[1]]


@pytest.mark.slow
def test_two_processes_reach_the_end(whole, tmp_path):
    codes, said = together(tmp_path)
    assert codes == [0, 0], said
    assert len(read_metrics(tmp_path / "metrics.jsonl")) == 5
    assert_equal_to_the_bit(saved(tmp_path, data_mesh(jax.devices()[:1]), whole[0]), whole[0])


@pytest.mark.parametrize("n_devices", [1, 4])
def test_run_of_eight_devices_goes_on_with_fewer(n_devices, whole, tmp_path):
    half = worker.train(tmp_path, jax.devices()[:8], n_steps=6)
    fewer = jax.devices()[:n_devices]
    restored = saved(tmp_path, data_mesh(fewer), half)
    assert_equal_to_the_bit(half, restored)
    assert len(restored.params["w"].sharding.device_set) == n_devices
    state = worker.train(tmp_path, fewer)
    assert int(state.step) == worker.N_STEPS
    # Means over the batch are summed in another order.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), state, whole[0]
    )
