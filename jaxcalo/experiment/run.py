"""A run folder: train into it, resume it, load a trained model from it."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxcalo.data import (
    CloudLoader,
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
from jaxcalo.experiment.config import Experiment, Teacher
from jaxcalo.experiment.family_config import FamilyExperiment
from jaxcalo.experiment.manifest import (
    FIT_CHUNK,
    new_manifest,
    resumed_manifest,
    trained_manifest,
)
from jaxcalo.experiment.record import from_record
from jaxcalo.experiment.vector_families import WholeDataFamily
from jaxcalo.families import (
    ConsistencyDistillation,
    GenerativeModel,
    ProgressiveDistillation,
)
from jaxcalo.geometry import Detector, load_geometry
from jaxcalo.preprocess import (
    Condition,
    Constants,
    TrainingDomain,
    fit,
    n_condition_columns,
    prepare,
)
from jaxcalo.training import Batch, Checkpoints, data_mesh
from jaxcalo.training import fit as fit_model
from jaxcalo.typing import Params

_VALIDATION_SHOWERS = 256

_OnVoxels = Experiment | FamilyExperiment


class TrainedModel(NamedTuple):
    """What `load_run` gives: sample(key, params, raw condition) -> voxels in MeV.

    A raw condition is [E_inc in MeV, further conditions as in the file].

    Attributes:
        model: The physical model: conditions and events are in MeV.
        params: Averaged parameters.
        constants: Its fitted preprocessing.
        detector: Its geometry, with the threshold used.
        experiment: Its configuration.
        step: Steps trained.
        energy_range_mev: Smallest and largest incident energy it was trained on.
        conditions: What it is conditioned on beside the energy, fitted.
        domain: What it was trained on, if it has such conditions.
    """

    model: GenerativeModel
    params: Params
    constants: Constants
    detector: Detector
    experiment: Experiment
    step: int
    energy_range_mev: tuple[float, float]
    conditions: tuple[Condition, ...] = ()
    domain: TrainingDomain | None = None


class TrainedFamily(NamedTuple):
    """`TrainedModel` of a family beside diffusion, what `load_family_run` gives.

    Attributes:
        model: The physical model: conditions and events are in MeV.
        params: Averaged parameters.
        constants: Its fitted preprocessing.
        detector: Its geometry, with the threshold used.
        experiment: Its configuration.
        step: Steps trained.
        energy_range_mev: Smallest and largest incident energy it was trained on.
        conditions: What it is conditioned on beside the energy, fitted.
        domain: What it was trained on, if it has such conditions.
    """

    model: GenerativeModel
    params: Params
    constants: Constants
    detector: Detector
    experiment: FamilyExperiment
    step: int
    energy_range_mev: tuple[float, float]
    conditions: tuple[Condition, ...] = ()
    domain: TrainingDomain | None = None


def resolve_data(path: str) -> Path:
    """A path as it is, or the shipped sample of that name."""
    return sample_path(path) if path in SAMPLES and not Path(path).exists() else Path(path)


def train(
    experiment: _OnVoxels,
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

    Raises:
        InputError: Unusable data or teacher, or the folder holds a run of another configuration.
    """
    mesh = mesh or data_mesh()
    path = resolve_data(experiment.data.path)
    teacher = _load_teacher(experiment, mesh) if isinstance(experiment, Experiment) else None
    if teacher is None:
        detector = load_geometry(experiment.data.geometry, experiment.data.particle)
    else:
        detector = teacher.detector
    with open_showers(path, detector, experiment.data.conditions) as file:
        n_train = _n_train(experiment, file)
        known = None if teacher is None else teacher.conditions
        manifest = resumed_manifest(
            experiment,
            folder,
            path,
            lambda: (
                new_manifest(experiment, detector, file, n_train, known)
                | {"batch_size": batch_size(experiment, experiment.data.batch_size, n_train, mesh)}
            ),
        )
        detector, conditions = from_record(manifest["detector"]), _conditions(manifest)
        if teacher is None:
            constants = _constants(experiment, detector, folder, file, n_train)
        else:
            constants = teacher.constants
        held_out = file.read(n_train, min(file.n_showers, n_train + _VALIDATION_SHOWERS))
    key = jax.random.key(experiment.seed)
    loader_key, fit_key = jax.random.split(key)
    start = None if teacher is None else jax.device_get(teacher.params)
    built = build(experiment, detector, constants, start, conditions)
    evaluate = built.evaluate if len(held_out[0]) > 0 else None
    with open_loader(
        loader_key,
        path,
        manifest.get("batch_size", experiment.data.batch_size),
        detector=detector,
        conditions=experiment.data.conditions,
        stop=n_train,
        process_index=jax.process_index(),
        n_processes=jax.process_count(),
    ) as loader:
        loop(
            fit_key,
            built.model.algorithm,
            Batches(loader),
            experiment.training,
            run=folder,
            mesh=mesh,
            constants=constants._asdict(),
            evaluate=evaluate and (lambda key, params: evaluate(key, params, held_out)),
            observe=observe,
        )


def load_run(folder: Path, *, mesh: Mesh | None = None) -> TrainedModel:
    """Load the newest checkpoint of a run for sampling.

    Args:
        folder: The run.
        mesh: Devices; default all.

    Raises:
        InputError: The folder is not a run, or its checkpoint is missing, foreign or damaged.
    """
    manifest, experiment = trained_manifest(folder)
    if not isinstance(experiment, Experiment):
        raise InputError(
            f"{folder}: expected a run of diffusion on showers of voxels, found a "
            f"{type(experiment).__name__}, for which this command has no meaning; give another run"
        )
    return TrainedModel(*_restored(folder, manifest, experiment, mesh))


def load_family_run(folder: Path, *, mesh: Mesh | None = None) -> TrainedFamily:
    """`load_run` for the families beside diffusion.

    Raises:
        InputError: The folder is not such a run, or its checkpoint is missing, foreign or damaged.
    """
    manifest, experiment = trained_manifest(folder)
    if not isinstance(experiment, FamilyExperiment):
        raise InputError(
            f"{folder}: expected a run of a FamilyExperiment, found a "
            f"{type(experiment).__name__}; give another run"
        )
    return TrainedFamily(*_restored(folder, manifest, experiment, mesh))


def _restored(
    folder: Path,
    manifest: dict[str, Any],
    experiment: Any,
    mesh: Mesh | None,
) -> tuple[Any, ...]:
    """The fields of a `TrainedModel`, from the newest checkpoint."""
    detector, conditions = from_record(manifest["detector"]), _conditions(manifest)
    mesh = mesh or data_mesh()
    # The nearest neighbour's parameters are a batch of showers; of other families any number does.
    n = manifest["batch_size"] if isinstance(experiment, FamilyExperiment) else 1
    with Checkpoints(folder / "checkpoints") as checkpoints:
        constants = Constants(
            **checkpoints.restore_constants(_no_constants(experiment, detector)._asdict())
        )
        model = build(experiment, detector, constants, conditions=conditions).model
        batch = Batch(jnp.zeros(n, jnp.int32), _some_showers(n, detector, conditions))
        like = jax.eval_shape(model.algorithm.init, jax.random.key(0), batch).ema
        params, step = checkpoints.restore_ema(like, mesh), checkpoints.latest_step
    physical = in_mev(model, prepare(experiment.preprocess, detector, constants, conditions))
    low, high = manifest["data"]["energy_range_mev"]
    domain = from_record(manifest.get("domain"))  # older runs have none
    fitted = constants, detector, experiment, step or 0, (low, high), conditions, domain
    return physical, params, *fitted


def _load_teacher(experiment: Experiment, mesh: Mesh) -> TrainedModel | None:
    method = experiment.few_steps
    if experiment.teacher is None:
        if isinstance(method, ConsistencyDistillation | ProgressiveDistillation):
            raise InputError(
                f"{type(method).__name__}: expected a teacher, found none; "
                "make the student with jaxcalo distill"
            )
        return None
    trained = load_run(Path(experiment.teacher.run), mesh=mesh)
    check_teacher(experiment.teacher, trained.step)
    known, energies = trained.experiment, trained.experiment.energies
    if energies is not None and experiment.energies is not None:
        # How the energies are sampled is the student's own affair; they are not trained again.
        energies = dataclasses.replace(energies, sampling=experiment.energies.sampling)
        known = dataclasses.replace(known, energies=energies)
    for field in ("preprocess", "energies", "net", "diffusion"):
        if getattr(experiment, field) != getattr(known, field):
            raise InputError(
                f"--{field}: expected the teacher's for its student, found another; "
                f"leave the fields of {field} as they are"
            )
    if experiment.data.conditions != trained.experiment.data.conditions:
        raise InputError(
            "--data.conditions: expected the teacher's for its student, "
            f"{trained.experiment.data.conditions}, found {experiment.data.conditions}; "
            "leave them as they are"
        )
    return trained


def check_teacher(teacher: Teacher, step: int) -> None:
    """Raise InputError if a teacher was trained further since its student was started."""
    if step != teacher.step:
        raise InputError(
            f"{teacher.run}: expected the teacher this run was started with, after "
            f"{teacher.step} steps, found it after {step}; "
            "choose another --out to distil it as it is now"
        )


def batch_size(experiment: Any, asked: int, n_train: int, mesh: Mesh) -> int:
    """Events a step: all, if the family needs all at once."""
    family = getattr(experiment, "family", None)
    return n_train - n_train % mesh.size if isinstance(family, WholeDataFamily) else asked


def restored(folder: Path, like: dict[str, Any]) -> dict[str, Any] | None:
    """The fitted preprocessing in a run's newest checkpoint; None if it has none yet."""
    with Checkpoints(folder / "checkpoints") as checkpoints:
        if checkpoints.latest_step is None:
            return None
        return checkpoints.restore_constants(like)


class Batches:
    """The loader's showers, or clouds, with their places in the global batch."""

    def __init__(self, loader: Loader | CloudLoader):
        self._loader = loader
        share = loader.batch_size // loader.n_processes
        self._index = np.arange(share, dtype=np.int32) + loader.process_index * share

    def prefetch(self, start: int, stop: int) -> Iterator[Batch]:
        """The batches of steps start to stop, read ahead."""
        return (Batch(self._index, showers) for showers in prefetch(self._loader, start, stop))


def _n_train(experiment: _OnVoxels, file: ShowerFile) -> int:
    return file.n_showers - int(experiment.data.validation_fraction * file.n_showers)


def _constants(
    experiment: _OnVoxels, detector: Detector, folder: Path, file: ShowerFile, n_train: int
) -> Constants:
    known = restored(folder, _no_constants(experiment, detector)._asdict())
    if known is not None:
        return Constants(**known)
    starts = range(0, n_train, FIT_CHUNK)
    chunks = (file.read(start, min(start + FIT_CHUNK, n_train))[:2] for start in starts)
    return fit(experiment.preprocess, detector, chunks)


def _no_constants(experiment: _OnVoxels, detector: Detector) -> Constants:
    size = experiment.preprocess.n_layer_energies(detector) + detector.n_voxels
    return Constants(*(np.zeros(shape, np.float32) for shape in (size, size, (), ())))


def _some_showers(n: int, detector: Detector, conditions: tuple[Condition, ...]) -> Showers:
    sizes = detector.n_voxels, n_condition_columns(conditions)
    voxels, further = (np.ones((n, size), np.float32) for size in sizes)
    return Showers(np.ones(n, np.float32), voxels, further if conditions else None)


def _conditions(manifest: dict[str, Any]) -> tuple[Condition, ...]:
    """Those of a manifest; older ones have none."""
    return from_record(manifest.get("conditions", []))
