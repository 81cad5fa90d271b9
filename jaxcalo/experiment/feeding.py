"""Does the data keep up? Rates of reading, preprocessing and feeding, and how long steps wait."""

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax
import numpy as np

from jaxcalo.data import open_showers
from jaxcalo.experiment.any_run import AnyExperiment, train_any
from jaxcalo.experiment.clock import Elapsed, median, repeated
from jaxcalo.experiment.config import Experiment
from jaxcalo.experiment.family_config import FamilyExperiment
from jaxcalo.experiment.run import resolve_data
from jaxcalo.experiment.timed_step import with_training
from jaxcalo.geometry import Detector, load_geometry
from jaxcalo.preprocess import fit, prepare
from jaxcalo.training import Algorithm, data_mesh, read_metrics, shard_batch
from jaxcalo.training import fit as fit_model
from jaxcalo.training.loop import BatchSource
from jaxcalo.typing import Key

_CHUNK = 4096  # chosen: showers read at once
_BATCHES = 50  # chosen: batches that are fed
_WINDOWS = 5  # chosen: windows of the training; the first, with its compilation, does not count


def reading_rate(path: Path, detector: Detector | None = None) -> dict[str, Any]:
    """Read and check a whole shower file: showers/s, and MB/s of what is in memory then."""
    cpu, wall = time.process_time(), time.perf_counter()
    with open_showers(path, detector) as file:
        n_bytes = sum(part.voxel_energy_mev.nbytes for part in file.chunks(_CHUNK))
        n_showers = file.n_showers
    spent = Elapsed(time.perf_counter() - wall, time.process_time() - cpu)
    return _row("reading", n_showers, spent) | {"mb_per_s": 1e-6 * n_bytes / spent.wall_s}


def input_rates(experiment: AnyExperiment, *, n_repeats: int) -> Iterator[dict[str, Any]]:
    """Time what lies before a training step, without the step.

    Reading and preprocessing (of one batch, compiled) are timed of showers of voxels; feeding, from
    the loader's memory to the devices, of every kind.

    Raises:
        InputError: The data cannot be used.
    """
    if isinstance(experiment, Experiment | FamilyExperiment):
        path = resolve_data(experiment.data.path)
        detector = load_geometry(experiment.data.geometry, experiment.data.particle)
        yield reading_rate(path, detector)
        yield _preprocessing(experiment, path, detector, n_repeats)

    def feed(_key: Key, _algorithm: Algorithm, batches: BatchSource) -> dict[str, Any]:
        mesh, n_events = data_mesh(), 0
        cpu, wall = time.process_time(), time.perf_counter()
        for batch in batches.prefetch(0, _BATCHES):
            jax.block_until_ready(shard_batch(batch, mesh))
            n_events += len(batch.index)
        spent = Elapsed(time.perf_counter() - wall, time.process_time() - cpu)
        return _row("feeding", n_events, spent)

    yield with_training(experiment, feed)


def training_wait(experiment: AnyExperiment, n_steps: int) -> dict[str, Any]:
    """Train for some steps, in a folder that is removed: the share of the time spent waiting.

    See `jaxcalo.training.fit` for what counts as waiting. A fifth of the steps, at the beginning,
    does not count: the step is compiled in it.

    Raises:
        InputError: The data cannot be used.
    """
    every = max(1, n_steps // _WINDOWS)
    plan = dataclasses.replace(
        experiment.training, n_steps=_WINDOWS * every, log_every=every, evaluate_every=0
    )
    experiment = dataclasses.replace(experiment, training=plan)

    def loop(*args: Any, evaluate: Any, **kwargs: Any) -> None:
        del evaluate  # would be compiled
        fit_model(*args, **kwargs)

    with TemporaryDirectory() as folder:
        train_any(experiment, Path(folder) / "run", loop=loop)
        lines = read_metrics(Path(folder) / "run" / "metrics.jsonl")[1:]
    seconds = np.asarray([line["seconds_per_step"] for line in lines])
    waits = np.asarray([line["data_wait"] for line in lines])
    return {
        "part": "training",
        "n_steps": every * len(lines),
        "seconds_per_step": float(seconds.mean()),
        "data_wait": float((waits * seconds).sum() / seconds.sum()),
    }


def _preprocessing(
    experiment: Experiment | FamilyExperiment, path: Path, detector: Detector, n_repeats: int
) -> dict[str, Any]:
    with open_showers(path, detector) as file:
        energy, voxels = file.read(0, min(file.n_showers, experiment.data.batch_size))[:2]
    constants = fit(experiment.preprocess, detector, [(energy, voxels)])
    transform = prepare(experiment.preprocess, detector, constants).transform
    forward, on_device = jax.jit(jax.vmap(transform.forward)), jax.device_put((voxels, energy))
    spent = median(repeated(lambda: forward(*on_device), n_repeats))
    return _row("preprocessing", len(energy), spent)


def _row(part: str, n_events: int, spent: Elapsed) -> dict[str, Any]:
    return {
        "part": part,
        "n_events": n_events,
        "events_per_s": n_events / spent.wall_s,
        "cpu_ms_per_event": 1e3 * spent.cpu_s / n_events,
    }
