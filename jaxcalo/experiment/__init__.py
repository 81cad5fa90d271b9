"""An experiment: one frozen dataclass, and the functions that train, sample and reload it."""

from jaxcalo.experiment.build import build, in_mev
from jaxcalo.experiment.config import Data, DiTNet, Experiment, UNetNet
from jaxcalo.experiment.record import differences, from_record, to_record
from jaxcalo.experiment.run import TrainedModel, load_run, train
from jaxcalo.experiment.sampling import Request, sample_to_file

__all__ = [
    "Data",
    "DiTNet",
    "Experiment",
    "Request",
    "TrainedModel",
    "UNetNet",
    "build",
    "differences",
    "from_record",
    "in_mev",
    "load_run",
    "sample_to_file",
    "to_record",
    "train",
]
