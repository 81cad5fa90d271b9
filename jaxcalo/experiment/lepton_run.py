"""A run folder on four-lepton events: train into it, resume it, load and sample its model."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from jaxcalo.data import LeptonEvents, memory_loader, read_four_lepton, write_four_lepton
from jaxcalo.errors import InputError
from jaxcalo.experiment.lepton_build import build_leptons
from jaxcalo.experiment.lepton_config import LeptonExperiment
from jaxcalo.experiment.manifest import resumed_manifest, run_record, trained_manifest
from jaxcalo.experiment.run import Batches, batch_size, restored
from jaxcalo.experiment.sample_facts import sample_facts
from jaxcalo.experiment.sampling import (
    Request,
    n_requested,
    part_of,
    whole_of,
    write_events,
)
from jaxcalo.families import GenerativeModel
from jaxcalo.preprocess import LeptonConstants, SparseSlots, fit_leptons, no_lepton_constants
from jaxcalo.training import Batch, Checkpoints, data_mesh
from jaxcalo.training import fit as fit_model
from jaxcalo.typing import Params

_VALIDATION_EVENTS = 2048
_PDG = "pdg"


class TrainedLeptons(NamedTuple):
    """What `load_lepton_run` gives: sample(key, params, raw (1,)) -> (4, 5), GeV.

    Attributes:
        model: The physical model, see `BuiltLeptons`.
        params: Averaged parameters.
        constants: The fitted encoding.
        experiment: Its configuration.
        step: Steps trained.
    """

    model: GenerativeModel
    params: Params
    constants: LeptonConstants
    experiment: LeptonExperiment
    step: int


def train_leptons(
    experiment: LeptonExperiment,
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
        InputError: Unusable data, or the folder holds a run of another configuration.
    """
    mesh = mesh or data_mesh()
    path = Path(experiment.data.path)
    events = read_four_lepton(path)
    n_train = events.n_events - int(experiment.data.validation_fraction * events.n_events)
    training = events.rows(slice(n_train))
    held_out = events.rows(slice(n_train, n_train + _VALIDATION_EVENTS))
    facts = {
        "n_flavours": len(np.unique(training.pdg, axis=0)),
        "batch_size": batch_size(experiment, experiment.data.batch_size, n_train, mesh),
    }
    manifest = resumed_manifest(
        experiment, folder, path, lambda: run_record(experiment, path, events.n_events) | facts
    )
    like = no_lepton_constants(experiment.encoding, manifest["n_flavours"])
    known = restored(folder, like._asdict())
    constants = (
        fit_leptons(experiment.encoding, training) if known is None else LeptonConstants(**known)
    )
    built = build_leptons(experiment, constants)
    loader_key, fit_key = jax.random.split(jax.random.key(experiment.seed))
    loader = memory_loader(
        loader_key,
        training,
        manifest["batch_size"],
        process_index=jax.process_index(),
        n_processes=jax.process_count(),
    )
    loop(
        fit_key,
        built.model.algorithm,
        Batches(loader),
        experiment.training,
        run=folder,
        mesh=mesh,
        constants=constants._asdict(),
        evaluate=(lambda key, params: built.evaluate(key, params, held_out))
        if held_out.n_events
        else None,
        observe=observe,
    )


def load_lepton_run(folder: Path, *, mesh: Mesh | None = None) -> TrainedLeptons:
    """Load the newest checkpoint of a run on four-lepton events for sampling.

    Args:
        folder: The run.
        mesh: Devices; default all.

    Raises:
        InputError: The folder is not such a run, or its checkpoint is missing, foreign or damaged.
    """
    manifest, experiment = trained_manifest(folder)
    if not isinstance(experiment, LeptonExperiment):
        raise InputError(
            f"{folder}: expected a run on four-lepton events, found one on showers; "
            "give another run"
        )
    mesh = mesh or data_mesh()
    like = no_lepton_constants(experiment.encoding, manifest["n_flavours"])
    with Checkpoints(folder / "checkpoints") as checkpoints:
        constants = LeptonConstants(**checkpoints.restore_constants(like._asdict()))
        built = build_leptons(experiment, constants)
        n = manifest["batch_size"]  # the nearest neighbour's parameters are a batch
        batch = Batch(np.arange(n), LeptonEvents(np.full((n, 4), 11), np.ones((n, 4, 4))))
        like_params = jax.eval_shape(built.model.algorithm.init, jax.random.key(0), batch).ema
        params, step = checkpoints.restore_ema(like_params, mesh), checkpoints.latest_step
    return TrainedLeptons(built.physical, params, constants, experiment, step or 0)


def sample_leptons_to_file(
    trained: TrainedLeptons,
    request: Request,
    path: Path,
    *,
    batch_size: int,
    mesh: Mesh | None = None,
    observe: Callable[[int, int], None] = lambda _done, _total: None,
) -> int:
    """Generate the requested events into a CSV file: `sample_to_file`.

    Raises:
        InputError: An impossible request, or the file cannot be written.
    """
    whole, _ = requested_flavours(whole_of(request), trained)
    facts = (
        sample_facts(trained, request.seed, request.shard, whole)
        if request.shard != (0, 1)
        else None
    )
    return write_events(
        trained,
        request,
        part_of(request, whole),
        _CsvFile(path, facts),
        lambda _raw, events: LeptonEvents(
            np.rint(events[..., 0]).astype(np.int32), events[..., 1:].astype(np.float64)
        ),
        batch_size=batch_size,
        mesh=mesh,
        observe=observe,
    )


def requested_flavours(request: Request, trained: TrainedLeptons) -> tuple[np.ndarray, int]:
    """What the events of this shard are to be made for.

    Returns:
        The number of each event's flavour class, -1 to draw it, (n, 1) float32; and the global
        index of the first event.

    Raises:
        InputError: An impossible request.
    """
    if (request.energy_gev, request.energy_range_gev, request.energies_from) != (None, None, None):
        raise InputError(
            "--energy, --energy-range, --energies-from: expected none, for four-lepton events have "
            "no incident energy; leave them out"
        )
    number = -1.0
    if request.conditions:
        number = _flavour(request, trained)
    return part_of(request, np.full((n_requested(request) or 0, 1), number, np.float32))


def _flavour(request: Request, trained: TrainedLeptons) -> float:
    is_told = not isinstance(trained.experiment.encoding, SparseSlots)
    classes = trained.constants.classes if is_told else ()
    known = [tuple(int(pdg) for pdg in row) for row in classes]
    found = {name: tuple(values) for name, values in request.conditions.items()}
    if found.keys() != {_PDG} or found[_PDG] not in known:
        choices = " or ".join(f"{_PDG}={','.join(map(str, row))}" for row in known)
        given = " ".join(f"{name}={','.join(map('{:g}'.format, v))}" for name, v in found.items())
        raise InputError(
            f"--condition: expected {choices or 'none, for this encoding knows none'}, "
            f"found {given}; give what the run was trained with"
        )
    return float(known.index(tuple(int(value) for value in found[_PDG])))


class _CsvFile:
    """A CSV file that is written whole, at the end."""

    def __init__(self, path: Path, facts: Mapping[str, object] | None):
        self._path = path
        self._facts = facts
        self._parts: list[LeptonEvents] = []

    def __enter__(self) -> "_CsvFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            columns = (np.concatenate(column) for column in zip(*self._parts, strict=True))
            write_four_lepton(self._path, LeptonEvents(*columns), self._facts)

    def append(self, events: LeptonEvents) -> None:
        """Keep these events."""
        self._parts.append(events)
