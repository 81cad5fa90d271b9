"""Metrics: how far generated showers are from a reference, each number beside its floor.

`extract` reads a file once and keeps what all metrics need (a Sample); `evaluate` turns two samples
into an Evaluation: W1 distances of eight observables, separation powers, correlations, profiles.
`fpd` and `kpd` are the Frechet and the kernel distance of two samples' `high_level_features`,
`prdc` the precision, recall, density and coverage of their `log_voxels`; `classify` trains a
network to tell two samples apart, `layer_noise` one to see whether layer energies scatter too much.

Point clouds are projected on a detector of cells: `condense_clouds` makes a Sample of them, and
`observe_clouds` the observables of the CaloClouds papers, for their W1 table (`cloud_table`) and
their classifier (`classify_clouds`).

Four-lepton events have their own (`compare_four_lepton`) and the table of the thesis
(`four_lepton_table`). `statistical_worth` says how many training events generated ones are worth.
"""

from jaxcalo.metrics.amplification import (
    Worth,
    at_least_events,
    equivalent_events,
    statistical_worth,
    usual_quantiles,
    worth_curve,
)
from jaxcalo.metrics.bands import (
    Band,
    band_coverage,
    covered_bins,
    covered_share,
    error_band,
    histogram_band,
    number_band,
    w1_band,
)
from jaxcalo.metrics.classifier import (
    ClassifierScore,
    classify,
    classify_grids,
    log_posterior,
)
from jaxcalo.metrics.classifier_input import low_level, normalised_low_level
from jaxcalo.metrics.classifier_protocol import ClassifierProtocol
from jaxcalo.metrics.cloud_classifier import (
    CloudClassifierProtocol,
    CloudClassifierScore,
    classifier_null,
    classify_clouds,
    classify_features,
)
from jaxcalo.metrics.cloud_observables import (
    CloudBinning,
    CloudObservables,
    are_paired,
    cloud_features,
    fit_cloud_binning,
    observe_clouds,
)
from jaxcalo.metrics.cloud_sample import ProjectedClouds, condense_clouds, project_clouds
from jaxcalo.metrics.cloud_table import (
    CloudRow,
    CloudScore,
    CloudTable,
    Comparison,
    PublishedClouds,
    cloud_row,
    cloud_table,
    compare_published,
    published_clouds,
)
from jaxcalo.metrics.correlation import Correlation, pearson
from jaxcalo.metrics.discrete_energies import EnergyPoint, discrete_energies
from jaxcalo.metrics.estimate import Estimate, mean_of
from jaxcalo.metrics.evaluation import Evaluation, Profile, Score, evaluate, verdict
from jaxcalo.metrics.excess import Excess, w1_excess
from jaxcalo.metrics.features import Features, Moments, apply_threshold, moments
from jaxcalo.metrics.four_lepton import (
    LEPTON_COLUMNS,
    SPARSE_COLUMNS,
    bray_curtis,
    bray_curtis_of_values,
    is_off_shell,
    is_unphysical,
    lepton_columns,
    lepton_observables,
    sparse_columns,
)
from jaxcalo.metrics.four_lepton_scores import (
    ColumnScore,
    LeptonScore,
    LeptonScores,
    compare_four_lepton,
)
from jaxcalo.metrics.four_lepton_table import (
    LeptonCost,
    LeptonRow,
    LeptonTable,
    PublishedLeptons,
    compare_thesis,
    four_lepton_table,
    published_leptons,
)
from jaxcalo.metrics.frechet import (
    fpd,
    fpd_floor,
    frechet_distance,
    frechet_of_moments,
    high_level_features,
)
from jaxcalo.metrics.kernel import kernel_distance, kpd, kpd_floor
from jaxcalo.metrics.layer_noise import layer_noise, layer_noise_floor
from jaxcalo.metrics.leaderboard import PublishedRow, published
from jaxcalo.metrics.observables import (
    OBSERVABLES,
    Grouping,
    Observable,
    fit_grouping,
    observables,
)
from jaxcalo.metrics.overlap import Overlap, lepton_features, lepton_overlap, overlap
from jaxcalo.metrics.prdc import Prdc, log_voxels, prdc, prdc_floor
from jaxcalo.metrics.sample import Cells, Sample, condense, extract
from jaxcalo.metrics.separation import Separation, separation_power
from jaxcalo.metrics.tables import Tables, make_tables
from jaxcalo.metrics.voxel_separation import voxel_separation
from jaxcalo.metrics.wasserstein import protocol, w1, w1_floor, wasserstein_1

__all__ = [
    "LEPTON_COLUMNS",
    "OBSERVABLES",
    "SPARSE_COLUMNS",
    "Band",
    "Cells",
    "ClassifierProtocol",
    "ClassifierScore",
    "CloudBinning",
    "CloudClassifierProtocol",
    "CloudClassifierScore",
    "CloudObservables",
    "CloudRow",
    "CloudScore",
    "CloudTable",
    "ColumnScore",
    "Comparison",
    "Correlation",
    "EnergyPoint",
    "Estimate",
    "Evaluation",
    "Excess",
    "Features",
    "Grouping",
    "LeptonCost",
    "LeptonRow",
    "LeptonScore",
    "LeptonScores",
    "LeptonTable",
    "Moments",
    "Observable",
    "Overlap",
    "Prdc",
    "Profile",
    "ProjectedClouds",
    "PublishedClouds",
    "PublishedLeptons",
    "PublishedRow",
    "Sample",
    "Score",
    "Separation",
    "Tables",
    "Worth",
    "apply_threshold",
    "are_paired",
    "at_least_events",
    "band_coverage",
    "bray_curtis",
    "bray_curtis_of_values",
    "classifier_null",
    "classify",
    "classify_clouds",
    "classify_features",
    "classify_grids",
    "cloud_features",
    "cloud_row",
    "cloud_table",
    "compare_four_lepton",
    "compare_published",
    "compare_thesis",
    "condense",
    "condense_clouds",
    "covered_bins",
    "covered_share",
    "discrete_energies",
    "equivalent_events",
    "error_band",
    "evaluate",
    "extract",
    "fit_cloud_binning",
    "fit_grouping",
    "four_lepton_table",
    "fpd",
    "fpd_floor",
    "frechet_distance",
    "frechet_of_moments",
    "high_level_features",
    "histogram_band",
    "is_off_shell",
    "is_unphysical",
    "kernel_distance",
    "kpd",
    "kpd_floor",
    "layer_noise",
    "layer_noise_floor",
    "lepton_columns",
    "lepton_features",
    "lepton_observables",
    "lepton_overlap",
    "log_posterior",
    "log_voxels",
    "low_level",
    "make_tables",
    "mean_of",
    "moments",
    "normalised_low_level",
    "number_band",
    "observables",
    "observe_clouds",
    "overlap",
    "pearson",
    "prdc",
    "prdc_floor",
    "project_clouds",
    "protocol",
    "published",
    "published_clouds",
    "published_leptons",
    "separation_power",
    "sparse_columns",
    "statistical_worth",
    "usual_quantiles",
    "verdict",
    "voxel_separation",
    "w1",
    "w1_band",
    "w1_excess",
    "w1_floor",
    "wasserstein_1",
    "worth_curve",
]
