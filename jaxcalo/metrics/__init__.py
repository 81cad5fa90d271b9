"""Metrics: how far generated showers are from a reference, each number beside its floor.

`extract` reads a file once and keeps what all metrics need (a Sample); `evaluate` turns two samples
into an Evaluation: W1 distances of eight observables, separation powers, correlations, profiles.
`fpd` is the Frechet distance of two samples' `high_level_features`.
"""

from jaxcalo.metrics.correlation import Correlation, pearson
from jaxcalo.metrics.estimate import Estimate
from jaxcalo.metrics.evaluation import Evaluation, Profile, Score, evaluate, verdict
from jaxcalo.metrics.features import Features, Moments, apply_threshold, moments
from jaxcalo.metrics.frechet import fpd, fpd_floor, frechet_distance, high_level_features
from jaxcalo.metrics.observables import (
    OBSERVABLES,
    Grouping,
    Observable,
    fit_grouping,
    observables,
)
from jaxcalo.metrics.sample import Cells, Sample, condense, extract
from jaxcalo.metrics.separation import Separation, separation_power
from jaxcalo.metrics.tables import Tables, make_tables
from jaxcalo.metrics.wasserstein import protocol, w1, w1_floor, wasserstein_1

__all__ = [
    "OBSERVABLES",
    "Cells",
    "Correlation",
    "Estimate",
    "Evaluation",
    "Features",
    "Grouping",
    "Moments",
    "Observable",
    "Profile",
    "Sample",
    "Score",
    "Separation",
    "Tables",
    "apply_threshold",
    "condense",
    "evaluate",
    "extract",
    "fit_grouping",
    "fpd",
    "fpd_floor",
    "frechet_distance",
    "high_level_features",
    "make_tables",
    "moments",
    "observables",
    "pearson",
    "protocol",
    "separation_power",
    "verdict",
    "w1",
    "w1_floor",
    "wasserstein_1",
]
