"""An experiment: one frozen dataclass, and the functions that train, sample and reload it."""

from jaxcalo.experiment.build import build, in_mev
from jaxcalo.experiment.config import Data, DiTNet, EnergyStage, Experiment, Teacher, UNetNet
from jaxcalo.experiment.distill import student_of
from jaxcalo.experiment.grids import load_grid, save_grid, search_run
from jaxcalo.experiment.likelihood import log_likelihoods
from jaxcalo.experiment.pareto import floor_of, measure, reference_of
from jaxcalo.experiment.record import differences, from_record, to_record
from jaxcalo.experiment.run import TrainedModel, load_run, train, with_sampling
from jaxcalo.experiment.sampling import Request, sample_to_file
from jaxcalo.experiment.timing import BatchTiming, Timing, sampling_cost, time_sampling

__all__ = [
    "BatchTiming",
    "Data",
    "DiTNet",
    "EnergyStage",
    "Experiment",
    "Request",
    "Teacher",
    "Timing",
    "TrainedModel",
    "UNetNet",
    "build",
    "differences",
    "floor_of",
    "from_record",
    "in_mev",
    "load_grid",
    "load_run",
    "log_likelihoods",
    "measure",
    "reference_of",
    "sample_to_file",
    "sampling_cost",
    "save_grid",
    "search_run",
    "student_of",
    "time_sampling",
    "to_record",
    "train",
    "with_sampling",
]
