"""The numbers of the CaloChallenge's protocol, and in which a measurement differs from it.

The organisers measured every submission with one script on files of 100,000 to 121,000 showers. A
row of smaller files is measured with the same definitions and adapted numbers; `differences` says
so in plain sentences, which stand in the report.

Source: CaloChallenge, arXiv:2410.21611, section 4.
"""

from dataclasses import dataclass, replace
from typing import Literal

from jaxcalo.errors import InputError
from jaxcalo.metrics.classifier_protocol import DEFAULT_PROTOCOL, ClassifierProtocol
from jaxcalo.metrics.leaderboard import DatasetName
from jaxcalo.metrics.prdc import N_NEIGHBOURS

ClassifierName = Literal["low", "normalised", "high", "resnet"]
MeasureName = Literal["observables", "voxels", "kpd", "fpd", "layer_noise", "prdc"]
FloorName = Literal["high", "all"]
Precision = Literal["float32", "float64"]

GEOMETRY: dict[DatasetName, str] = {
    "1-photons": "ds1-photons",
    "1-pions": "ds1-pions",
    "2": "ds2",
    "3": "ds3",
}
_SPLIT: dict[DatasetName, tuple[int, int, int]] = {
    "1-photons": (80_000, 20_000, 21_000),
    "1-pions": (80_000, 20_000, 20_800),
    "2": (60_000, 20_000, 20_000),
    "3": (60_000, 20_000, 20_000),
}
MIN_REFERENCE = 40  # two halves that a classifier can be trained on
MIN_GENERATED = 20


@dataclass(frozen=True)
class Protocol:
    """How a row is measured; the defaults are the organisers' numbers, but for the precision.

    Attributes:
        classifier: how all classifiers are trained. Its split is the organisers'; samples that are
            smaller than its sum are divided into 60 %, 20 % and 20 %.
        classifiers: which ones: on voxels, on voxels over their layer's energy, on high-level
            features, and the three-dimensional ResNet on voxels.
        floor: which classifiers are also trained on Geant4 against Geant4: the high-level one, or
            all; the expectation of the others is 1/2.
        fpd_sizes: showers in the smallest and the largest batch of FPD, drawn with replacement from
            samples of the largest size at least.
        n_fpd_batches: batches of each size.
        n_fpd_points: sizes.
        kpd_batch_size: showers in a batch of KPD, drawn as those of FPD.
        n_kpd_batches: batches.
        n_neighbours: of precision, recall, density and coverage.
        prdc_limit: at most so many showers of each sample are used for those; None for all.
        is_fast: whether this is the mode for development.
        seed: of all draws and initial weights.
    """

    classifier: ClassifierProtocol = DEFAULT_PROTOCOL
    classifiers: tuple[ClassifierName, ...] = ("high", "low", "normalised")
    floor: FloorName = "high"
    fpd_sizes: tuple[int, int] = (10_000, 50_000)
    n_fpd_batches: int = 20
    n_fpd_points: int = 10
    kpd_batch_size: int = 10_000
    n_kpd_batches: int = 10
    n_neighbours: int = N_NEIGHBOURS
    prdc_limit: int | None = None
    is_fast: bool = False
    seed: int = 0

    def __post_init__(self):
        if len(set(self.classifiers)) < len(self.classifiers):
            raise InputError(
                f"classifiers: expected each once, found {' '.join(self.classifiers)}; leave the"
                " repeated one out"
            )

    def classifier_for(self, smaller: int) -> ClassifierProtocol:
        """Return the classifiers' protocol for samples of which the smaller has so many showers."""
        split = self.classifier.split
        is_enough = split is not None and sum(split) <= smaller
        return self.classifier if is_enough else replace(self.classifier, split=None)

    def draws_as_published(self, smaller: int) -> bool:
        """Whether the samples are large enough for batches with replacement, see frechet."""
        return smaller >= self.fpd_sizes[1]


def official(dataset: DatasetName | None) -> Protocol:
    """Return the organisers' protocol.

    Args:
        dataset: of the challenge; None for another detector, which has no official split.
    """
    split = None if dataset is None else _SPLIT[dataset]
    return Protocol(classifier=ClassifierProtocol(split=split))


def fast(protocol: Protocol) -> Protocol:
    """Return a protocol for development: small networks, few batches, at most 10,000 showers.

    Args:
        protocol: the one that it stands for.
    """
    classifier = replace(
        protocol.classifier, n_epochs=15, batch_size=250, learning_rate=1e-3, hidden=128
    )
    return replace(
        protocol, classifier=classifier, n_fpd_batches=3, prdc_limit=10_000, is_fast=True
    )


def differences(protocol: Protocol, n_reference: int, n_generated: int) -> tuple[str, ...]:
    """Say in which a row differs from the published protocol.

    Args:
        protocol: how the row is measured.
        n_reference: showers of the reference.
        n_generated: showers of the smallest generated sample.

    Returns:
        Sentences; none if nothing differs.
    """
    smaller = min(n_reference, n_generated)
    found = [*_fast_sentences(protocol), *_classifier_sentences(protocol, smaller)]
    if not protocol.draws_as_published(smaller):
        low, high = protocol.fpd_sizes
        found.append(
            f"FPD and KPD come from batches without replacement of the {smaller:,} showers; the"
            f" published ones are drawn with replacement, {low:,} to {high:,} and"
            f" {protocol.kpd_batch_size:,} showers a batch, which keeps the distance that samples"
            " have by chance and needs large ones. Compare them with the floor of these files."
        )
        found.append(
            "For rows measured here the column FPD is the Frechet distance less Geant4's own at"
            " equal size, 0 on average for equal distributions and 0 by construction for Geant4"
            " itself: the extrapolated FPD is too large for so few showers, and stands among the"
            " other numbers as fpd."
        )
    used = min(smaller, protocol.prdc_limit or smaller)
    split = protocol.classifier.split
    if split is None or used < sum(split):
        found.append(
            "Separation powers, precision, recall, density and coverage depend on the number of"
            f" showers, about 100,000 of each sample in the published rows: here {smaller:,} for"
            f" separation powers, which chance alone makes larger, and {used:,} for the others."
        )
    skipped = [name for name in protocol.classifiers if name != "high"]
    if skipped and protocol.floor == "high":
        found.append(
            f"Geant4 against Geant4 was not measured for the classifiers {', '.join(skipped)}"
            " (--floor all does): 1/2 stands for it."
        )
    return tuple(found)


def _fast_sentences(protocol: Protocol) -> list[str]:
    if not protocol.is_fast:
        return []
    c = protocol.classifier
    return [
        "FAST MODE, for development; this is not the protocol and not comparable with the published"
        f" rows: classifiers of three layers of {c.hidden} instead of 2048 units, {c.n_epochs}"
        f" instead of 50 epochs, batches of {c.batch_size} instead of 1000, learning rate"
        f" {c.learning_rate:g} instead of 0.0002; {protocol.n_fpd_batches} instead of 20 batches"
        " for FPD."
    ]


def _classifier_sentences(protocol: Protocol, smaller: int) -> list[str]:
    if not protocol.classifiers:
        return ["No classifier was trained."]
    c, found = protocol.classifier_for(smaller), []
    if c.split is None:
        train, rest = smaller * 3 // 5, smaller // 5
        published = protocol.classifier.split or _SPLIT["2"]
        found.append(
            f"Classifiers were trained on {train:,} showers of each kind, selected on {rest:,} and"
            f" scored on {rest:,} instead of {published[0]:,}, {published[1]:,} and"
            f" {published[2]:,}: trained on fewer showers, they see less, and the AUC comes out"
            " lower."
        )
    if c.precision != "float64":
        found.append("Classifiers compute in float32; the published ones in float64.")
    if c.n_repeats == 1:
        found.append(
            "Each classifier was trained once: the error of its AUC is that of the scored showers;"
            " published errors come from repeated trainings (--repeats)."
        )
    return found
