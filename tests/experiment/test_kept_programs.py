"""The name of a run's programs changes with everything that its model is built from."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from jaxcalo.diffusion import Ddim
from jaxcalo.experiment import Data, Experiment, TrainedModel
from jaxcalo.experiment.compiled import without_cache
from jaxcalo.experiment.kept_programs import kept_programs
from jaxcalo.families import Sampling
from jaxcalo.geometry import load_geometry
from jaxcalo.preprocess import Constants, Continuous

NOTHING: Any = None


def trained(mean=0.0) -> TrainedModel:
    """A run without a network."""
    size = np.full(3, mean, np.float32)
    constants = Constants(size, np.ones(3, np.float32), np.zeros((), np.float32), np.ones(()))
    detector = load_geometry("par04_lite")
    experiment = Experiment(data=Data())
    return TrainedModel(NOTHING, NOTHING, constants, detector, experiment, 5, (1e3, 5e4))


def name(run) -> str:
    store = kept_programs(run)
    assert store is not None
    return store.model


def test_equal_runs_share_their_programs():
    assert name(trained()) == name(trained())
    further = trained()._replace(step=6, params={"w": np.ones(2)})  # arguments of the program
    assert name(further) == name(trained())


@pytest.mark.parametrize(
    "change",
    [
        lambda run: trained(mean=1e-6),
        lambda run: run._replace(detector=dataclasses.replace(run.detector, threshold_mev=1.5)),
        lambda run: run._replace(
            experiment=dataclasses.replace(run.experiment, sampling=Sampling(Ddim(), 7))
        ),
        lambda run: run._replace(conditions=(Continuous("angle", (0.0,), (1.0,), ((-1.0, 1.0),)),)),
    ],
    ids=["constants", "threshold", "sampler", "conditions"],
)
def test_what_a_model_is_built_from_is_in_the_name(change):
    assert name(change(trained())) != name(trained())


def test_nothing_is_kept_where_jax_keeps_nothing():
    with without_cache():
        assert kept_programs(trained()) is None
