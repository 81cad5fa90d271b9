"""The published results of the CaloChallenge, to stand beside one's own.

One JSON file a data set in the folder `published`, in the order of the low-level AUC.

Source: arXiv:2410.21611, measured by the organisers for every submission with one script.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Literal

DatasetName = Literal["1-photons", "1-pions", "2", "3"]

GEANT4 = "GEANT4"

_FILES: dict[DatasetName, str] = {
    "1-photons": "ds1_photons.json",
    "1-pions": "ds1_pions.json",
    "2": "ds2.json",
    "3": "ds3.json",
}


@dataclass(frozen=True)
class PublishedRow:
    """One submission's line; None where no number is published.

    Attributes:
        model: its name; GEANT4 is Geant4 against Geant4, the floor.
        auc_low: of the classifier on voxels, 0.5 to 1.
        auc_low_error: over repeated trainings.
        auc_high: of the classifier on high-level features.
        auc_resnet: of the three-dimensional ResNet; data sets 2 and 3.
        fpd_e3: Frechet physics distance times 1000.
        kpd_e3: kernel physics distance times 1000.
        precision: fraction of generated showers among the reference's.
        recall: fraction of the reference's showers among the generated.
        density: how densely the reference lies around generated showers; may exceed 1.
        coverage: fraction of the reference's showers with a generated one near.
        log_posterior: of the multiclass classifier over all submissions; higher is better.
        parameters_training_millions: trained parameters.
        parameters_generation_millions: parameters that generation needs.
        separation: separation powers, mean over layers, by the names of metrics.separations.
        ms_per_shower: generation time, milliseconds, by "DEVICE_BATCHSIZE".
    """

    model: str
    auc_low: float
    auc_low_error: float
    auc_high: float
    auc_resnet: float | None
    fpd_e3: float
    kpd_e3: float
    precision: float
    recall: float
    density: float
    coverage: float
    log_posterior: float | None
    parameters_training_millions: float | None
    parameters_generation_millions: float | None
    separation: dict[str, float]
    ms_per_shower: dict[str, float | None]


@lru_cache
def published(dataset: DatasetName) -> tuple[PublishedRow, ...]:
    """Return the published table of a data set, Geant4 first, then by low-level AUC.

    Args:
        dataset: "1-photons", "1-pions", "2" or "3".

    Returns:
        One row for each submission, and one for Geant4 against Geant4.

    Source: arXiv:2410.21611.
    """
    folder = resources.files("jaxcalo.metrics") / "published"
    record = json.loads((folder / _FILES[dataset]).read_text(encoding="utf-8"))
    return tuple(PublishedRow(**row) for row in record["rows"])
