"""An experiment: one frozen dataclass, and the functions that train, sample and reload it."""

from jaxcalo.experiment.any_run import AnyExperiment, AnyTrained, load_trained, train_any
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
    train_clouds,
    with_cloud_sampling,
)
from jaxcalo.experiment.cloud_sampling import requested_energies, sample_clouds_to_file
from jaxcalo.experiment.config import Data, DiTNet, EnergyStage, Experiment, Teacher, UNetNet
from jaxcalo.experiment.distill import cloud_student_of, student_of
from jaxcalo.experiment.ensemble_config import MaskedEnsemble, RepulsiveEnsemble
from jaxcalo.experiment.family_config import FamilyExperiment, ShowerTerms
from jaxcalo.experiment.feeding import input_rates, reading_rate, training_wait
from jaxcalo.experiment.grids import load_grid, save_grid, search_run
from jaxcalo.experiment.hits import calibrate_hits
from jaxcalo.experiment.lepton_config import LeptonData, LeptonExperiment, LeptonTerms
from jaxcalo.experiment.lepton_run import (
    TrainedLeptons,
    load_lepton_run,
    requested_flavours,
    sample_leptons_to_file,
    train_leptons,
)
from jaxcalo.experiment.likelihood import log_likelihoods
from jaxcalo.experiment.pareto import floor_of, measure, reference_of
from jaxcalo.experiment.peak import Peak, measure_peak
from jaxcalo.experiment.record import differences, from_record, to_record
from jaxcalo.experiment.roofline import compute_type, network_roofline, with_compute_type
from jaxcalo.experiment.run import (
    TrainedFamily,
    TrainedModel,
    load_family_run,
    load_run,
    train,
)
from jaxcalo.experiment.sampling import Request, sample_to_file
from jaxcalo.experiment.throughput import sampling_throughput
from jaxcalo.experiment.timed_step import training_scaling, training_throughput
from jaxcalo.experiment.timing import BatchTiming, Timing, sampling_cost, time_sampling
from jaxcalo.experiment.variants import n_members, one_member, with_sampling
from jaxcalo.experiment.vector_families import (
    DiffusionFamily,
    FlowFamily,
    GanFamily,
    MixtureFamily,
    NearestFamily,
    VaeFamily,
)
from jaxcalo.experiment.vector_nets import (
    AutoregressiveFlow,
    ConvolutionalNet,
    CouplingFlow,
    PlainNet,
    ResidualNet,
)

__all__ = [
    "AnyExperiment",
    "AnyTrained",
    "AutoregressiveFlow",
    "BatchTiming",
    "CloudData",
    "CloudDiffusion",
    "CloudExperiment",
    "CloudGan",
    "ConvolutionalNet",
    "CouplingFlow",
    "Data",
    "DiTNet",
    "DiffusionFamily",
    "EnergyStage",
    "EpicNet",
    "EpicPlayers",
    "Experiment",
    "FamilyExperiment",
    "FlowFamily",
    "GanFamily",
    "LatentCloudDiffusion",
    "LeptonData",
    "LeptonExperiment",
    "LeptonTerms",
    "MaskedEnsemble",
    "MessagePassingPlayers",
    "MixtureFamily",
    "NearestFamily",
    "Peak",
    "PlainNet",
    "PointWiseNet",
    "RepulsiveEnsemble",
    "Request",
    "ResidualNet",
    "SetTransformerNet",
    "ShowerFlow",
    "ShowerTerms",
    "Teacher",
    "Timing",
    "TrainedClouds",
    "TrainedFamily",
    "TrainedLeptons",
    "TrainedModel",
    "UNetNet",
    "VaeFamily",
    "build",
    "build_clouds",
    "calibrate_hits",
    "cloud_student_of",
    "compute_type",
    "differences",
    "floor_of",
    "from_record",
    "in_mev",
    "input_rates",
    "load_cloud_run",
    "load_family_run",
    "load_grid",
    "load_lepton_run",
    "load_run",
    "load_trained",
    "log_likelihoods",
    "measure",
    "measure_peak",
    "n_members",
    "network_roofline",
    "one_member",
    "reading_rate",
    "reference_of",
    "requested_energies",
    "requested_flavours",
    "sample_clouds_to_file",
    "sample_leptons_to_file",
    "sample_to_file",
    "sampling_cost",
    "sampling_throughput",
    "save_grid",
    "search_run",
    "student_of",
    "time_sampling",
    "to_record",
    "train",
    "train_any",
    "train_clouds",
    "train_leptons",
    "training_scaling",
    "training_throughput",
    "training_wait",
    "with_cloud_sampling",
    "with_compute_type",
    "with_sampling",
]
