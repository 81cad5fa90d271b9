"""The loop: exact resume, signals, non-finite losses."""

import json
import os
import signal
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcalo.errors import InputError
from jaxcalo.training import (
    Batch,
    CheckpointPlan,
    Checkpoints,
    Interrupted,
    NonFiniteLossError,
    RunLog,
    TrainingPlan,
    data_mesh,
    fit,
    minimise,
    read_metrics,
)

MESH = data_mesh(jax.devices()[:1])
PLAN = TrainingPlan(n_steps=12, log_every=4, checkpoints=CheckpointPlan(every=3, keep=2))


class Numbers:
    """Batches as a function of the step; `at` is called with each step."""

    def __init__(self, at=lambda step: None, poison=None):
        self.at, self.poison = at, poison

    def prefetch(self, start, stop):
        for step in range(start, stop):
            self.at(step)
            x = np.asarray(jax.random.normal(jax.random.key(step), (8, 3)))
            if step == self.poison:
                x = x * np.nan
            yield Batch(np.arange(8, dtype=np.int32), x)


def algorithm():
    def loss_fn(key, params, batch):
        noise = jax.random.normal(key, batch.data.shape)
        return jnp.mean((batch.data @ params["w"] - noise) ** 2), {}

    return minimise(
        lambda key, _: {"w": jax.random.normal(key, (3, 3))}, loss_fn, optax.adamw(1e-2), 0.9
    )


def run(folder, batches=None, plan=PLAN, **kwargs):
    state = fit(
        jax.random.key(0), algorithm(), batches or Numbers(), plan, run=folder, mesh=MESH, **kwargs
    )
    return jax.device_get(state)


def assert_equal_to_the_bit(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("stop", [1, 5, 10])
def test_interrupted_run_resumes_to_the_bit(tmp_path, stop):
    whole = run(tmp_path / "whole")

    def interrupt(step):
        if step == stop:
            os.kill(os.getpid(), signal.SIGTERM)

    (tmp_path / "broken").mkdir()
    with pytest.raises(Interrupted) as caught:
        run(tmp_path / "broken", Numbers(at=interrupt))
    assert caught.value.step == stop + 1
    assert_equal_to_the_bit(whole, run(tmp_path / "broken"))
    strip = [[r["step"], r["loss"]] for r in read_metrics(tmp_path / "whole" / "metrics.jsonl")]
    again = [[r["step"], r["loss"]] for r in read_metrics(tmp_path / "broken" / "metrics.jsonl")]
    assert [step for step, _ in again] == [step for step, _ in strip]


def test_resume_on_another_number_of_devices(tmp_path):
    whole = run(tmp_path / "whole")
    short = TrainingPlan(n_steps=6, log_every=4, checkpoints=PLAN.checkpoints)
    run(tmp_path / "moved", plan=short)
    eight = data_mesh(jax.devices()[:8])
    state = fit(jax.random.key(0), algorithm(), Numbers(), PLAN, run=tmp_path / "moved", mesh=eight)
    # The noise of this toy loss is drawn for a device's rows, so only the restored state can agree.
    assert int(state.step) == int(whole.step)
    assert len(jax.tree.leaves(state.params)[0].sharding.device_set) == 8


def test_finished_run_is_left_alone(tmp_path):
    first = run(tmp_path)
    before = (tmp_path / "metrics.jsonl").read_bytes()

    def fail(step):
        assert step == 0, "a finished run must not train"

    assert_equal_to_the_bit(first, run(tmp_path, Numbers(at=fail)))
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def test_non_finite_loss_stops_and_keeps_the_last_good_checkpoint(tmp_path):
    with pytest.raises(NonFiniteLossError, match="expected a finite loss"):
        run(tmp_path, Numbers(poison=7))
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.latest_step == 6
        state = checkpoints.restore_state(run(tmp_path / "like"), MESH)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))


def test_log_has_every_window_and_the_evaluation(tmp_path):
    seen = []
    run(
        tmp_path,
        evaluate=lambda key, params: {"norm": jnp.sum(params["w"] ** 2)},
        observe=lambda step, metrics: seen.append(step),
    )
    records = read_metrics(tmp_path / "metrics.jsonl")
    assert [r["step"] for r in records] == [4, 8, 12, 12]
    assert "norm" in records[-1]
    assert seen == list(range(1, 13))


class Late(Numbers):
    """Batches that come late: the devices have long been done."""

    def prefetch(self, start, stop):
        for batch in super().prefetch(start, stop):
            time.sleep(0.2)
            yield batch


def test_waiting_for_data_is_reported(tmp_path):
    shown = []
    run(tmp_path, Late(), observe=lambda step, metrics: shown.append(metrics.get("data_wait")))
    records = read_metrics(tmp_path / "metrics.jsonl")[1:]  # the first has the compilation
    for record in records:
        assert record["data_wait"] * record["seconds_per_step"] == pytest.approx(0.2, rel=0.5)
        assert 0.5 < record["data_wait"] <= 1
    assert shown[3] is None
    assert shown[-1] == records[0]["data_wait"]


def test_data_that_come_while_the_devices_work_are_no_wait(tmp_path):
    @jax.jit
    def work(n):
        return jax.lax.fori_loop(0, n, lambda _, x: jnp.sin(x @ x), jnp.ones((256, 256)))

    work(1).block_until_ready()
    began = time.monotonic()
    work(50).block_until_ready()
    n = int(50 * 0.1 / (time.monotonic() - began))  # a tenth of a second on any machine

    def loss_fn(key, params, batch):
        x = work(n)
        return jnp.mean((batch.data @ params["w"]) ** 2) + 1e-9 * x.mean(), {}

    busy = minimise(lambda key, _: {"w": jnp.ones((3, 3))}, loss_fn, optax.adamw(1e-2), 0.9)

    class Prompt:
        def prefetch(self, start, stop):
            for _ in range(start, stop):
                time.sleep(0.01)
                yield Batch(np.arange(8, dtype=np.int32), np.ones((8, 3), np.float32))

    fit(jax.random.key(0), busy, Prompt(), PLAN, run=tmp_path, mesh=MESH)
    for record in read_metrics(tmp_path / "metrics.jsonl")[1:]:
        # Of four steps one comes after the log's line, when the device was done.
        assert record["seconds_per_step"] > 0.05
        assert record["data_wait"] < 0.15


def test_log_is_strict_json_and_survives_a_cut_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    RunLog(path).write({"step": 1, "loss": float("nan"), "levels": np.array([1.0, np.inf])})
    assert json.loads(path.read_text()) == {"step": 1, "loss": None, "levels": [1.0, None]}
    path.write_text(path.read_text() + '{"step": 2, "lo')
    assert [r["step"] for r in read_metrics(path)] == [1]


def test_foreign_checkpoint_is_refused(tmp_path):
    run(tmp_path)
    other = minimise(
        lambda key, _: {"other": jnp.zeros(7)},
        lambda key, params, batch: (jnp.sum(params["other"]), {}),
        optax.adamw(1e-2),
        0.9,
    )
    with pytest.raises(InputError, match="another recipe or is damaged"):
        fit(jax.random.key(0), other, Numbers(), PLAN, run=tmp_path, mesh=MESH)


def test_empty_checkpoint_folder(tmp_path):
    with (
        Checkpoints(tmp_path / "checkpoints") as checkpoints,
        pytest.raises(InputError, match="expected a checkpoint, found none"),
    ):
        checkpoints.restore_ema({"w": jnp.zeros(3)}, MESH)
