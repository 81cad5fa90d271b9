"""A run folder on point clouds: train into it, resume it, load a trained model from it."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from jaxcalo.data import (
    CloudFile,
    PaddedClouds,
    open_cloud_loader,
    open_clouds,
    pad,
)
from jaxcalo.data.point_cloud import check_layers
from jaxcalo.errors import InputError
from jaxcalo.experiment.cloud_build import (
    CloudConstants,
    build_clouds,
    fit_clouds,
    no_cloud_constants,
)
from jaxcalo.experiment.cloud_config import CloudDiffusion, CloudExperiment, CloudGan
from jaxcalo.experiment.manifest import (
    FIT_CHUNK,
    manifest_record,
    resumed_manifest,
    trained_manifest,
)
from jaxcalo.experiment.record import from_record
from jaxcalo.experiment.run import Batches, check_teacher, restored
from jaxcalo.families import GenerativeModel, Sampling
from jaxcalo.geometry import Detector, load_geometry
from jaxcalo.preprocess import HitCalibration
from jaxcalo.training import Batch, Checkpoints, data_mesh
from jaxcalo.training import fit as fit_model
from jaxcalo.typing import Key, Params

HIT_CALIBRATION = "hit_calibration.json"
_VALIDATION_CLOUDS = 128


class TrainedClouds(NamedTuple):
    """What `load_cloud_run` gives: sample(key, params, (1,) E_inc in MeV) -> points (s, 4).

    Attributes:
        model: The physical model: rows [x_mm, y_mm, layer, energy_mev], zeros behind the points.
        params: Averaged parameters.
        constants: The fitted preprocessing.
        detector: The readout whose layers the points have.
        experiment: Its configuration.
        step: Steps trained.
        energy_range_mev: Smallest and largest incident energy it was trained on.
        hits: The hit calibration, if it has one.
    """

    model: GenerativeModel
    params: Params
    constants: CloudConstants
    detector: Detector
    experiment: CloudExperiment
    step: int
    energy_range_mev: tuple[float, float]
    hits: HitCalibration | None = None

    @property
    def max_points(self) -> int:
        """Points of the largest cloud that it makes."""
        return int(self.constants.max_points)


def train_clouds(
    experiment: CloudExperiment,
    folder: Path,
    *,
    mesh: Mesh | None = None,
    observe: Callable[[int, dict[str, float]], None] = lambda _step, _metrics: None,
    loop: Callable[..., Any] = fit_model,
) -> None:
    """Train into a run folder, or go on where it stopped.

    Args:
        experiment: What to train.
        folder: The run; created if absent.
        mesh: Devices; default all.
        observe: Called after each step, see `jaxcalo.training.fit`.
        loop: What is done with all of it, called as `jaxcalo.training.fit`.

    The share of padding in an epoch is written to the metrics beside the held-out numbers.

    Raises:
        InputError: Unusable data or teacher, or the folder holds a run of another configuration.
    """
    mesh = mesh or data_mesh()
    path = Path(experiment.data.path)
    teacher = _load_teacher(experiment, mesh)
    detector = load_geometry(experiment.data.geometry)
    with open_clouds(path) as file:
        n_train = file.n_showers - int(experiment.data.validation_fraction * file.n_showers)
        resumed_manifest(
            experiment, folder, path, lambda: _new_manifest(experiment, detector, file, n_train)
        )
        if teacher is None:
            constants = _constants(experiment, detector, folder, file, n_train)
        else:
            constants = teacher.constants
        last = min(file.n_showers, n_train + _VALIDATION_CLOUDS)
        held_out = file.read(n_train, last) if last > n_train else None
    loader_key, fit_key = jax.random.split(jax.random.key(experiment.seed))
    start = None if teacher is None else jax.device_get(teacher.params)
    built = build_clouds(experiment, detector, constants, start)
    loader = open_cloud_loader(
        loader_key,
        path,
        experiment.data.batch_size,
        stop=n_train,
        n_buckets=experiment.data.n_buckets,
        process_index=jax.process_index(),
        n_processes=jax.process_count(),
    )
    padded = None if held_out is None else pad(held_out, int(held_out.n_points.max()))

    def evaluate(key: Key, params: Params) -> dict[str, Any]:
        found = {} if padded is None else built.evaluate(key, params, padded)
        return found | {"padding_share": loader.padding_share}

    loop(
        fit_key,
        built.model.algorithm,
        Batches(loader),
        experiment.training,
        run=folder,
        mesh=mesh,
        constants=constants._asdict(),
        evaluate=evaluate,
        observe=observe,
    )


def load_cloud_run(
    folder: Path, *, mesh: Mesh | None = None, calibrated: bool = True
) -> TrainedClouds:
    """Load the newest checkpoint of a run on point clouds for sampling.

    Args:
        folder: The run.
        mesh: Devices; default all.
        calibrated: With its hit calibration, if it has one.

    Raises:
        InputError: The folder is not such a run, or its checkpoint is missing, foreign or damaged.
    """
    manifest, experiment = trained_manifest(folder)
    if not isinstance(experiment, CloudExperiment):
        raise InputError(
            f"{folder}: expected a run on point clouds, found one on showers of voxels; "
            "give another run"
        )
    detector = from_record(manifest["detector"])
    mesh = mesh or data_mesh()
    with Checkpoints(folder / "checkpoints") as checkpoints:
        like = no_cloud_constants(experiment, detector)._asdict()
        constants = CloudConstants(**checkpoints.restore_constants(like))
        model = build_clouds(experiment, detector, constants).model
        one = PaddedClouds(
            np.ones(1, np.float32), np.ones((1, 64, 4), np.float32), np.full(1, 64, np.int32)
        )
        batch = Batch(np.zeros(1, np.int32), one)
        like = jax.eval_shape(model.algorithm.init, jax.random.key(0), batch).ema
        params, step = checkpoints.restore_ema(like, mesh), checkpoints.latest_step
    energy_range = tuple(manifest["data"]["energy_range_mev"])
    trained = TrainedClouds(model, params, constants, detector, experiment, step or 0, energy_range)
    return with_hits(trained, _hits(folder, trained.step)) if calibrated else trained


def with_hits(trained: TrainedClouds, hits: HitCalibration | None) -> TrainedClouds:
    """The same model with a hit calibration, or without."""
    model = build_clouds(trained.experiment, trained.detector, trained.constants, hits=hits).model
    return trained._replace(model=model, hits=hits)


def with_cloud_sampling(trained: TrainedClouds, sampling: Sampling) -> TrainedClouds:
    """The same model, its points sampled in another way; not for a GAN, which has one way.

    Raises:
        InputError: The model cannot be sampled so.
    """
    old = trained.experiment.model
    if isinstance(old, CloudGan):
        raise InputError("expected a diffusion model of points, found a GAN; leave sampling out")
    experiment = dataclasses.replace(
        trained.experiment, model=dataclasses.replace(old, sampling=sampling)
    )
    return with_hits(trained._replace(experiment=experiment), trained.hits)


def _load_teacher(experiment: CloudExperiment, mesh: Mesh) -> TrainedClouds | None:
    own = experiment.model
    is_student = isinstance(own, CloudDiffusion) and own.few_steps is not None
    if experiment.teacher is None:
        if is_student:
            raise InputError(
                "a consistency model of clouds: expected a teacher, found none; "
                "make the student with jaxcalo distill"
            )
        return None
    trained = load_cloud_run(Path(experiment.teacher.run), mesh=mesh)
    check_teacher(experiment.teacher, trained.step)
    for field in ("points", "flow"):
        if getattr(experiment, field) != getattr(trained.experiment, field):
            raise InputError(
                f"--{field}: expected the teacher's for its student, found another; "
                f"leave the fields of {field} as they are"
            )
    model = trained.experiment.model
    for field in ("net", "diffusion"):
        if getattr(own, field, None) != getattr(model, field, None):
            raise InputError(
                f"--model.{field}: expected the teacher's for its student, found another; "
                f"leave the fields of {field} as they are"
            )
    return trained


def _hits(folder: Path, step: int) -> HitCalibration | None:
    """What `jaxcalo calibrate` wrote into the folder for the model as it is now."""
    path = folder / HIT_CALIBRATION
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        hits = HitCalibration(*(np.asarray(record[name], float) for name in HitCalibration._fields))
        trained_steps = record["trained_steps"]
        if any(cubic.shape != (4,) or not np.isfinite(cubic).all() for cubic in hits):
            raise ValueError("no two cubics")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: expected a hit calibration, found something else ({error}); "
            "make it anew with jaxcalo calibrate"
        ) from error
    if trained_steps != step:
        raise InputError(
            f"{path}: expected the hit calibration after {step} steps, found one after "
            f"{trained_steps}; make it anew with jaxcalo calibrate"
        )
    return hits


def _new_manifest(
    experiment: CloudExperiment, detector: Detector, file: CloudFile, n_train: int
) -> dict[str, Any]:
    energies = []
    for start in range(0, n_train, FIT_CHUNK):
        clouds = file.read(start, min(start + FIT_CHUNK, n_train))
        check_layers(clouds, detector, str(file.path), start)
        energies.append(clouds.incident_energy_mev)
    energy = np.concatenate(energies)
    energy_range = float(energy.min()), float(energy.max())
    return manifest_record(experiment, detector, file.path, file.n_showers, energy_range)


def _constants(
    experiment: CloudExperiment, detector: Detector, folder: Path, file: CloudFile, n_train: int
) -> CloudConstants:
    known = restored(folder, no_cloud_constants(experiment, detector)._asdict())
    if known is not None:
        return CloudConstants(**known)
    return fit_clouds(experiment, detector, file, n_train)
