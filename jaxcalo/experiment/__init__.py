"""An experiment: one frozen dataclass, and the functions that train, sample and reload it."""

from jaxcalo.experiment.build import build, in_mev
from jaxcalo.experiment.cloud_build import build_clouds
from jaxcalo.experiment.cloud_config import (
    CloudData,
    CloudDiffusion,
    CloudExperiment,
    CloudGan,
    LatentCloudDiffusion,
    ShowerFlow,
)
from jaxcalo.experiment.cloud_nets import (
    EpicNet,
    EpicPlayers,
    MessagePassingPlayers,
    PointWiseNet,
    SetTransformerNet,
)
from jaxcalo.experiment.cloud_run import (
    TrainedClouds,
    load_cloud_run,
    load_trained,
    train_clouds,
    with_cloud_sampling,
)
from jaxcalo.experiment.cloud_sampling import requested_energies, sample_clouds_to_file
from jaxcalo.experiment.config import Data, DiTNet, EnergyStage, Experiment, Teacher, UNetNet
from jaxcalo.experiment.distill import cloud_student_of, student_of
from jaxcalo.experiment.grids import load_grid, save_grid, search_run
from jaxcalo.experiment.hits import calibrate_hits
from jaxcalo.experiment.likelihood import log_likelihoods
from jaxcalo.experiment.pareto import floor_of, measure, reference_of
from jaxcalo.experiment.record import differences, from_record, to_record
from jaxcalo.experiment.run import TrainedModel, load_run, train, with_sampling
from jaxcalo.experiment.sampling import Request, sample_to_file
from jaxcalo.experiment.timing import BatchTiming, Timing, sampling_cost, time_sampling

__all__ = [
    "BatchTiming",
    "CloudData",
    "CloudDiffusion",
    "CloudExperiment",
    "CloudGan",
    "Data",
    "DiTNet",
    "EnergyStage",
    "EpicNet",
    "EpicPlayers",
    "Experiment",
    "LatentCloudDiffusion",
    "MessagePassingPlayers",
    "PointWiseNet",
    "Request",
    "SetTransformerNet",
    "ShowerFlow",
    "Teacher",
    "Timing",
    "TrainedClouds",
    "TrainedModel",
    "UNetNet",
    "build",
    "build_clouds",
    "calibrate_hits",
    "cloud_student_of",
    "differences",
    "floor_of",
    "from_record",
    "in_mev",
    "load_cloud_run",
    "load_grid",
    "load_run",
    "load_trained",
    "log_likelihoods",
    "measure",
    "reference_of",
    "requested_energies",
    "sample_clouds_to_file",
    "sample_to_file",
    "sampling_cost",
    "save_grid",
    "search_run",
    "student_of",
    "time_sampling",
    "to_record",
    "train",
    "train_clouds",
    "with_cloud_sampling",
    "with_sampling",
]
