"""The training step of a recipe, timed: exactly what `jaxcalo train` would do, without the run."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh

from jaxcalo.experiment.any_run import AnyExperiment, train_any
from jaxcalo.experiment.clock import Elapsed, median, repeated
from jaxcalo.experiment.compiled import compiled_anew
from jaxcalo.experiment.flops import count_flops
from jaxcalo.experiment.peak import Peak, rates
from jaxcalo.experiment.throughput import check_devices
from jaxcalo.training import Algorithm, Batch, data_mesh, init_state, map_step, shard_batch
from jaxcalo.training.loop import BatchSource
from jaxcalo.typing import Key

_Found = TypeVar("_Found")


class TimedStep(NamedTuple):
    """What a training step costs.

    Attributes:
        batch_size: Events of a step, over all devices.
        n_devices: That share them.
        time: Of a step.
        compile_s: Of tracing and compiling, apart, s.
        flops: On all devices: network forward and backward, and what else the loss computes.
        planned_bytes: Memory of the program on all devices, as XLA plans it.
    """

    batch_size: int
    n_devices: int
    time: Elapsed
    compile_s: float
    flops: int
    planned_bytes: int | None

    def to_json(self, peak: Peak) -> dict[str, Any]:
        """As a record, with rates."""
        return {
            "batch_size": self.batch_size,
            "n_devices": self.n_devices,
            "steps_per_s": 1.0 / self.time.wall_s,
            "events_per_s": self.batch_size / self.time.wall_s,
            "cpu_ms_per_event": 1e3 * self.time.cpu_s / self.batch_size,
            **rates(self.flops, self.time, peak, self.n_devices),
            "compile_s": self.compile_s,
            "planned_bytes": self.planned_bytes,
        }


def with_training(
    experiment: AnyExperiment, use: Callable[[Key, Algorithm, BatchSource], _Found]
) -> _Found:
    """Call a function with what `jaxcalo train` would train: key, algorithm and batches.

    Raises:
        InputError: As of `train_any`.
    """
    found: list[_Found] = []

    def loop(key: Key, algorithm: Algorithm, batches: BatchSource, *_: Any, **__: Any) -> None:
        found.append(use(key, algorithm, batches))

    with tempfile.TemporaryDirectory() as folder:
        train_any(experiment, Path(folder) / "run", loop=loop)
    return found[0]


def time_step(
    key: Key, algorithm: Algorithm, batch: Batch, mesh: Mesh, n_repeats: int
) -> TimedStep:
    """Time the step on one batch, which stays on the devices.

    Raises:
        InputError: The devices do not divide the batch.
    """
    state, on_devices = init_state(algorithm, key, batch, mesh), shard_batch(batch, mesh)
    step = map_step(algorithm, mesh)
    flops = mesh.size * count_flops(step, key, state, on_devices)
    program = compiled_anew(step, key, state, on_devices, n_devices=mesh.size)

    def call() -> Any:
        nonlocal state
        state, metrics = program.compiled(key, state, on_devices)
        return metrics

    time = median(repeated(call, n_repeats))
    n_events = len(batch.index)
    return TimedStep(n_events, mesh.size, time, program.compile_s, flops, program.planned_bytes)


def resized(batch: Batch, n: int) -> Batch:
    """A batch of n events: those of the given one, again from the first where they do not reach."""
    rows = np.arange(n, dtype=np.int32)
    taken = rows % len(batch.index)
    return Batch(rows, jax.tree.map(lambda column: np.asarray(column)[taken], batch.data))


def training_throughput(
    experiment: AnyExperiment, peak: Peak, *, batch_sizes: Sequence[int], n_repeats: int
) -> list[dict[str, Any]]:
    """Time a recipe's training step at several batch sizes on all devices."""

    def use(key: Key, algorithm: Algorithm, batches: BatchSource) -> list[dict[str, Any]]:
        first = next(iter(batches.prefetch(0, 1)))
        steps = (
            time_step(key, algorithm, resized(first, n), data_mesh(), n_repeats)
            for n in batch_sizes
        )
        return [{"part": "training step", **step.to_json(peak)} for step in steps]

    return with_training(experiment, use)


def training_scaling(
    experiment: AnyExperiment,
    peak: Peak,
    *,
    devices: Sequence[int],
    batch_per_device: int | None,
    n_repeats: int,
) -> list[dict[str, Any]]:
    """Time a recipe's training step on several numbers of devices, each with as many events.

        efficiency = events/s on n devices / (n  events/s on one)

    Args:
        experiment: What to train.
        peak: Of one device.
        devices: Numbers of them; one is always measured, against which the others are held.
        batch_per_device: Events of a step on one device; default the recipe's batch.
        n_repeats: Of each number.

    Raises:
        InputError: There are not as many devices.
    """
    counts = sorted({1, *check_devices(devices)})

    def use(key: Key, algorithm: Algorithm, batches: BatchSource) -> Iterator[dict[str, Any]]:
        first = next(iter(batches.prefetch(0, 1)))
        share = batch_per_device or len(first.index)
        of_cpu = True if peak.gflops_per_cpu_s is not None else None
        one = None
        for n in counts:
            mesh = data_mesh(jax.devices()[:n])
            step = time_step(key, algorithm, resized(first, n * share), mesh, n_repeats)
            one = one or step
            yield step.to_json(peak) | {
                "efficiency": one.time.wall_s / step.time.wall_s,
                "cpu_efficiency": of_cpu and n * one.time.cpu_s / step.time.cpu_s,
            }

    return with_training(experiment, lambda *parts: list(use(*parts)))
