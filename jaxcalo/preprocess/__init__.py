"""Voxels in MeV <-> standardised vectors: pure invertible transforms, and their fit."""

from jaxcalo.preprocess.showers import (
    Constants,
    IncidentFractions,
    LayerShapes,
    Preprocess,
    Preprocessor,
    augment,
    fit,
    prepare,
)
from jaxcalo.preprocess.transform import (
    Transform,
    chain,
    hit_scale,
    logit_scale,
    on_slice,
    scale_by_incident_energy,
    scale_with_energy,
    standardise,
    threshold,
)

__all__ = [
    "Constants",
    "IncidentFractions",
    "LayerShapes",
    "Preprocess",
    "Preprocessor",
    "Transform",
    "augment",
    "chain",
    "fit",
    "hit_scale",
    "logit_scale",
    "on_slice",
    "prepare",
    "scale_by_incident_energy",
    "scale_with_energy",
    "standardise",
    "threshold",
]
