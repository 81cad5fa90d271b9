"""A trained run, changed without training: another sampler, or one member of an ensemble."""

import dataclasses
from typing import Any, TypeVar

from jaxcalo.errors import InputError
from jaxcalo.experiment.build import build, in_mev
from jaxcalo.experiment.family_config import FamilyExperiment
from jaxcalo.experiment.lepton_build import build_leptons
from jaxcalo.experiment.lepton_run import TrainedLeptons
from jaxcalo.experiment.run import TrainedFamily, TrainedModel
from jaxcalo.families import Sampling
from jaxcalo.preprocess import prepare

_Trained = TypeVar("_Trained", bound=TrainedModel | TrainedFamily)
_AnyTrained = TypeVar("_AnyTrained")


def with_sampling(trained: _Trained, sampling: Sampling) -> _Trained:
    """The same diffusion model, sampled in another way.

    Raises:
        InputError: The model cannot be sampled so.
    """
    experiment: Any = trained.experiment
    if isinstance(experiment, FamilyExperiment):
        family = dataclasses.replace(experiment.family, sampling=sampling)
        experiment = dataclasses.replace(experiment, family=family)
    else:
        experiment = dataclasses.replace(experiment, sampling=sampling)
    return _rebuilt(trained, experiment)


def n_members(experiment: Any) -> int | None:
    """How many members the ensemble of an experiment has; None: it is no ensemble."""
    ensemble = getattr(experiment, "ensemble", None)
    return None if ensemble is None else ensemble.n_members


def one_member(trained: _AnyTrained, m: int) -> _AnyTrained:
    """Member m of an ensemble, as the run of a single model: it costs as much to sample.

    Equal seeds give all members equal conditions and noise.

    Args:
        trained: A run of any kind.
        m: From 0.

    Raises:
        InputError: The run is no ensemble, or has no such member.
    """
    run: Any = trained
    n = n_members(run.experiment)
    if n is None:
        raise InputError(
            f"--member {m}: expected a run of an ensemble, found a single model; leave it out"
        )
    if not 0 <= m < n:
        raise InputError(f"--member: expected 0 to {n - 1}, found {m}")
    params = run.experiment.ensemble.member(run.params, m)
    single = dataclasses.replace(run.experiment, ensemble=None)
    return _rebuilt(run._replace(params=params), single)


def _rebuilt(trained: Any, experiment: Any) -> Any:
    """A trained model by another experiment that fits its parameters."""
    if isinstance(trained, TrainedLeptons):
        physical = build_leptons(experiment, trained.constants).physical
        return trained._replace(model=physical, experiment=experiment)
    fitted = trained.detector, trained.constants
    model = build(experiment, *fitted, conditions=trained.conditions).model
    preprocessor = prepare(experiment.preprocess, *fitted, trained.conditions)
    return trained._replace(model=in_mev(model, preprocessor), experiment=experiment)
