"""Configuration <-> plain JSON with each dataclass's type: a manifest alone rebuilds its run."""

import dataclasses
from typing import Any

from jaxcalo import diffusion, families, geometry, preprocess, training
from jaxcalo.diffusion import time_grids
from jaxcalo.errors import InputError
from jaxcalo.experiment import (
    cloud_config,
    cloud_nets,
    config,
    ensemble_config,
    family_config,
    lepton_config,
    vector_families,
    vector_nets,
)

# What a record may name. Nothing else is ever constructed from a file.
_TYPES = {
    cls.__name__: cls
    for cls in (
        cloud_config.CloudData,
        cloud_config.CloudDiffusion,
        cloud_config.CloudExperiment,
        cloud_config.CloudGan,
        cloud_config.LatentCloudDiffusion,
        cloud_config.ShowerFlow,
        cloud_nets.EpicNet,
        cloud_nets.EpicPlayers,
        cloud_nets.MessagePassingPlayers,
        cloud_nets.PointWiseNet,
        cloud_nets.SetTransformerNet,
        config.Data,
        config.DiTNet,
        config.EnergyStage,
        config.Experiment,
        config.Teacher,
        config.UNetNet,
        ensemble_config.MaskedEnsemble,
        ensemble_config.RepulsiveEnsemble,
        family_config.FamilyExperiment,
        family_config.ShowerTerms,
        lepton_config.LeptonData,
        lepton_config.LeptonExperiment,
        lepton_config.LeptonTerms,
        vector_families.DiffusionFamily,
        vector_families.FlowFamily,
        vector_families.GanFamily,
        vector_families.MixtureFamily,
        vector_families.NearestFamily,
        vector_families.VaeFamily,
        vector_nets.AutoregressiveFlow,
        vector_nets.ConvolutionalNet,
        vector_nets.CouplingFlow,
        vector_nets.PlainNet,
        vector_nets.ResidualNet,
        diffusion.Consistency,
        diffusion.Cosine,
        diffusion.Ddim,
        diffusion.Ddpm,
        diffusion.DpmSolver,
        diffusion.EDM,
        diffusion.EDMWeight,
        diffusion.EpsPrediction,
        diffusion.Euler,
        diffusion.FlowVelocity,
        diffusion.FlowWeight,
        diffusion.Heun,
        diffusion.Linear,
        diffusion.LogNormalSigma,
        diffusion.LogitNormalTime,
        diffusion.MinSnr,
        diffusion.RectifiedFlow,
        diffusion.ReverseSde,
        diffusion.ScorePrediction,
        diffusion.Shifted,
        diffusion.Sigmoid,
        diffusion.Snr,
        diffusion.UniPc,
        diffusion.UniformTime,
        diffusion.Unit,
        diffusion.VPrediction,
        diffusion.VarianceExploding,
        diffusion.X0Prediction,
        families.ConsistencyDistillation,
        families.ConsistencyTraining,
        families.DensityBuffer,
        families.Diffusion,
        families.FixedWidth,
        families.Gan,
        families.GaussianMixture,
        families.LatentCloud,
        families.LearnedWidth,
        families.NearestNeighbour,
        families.ProgressiveDistillation,
        families.Repulsion,
        families.Sampling,
        families.TransportPairing,
        families.Vae,
        families.VectorGan,
        geometry.CartesianLayer,
        geometry.Detector,
        geometry.PolarLayer,
        preprocess.BosonPairs,
        preprocess.Classes,
        preprocess.CloudCalibration,
        preprocess.Continuous,
        preprocess.IncidentFractions,
        preprocess.LayerShapes,
        preprocess.PhysicalLeptons,
        preprocess.PointScales,
        preprocess.SparseSlots,
        preprocess.SummaryScales,
        preprocess.TrainingDomain,
        time_grids.Karras,
        time_grids.Quadratic,
        time_grids.Searched,
        time_grids.Uniform,
        time_grids.UniformLogSnr,
        training.AdamW,
        training.Adversarial,
        training.CheckpointPlan,
        training.LeastSquares,
        training.NonSaturating,
        training.R1,
        training.TrainingPlan,
        training.TwoSided,
        training.Wasserstein,
    )
}


def to_record(value: Any) -> Any:
    """A dataclass as {"type": its name, field: value, ...}; tuples as lists."""
    if dataclasses.is_dataclass(value):
        fields = {
            field.name: to_record(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
        return {"type": type(value).__name__, **fields}
    if isinstance(value, tuple | list):
        return [to_record(item) for item in value]
    return value


def from_record(record: Any) -> Any:
    """The inverse of `to_record`; lists become tuples.

    Raises:
        InputError: The record names an unknown type, or fields that it does not have.
    """
    if isinstance(record, list):
        return tuple(from_record(item) for item in record)
    if not isinstance(record, dict):
        return record
    fields = {name: from_record(value) for name, value in record.items() if name != "type"}
    name = record.get("type")
    try:
        return _TYPES[str(name)](**fields)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"manifest: expected a record that this version of jaxcalo knows, "
            f"found {name!r} with the fields {sorted(fields)}; "
            "use the version of jaxcalo that wrote the run"
        ) from error


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """Every place where two records differ, as `path: old -> new`."""
    if isinstance(old, dict) and isinstance(new, dict) and old.get("type") == new.get("type"):
        names = list(dict.fromkeys([*old, *new]))
        return [
            line
            for name in names
            for line in differences(
                old.get(name), new.get(name), f"{path}.{name}" if path else name
            )
        ]
    return [] if old == new else [f"{path}: {_short(old)} -> {_short(new)}"]


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("type", value))
    return str(value)
