"""A run folder: train into it, resume it, load a trained model from it."""

import dataclasses
import hashlib
import json
import os
import platform
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxcalo.data import (
    Loader,
    ShowerFile,
    Showers,
    open_loader,
    open_showers,
    prefetch,
    sample_path,
)
from jaxcalo.data.samples import SAMPLES
from jaxcalo.errors import InputError
from jaxcalo.experiment.build import build, in_mev
from jaxcalo.experiment.config import Experiment
from jaxcalo.experiment.record import differences, from_record, to_record
from jaxcalo.families import GenerativeModel, Sampling, evaluate_diffusion
from jaxcalo.geometry import Detector, load_geometry
from jaxcalo.preprocess import Constants, fit, prepare
from jaxcalo.training import Batch, Checkpoints, data_mesh
from jaxcalo.training import fit as fit_model
from jaxcalo.typing import Params

_MANIFEST = "manifest.json"
_FORMAT = 1
_VALIDATION_SHOWERS = 256
_FIT_CHUNK = 1024


class TrainedModel(NamedTuple):
    """What `load_run` gives: sample(key, params, [E_inc in MeV]) -> voxels in MeV.

    Attributes:
        model: The physical model: conditions and events are in MeV.
        params: Averaged parameters.
        detector: Its geometry, with the threshold used.
        experiment: Its configuration.
        step: Steps trained.
        energy_range_mev: Smallest and largest incident energy it was trained on.
    """

    model: GenerativeModel
    params: Params
    detector: Detector
    experiment: Experiment
    step: int
    energy_range_mev: tuple[float, float]


def resolve_data(path: str) -> Path:
    """A path as it is, or the shipped sample of that name."""
    return sample_path(path) if path in SAMPLES and not Path(path).exists() else Path(path)


def train(
    experiment: Experiment,
    folder: Path,
    *,
    mesh: Mesh | None = None,
    observe: Callable[[int, dict[str, float]], None] = lambda _step, _metrics: None,
) -> None:
    """Train into a run folder, or go on where it stopped.

    Args:
        experiment: What to train.
        folder: The run; created if absent.
        mesh: Devices; default all.
        observe: Called after each step, see `jaxcalo.training.fit`.

    Raises:
        InputError: Unusable data, or the folder holds a run of another configuration.
    """
    mesh = mesh or data_mesh()
    path = resolve_data(experiment.data.path)
    detector = load_geometry(experiment.data.geometry, experiment.data.particle)
    with open_showers(path, detector) as file:
        n_train = _n_train(experiment, file)
        manifest = _manifest(experiment, folder)
        if manifest is None:
            manifest = _new_manifest(experiment, detector, file, n_train)
            _write_json(folder / _MANIFEST, manifest)
        elif manifest["data"]["sha256"] != _sha256(path):
            raise InputError(
                f"{folder}: expected the data file this run was trained on "
                f"(SHA-256 {manifest['data']['sha256'][:12]}...), "
                f"found another content in {path}; use that file or another --out"
            )
        detector = from_record(manifest["detector"])
        constants = _constants(experiment, detector, folder, file, n_train)
        held_out = file.read(n_train, min(file.n_showers, n_train + _VALIDATION_SHOWERS))
    key = jax.random.key(experiment.seed)
    loader_key, fit_key = jax.random.split(key)
    net, encode, model = build(experiment, detector, constants)
    evaluate = evaluate_diffusion(net, experiment.diffusion, encode=encode)
    with open_loader(
        loader_key,
        path,
        experiment.data.batch_size,
        detector=detector,
        stop=n_train,
        process_index=jax.process_index(),
        n_processes=jax.process_count(),
    ) as loader:
        fit_model(
            fit_key,
            model.algorithm,
            _Batches(loader),
            experiment.training,
            run=folder,
            mesh=mesh,
            constants=constants._asdict(),
            evaluate=(lambda key, params: evaluate(key, params, held_out))
            if len(held_out[0])
            else None,
            observe=observe,
        )


def load_run(
    folder: Path, *, sampling: Sampling | None = None, mesh: Mesh | None = None
) -> TrainedModel:
    """Load the newest checkpoint of a run for sampling.

    Args:
        folder: The run.
        sampling: How to sample; default what the run says.
        mesh: Devices; default all.

    Raises:
        InputError: The folder is not a run, or its checkpoint is missing, foreign or damaged.
    """
    manifest = _read_manifest(folder)
    if manifest is None:
        raise InputError(
            f"{folder}: expected a run folder with {_MANIFEST}, found none; "
            "make one with jaxcalo train"
        )
    experiment = from_record(manifest["experiment"])
    if sampling is not None:
        experiment = dataclasses.replace(experiment, sampling=sampling)
    detector = from_record(manifest["detector"])
    if not (folder / "checkpoints").is_dir():
        raise InputError(
            f"{folder}: expected a checkpoint, found none; train the run first (jaxcalo train)"
        )
    mesh = mesh or data_mesh()
    with Checkpoints(folder / "checkpoints") as checkpoints:
        constants = Constants(
            **checkpoints.restore_constants(_no_constants(experiment, detector)._asdict())
        )
        _, _, model = build(experiment, detector, constants)
        batch = Batch(jnp.zeros(1, jnp.int32), _one_shower(detector))
        like = jax.eval_shape(model.algorithm.init, jax.random.key(0), batch).ema
        params, step = checkpoints.restore_ema(like, mesh), checkpoints.latest_step
    physical = in_mev(model, prepare(experiment.preprocess, detector, constants))
    low, high = manifest["data"]["energy_range_mev"]
    return TrainedModel(physical, params, detector, experiment, step or 0, (low, high))


class _Batches:
    """The loader's showers with their places in the global batch."""

    def __init__(self, loader: Loader):
        self._loader = loader
        share = loader.batch_size // loader.n_processes
        self._index = np.arange(share, dtype=np.int32) + loader.process_index * share

    def prefetch(self, start: int, stop: int) -> Iterator[Batch]:
        return (Batch(self._index, showers) for showers in prefetch(self._loader, start, stop))


def _n_train(experiment: Experiment, file: ShowerFile) -> int:
    return file.n_showers - int(experiment.data.validation_fraction * file.n_showers)


def _constants(
    experiment: Experiment, detector: Detector, folder: Path, file: ShowerFile, n_train: int
) -> Constants:
    with Checkpoints(folder / "checkpoints") as checkpoints:
        if checkpoints.latest_step is not None:
            like = _no_constants(experiment, detector)._asdict()
            return Constants(**checkpoints.restore_constants(like))
    starts = range(0, n_train, _FIT_CHUNK)
    chunks = (file.read(start, min(start + _FIT_CHUNK, n_train)) for start in starts)
    return fit(experiment.preprocess, detector, chunks)


def _no_constants(experiment: Experiment, detector: Detector) -> Constants:
    size = experiment.preprocess.n_layer_energies(detector) + detector.n_voxels
    return Constants(*(np.zeros(shape, np.float32) for shape in (size, size, (), ())))


def _one_shower(detector: Detector) -> Showers:
    return Showers(np.ones(1, np.float32), np.ones((1, detector.n_voxels), np.float32))


def _manifest(experiment: Experiment, folder: Path) -> dict[str, Any] | None:
    """The folder's manifest if it holds a run of this experiment, None if it holds nothing."""
    manifest = _read_manifest(folder)
    if manifest is None:
        return None
    changed = differences(manifest["experiment"], json.loads(json.dumps(to_record(experiment))))
    if changed:
        raise InputError(
            f"{folder}: expected the configuration this run was started with, found other values "
            f"({'; '.join(changed)}); give the old values to resume it, "
            "or another --out to start anew"
        )
    return manifest


def _new_manifest(
    experiment: Experiment, detector: Detector, file: ShowerFile, n_train: int
) -> dict[str, Any]:
    energies, smallest = [], np.inf
    for start in range(0, n_train, _FIT_CHUNK):
        showers = file.read(start, min(start + _FIT_CHUNK, n_train))
        energies.append(showers.incident_energy_mev)
        positive = showers.voxel_energy_mev[showers.voxel_energy_mev > 0.0]
        smallest = min(smallest, float(positive.min())) if positive.size else smallest
    if not np.isfinite(smallest):
        raise InputError(
            f"{file.path}: expected showers with energy in some voxel, found only empty ones"
        )
    energy = np.concatenate(energies)
    if detector.threshold_mev == 0.0:
        detector = dataclasses.replace(detector, threshold_mev=smallest)
    packages = ("jaxcalo", "jax", "flax", "optax", "orbax-checkpoint", "numpy")
    return {
        "format": _FORMAT,
        "experiment": to_record(experiment),
        "detector": to_record(detector),
        "data": {
            "path": str(file.path),
            "sha256": _sha256(file.path),
            "n_showers": file.n_showers,
            "energy_range_mev": [float(energy.min()), float(energy.max())],
        },
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in packages},
        },
        "devices": [str(device.device_kind) for device in jax.devices()],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _read_manifest(folder: Path) -> dict[str, Any] | None:
    path = folder / _MANIFEST
    if not path.exists():
        return None
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        found = manifest["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: expected the manifest of a run, found something else ({error})"
        ) from error
    if found != _FORMAT:
        raise InputError(
            f"{path}: expected manifest format {_FORMAT}, found {found}; "
            "use the jaxcalo that wrote it"
        )
    return manifest


def _write_json(path: Path, value: dict[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".partial")
        temporary.write_text(json.dumps(value, indent=2), encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror}); choose another --out"
        ) from error


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
