"""Runs of every kind: which function trains, loads and describes them is their experiment's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from jaxcalo.experiment.cloud_config import CloudExperiment
from jaxcalo.experiment.cloud_run import TrainedClouds, load_cloud_run, train_clouds
from jaxcalo.experiment.config import Experiment
from jaxcalo.experiment.family_config import FamilyExperiment
from jaxcalo.experiment.lepton_config import LeptonExperiment
from jaxcalo.experiment.lepton_run import TrainedLeptons, load_lepton_run, train_leptons
from jaxcalo.experiment.manifest import trained_manifest
from jaxcalo.experiment.run import TrainedFamily, TrainedModel, load_family_run, load_run, train
from jaxcalo.training import fit

AnyExperiment = Experiment | FamilyExperiment | CloudExperiment | LeptonExperiment
AnyTrained = TrainedModel | TrainedFamily | TrainedClouds | TrainedLeptons


def train_any(
    experiment: AnyExperiment,
    folder: Path,
    *,
    mesh: Mesh | None = None,
    observe: Callable[[int, dict[str, float]], None] = lambda _step, _metrics: None,
    loop: Callable[..., Any] = fit,
) -> None:
    """Train a run of any kind, see `train`, `train_clouds` and `train_leptons`."""
    if isinstance(experiment, CloudExperiment):
        train_clouds(experiment, folder, mesh=mesh, observe=observe, loop=loop)
    elif isinstance(experiment, LeptonExperiment):
        train_leptons(experiment, folder, mesh=mesh, observe=observe, loop=loop)
    else:
        train(experiment, folder, mesh=mesh, observe=observe, loop=loop)


def load_trained(folder: Path, *, mesh: Mesh | None = None) -> AnyTrained:
    """Load the newest checkpoint of a run of any kind, see `load_run` and its like.

    Raises:
        InputError: The folder is not a run, or its checkpoint is missing, foreign or damaged.
    """
    _, experiment = trained_manifest(folder)
    if isinstance(experiment, CloudExperiment):
        return load_cloud_run(folder, mesh=mesh)
    if isinstance(experiment, LeptonExperiment):
        return load_lepton_run(folder, mesh=mesh)
    if isinstance(experiment, FamilyExperiment):
        return load_family_run(folder, mesh=mesh)
    return load_run(folder, mesh=mesh)
