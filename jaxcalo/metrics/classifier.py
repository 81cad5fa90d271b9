"""The CaloChallenge's classifiers: how well a network tells generated showers from Geant4's.

    AUC = 1/2 and JSD = 0      the network sees no difference
    AUC = 1   and JSD = 1      it always knows

`classify` trains the multilayer perceptron on inputs (n, d): `low_level`, `normalised_low_level` or
`frechet.high_level_features`; `classify_grids` trains the residual network on whole showers;
`log_posterior` trains one perceptron on the showers of several generators and asks it which of them
the Geant4 showers look like. Inputs are not standardised, as published.

Readout thresholds come first: apply `features.apply_threshold` to both samples.

Source: CaloChallenge, arXiv:2410.21611, section 4 (classifiers).
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxcalo.data import Showers
from jaxcalo.errors import InputError
from jaxcalo.geometry import Detector
from jaxcalo.metrics.calibration import (
    auc,
    calibration_curve,
    fit_calibrator,
    jensen_shannon,
    log_loss,
)
from jaxcalo.metrics.classifier_input import low_level
from jaxcalo.metrics.classifier_protocol import (
    DEFAULT_PROTOCOL,
    ClassifierProtocol,
    checked_inputs,
    combine,
    part_sizes,
    repetitions,
)
from jaxcalo.metrics.discriminator import (
    Division,
    Samples,
    Training,
    divide,
    logits,
    train,
)
from jaxcalo.metrics.estimate import Estimate
from jaxcalo.nets.classifier import MlpClassifier, ResNetClassifier
from jaxcalo.typing import Observe


class ClassifierScore(NamedTuple):
    """How well a classifier tells two samples apart, measured on the validation part.

    The errors hold the validation part's statistics (DeLong's for the AUC) and, where the training
    was repeated, also the standard deviation over the repetitions, added in squares; the value is
    then the mean. `Estimate.n` is the number of validation showers of each class.

    Attributes:
        auc: area under the ROC curve of the calibrated probabilities: the published number. Its
            error is raw_auc's: calibration only adds ties, under which DeLong's error shrinks, to
            zero where the test part shows no order at all.
        jsd: Jensen-Shannon divergence from them, in units of ln 2: the published number. Few test
            showers make it too low, since a bin without one class gets a probability of 1e-6.
        raw_auc: the same of the network's own outputs.
        raw_jsd: the same; far below zero where the network is too sure of itself.
        calibration: (10, 2) mean calibrated probability and fraction of Geant4 showers in ten bins,
            all repetitions together; NaN in an empty bin.
        n_epochs: epochs run in each training.
        best_epochs: the epoch of each training that was kept, counted from 1.
    """

    auc: Estimate
    jsd: Estimate
    raw_auc: Estimate
    raw_jsd: Estimate
    calibration: np.ndarray
    n_epochs: tuple[int, ...]
    best_epochs: tuple[int, ...]


class _Outcome(NamedTuple):
    """One training of two classes: logits (2 n,) of n generated, then n Geant4 showers."""

    training: Training
    test: np.ndarray
    validation: np.ndarray


class _Scored(NamedTuple):
    """One training's validation part: the four scores, labels and calibrated probabilities."""

    estimates: tuple[Estimate, Estimate, Estimate, Estimate]
    labels: np.ndarray
    probabilities: np.ndarray


def _score(test: np.ndarray, validation: np.ndarray) -> _Scored:
    """Calibrate on the test part and score the validation part."""
    from scipy.special import expit  # takes a sixth of a second

    test_labels, labels = (np.repeat([0, 1], len(z) // 2) for z in (test, validation))
    calibrator = fit_calibrator(expit(test), test_labels)
    p = calibrator(expit(validation))
    losses = -np.log(np.where(labels == 1, p, 1 - p))
    raw_auc = auc(validation, labels)
    estimates = (
        auc(p, labels)._replace(error=raw_auc.error),
        jensen_shannon(losses, labels),
        raw_auc,
        jensen_shannon(log_loss(validation, labels), labels),
    )
    return _Scored(estimates, labels, p)


def _summary(outcomes: Sequence[_Outcome]) -> ClassifierScore:
    """Scores of all trainings together."""
    scored = [_score(outcome.test, outcome.validation) for outcome in outcomes]
    return ClassifierScore(
        *(combine(column) for column in zip(*(s.estimates for s in scored), strict=True)),
        calibration=calibration_curve(
            np.concatenate([s.probabilities for s in scored]),
            np.concatenate([s.labels for s in scored]),
        ),
        n_epochs=tuple(outcome.training.n_epochs for outcome in outcomes),
        best_epochs=tuple(outcome.training.best_epoch for outcome in outcomes),
    )


def _trainings(
    net: Any, protocol: ClassifierProtocol, samples: Samples, seed: int, observe: Observe | None
) -> Iterator[tuple[Training, Division]]:
    """Train as often as the protocol says, each time with another division."""
    sizes = [len(sample) for sample in samples]
    split = part_sizes(protocol, sizes)
    for key, watch in repetitions(protocol, seed, observe):
        key_split, key_train = jax.random.split(key)
        parts = divide(key_split, sizes, split)
        yield (
            train(key_train, net, protocol.recipe, protocol.n_epochs, samples, parts, watch),
            parts,
        )


def _discriminate(
    net: Any,
    reference: np.ndarray,
    generated: np.ndarray,
    protocol: ClassifierProtocol,
    seed: int,
    observe: Observe | None,
) -> ClassifierScore:
    """Train and score any network on inputs (n, d); class 1 is the reference."""
    width = reference.shape[-1]
    checked = [
        checked_inputs(role, inputs, width, protocol.precision)
        for role, inputs in (("reference", reference), ("generated", generated))
    ]
    outcomes = []
    with jax.enable_x64(protocol.precision == "float64"):
        samples = tuple(jnp.asarray(inputs) for inputs in reversed(checked))
        for training, parts in _trainings(net, protocol, samples, seed, observe):
            test, validation = (
                logits(net, protocol.recipe, training.variables, samples, rows.ravel())[:, 0]
                for rows in (parts.test, parts.validation)
            )
            outcomes.append(_Outcome(training, test, validation))
    return _summary(outcomes)


def classify(
    reference_inputs: np.ndarray,
    generated_inputs: np.ndarray,
    protocol: ClassifierProtocol = DEFAULT_PROTOCOL,
    *,
    seed: int = 0,
    observe: Observe | None = None,
) -> ClassifierScore:
    """Train a perceptron to tell reference from generated showers, and score it.

    Args:
        reference_inputs: (n, d) of the reference, class 1; d = 1 + n_voxels for low_level.
        generated_inputs: (m, d) of the showers to judge, class 0.
        protocol: how.
        seed: of splits, initial weights and order; the same gives the same score.
        observe: called with (epochs done, epochs in all).

    Returns:
        The scores.

    Raises:
        InputError: inputs of different width or that are not finite, fewer than MIN_SHOWERS
            showers, or a split that needs more than there are.

    Source: CaloChallenge, arXiv:2410.21611, section 4 (binary classifier).
    """
    net = MlpClassifier(protocol.hidden)
    return _discriminate(net, reference_inputs, generated_inputs, protocol, seed, observe)


def classify_grids(
    reference: Showers,
    generated: Showers,
    detector: Detector,
    protocol: ClassifierProtocol = DEFAULT_PROTOCOL,
    *,
    seed: int = 0,
    observe: Observe | None = None,
) -> ClassifierScore:
    """Train the residual network on the grids of two samples, and score it as `classify` does.

    It is meant for accelerators: a CPU takes a minute for an epoch of a thousand showers. Since
    inputs are small numbers, the running variances of its normalisations need a few hundred steps
    (batches) until the network can be evaluated at all; samples of 10,000 showers give 600.

    Args:
        reference: n showers of the reference, after the readout threshold.
        generated: m showers to judge, after the readout threshold.
        detector: their readout: equal polar layers, as in data sets 2 and 3.
        protocol: how; `hidden` has no meaning here.
        seed: as in classify.
        observe: as in classify.

    Returns:
        The scores.

    Raises:
        InputError: as in classify, or a detector that is no regular cylinder.

    Source: CaloChallenge, arXiv:2410.21611, section 4 (CNN classifier).
    """
    grid = detector.grid_shape
    if len(grid) != 3:
        raise InputError(
            f"ResNet classifier: expected equal polar layers, found the crystal matrix"
            f" {detector.name!r}; use the low-level classifier"
        )
    for role, showers in (("reference", reference), ("generated", generated)):
        if showers.voxel_energy_mev.shape[1] != detector.n_voxels:
            raise InputError(
                f"ResNet classifier: expected showers of {detector.n_voxels} voxels for geometry"
                f" {detector.name!r}, found {showers.voxel_energy_mev.shape[1]} in the {role};"
                " choose the geometry that both were made with"
            )
    inputs = low_level(reference), low_level(generated)
    return _discriminate(ResNetClassifier(grid), *inputs, protocol, seed, observe)


def log_posterior(
    samples: Sequence[np.ndarray],
    reference_inputs: np.ndarray,
    protocol: ClassifierProtocol = DEFAULT_PROTOCOL,
    *,
    seed: int = 0,
    observe: Observe | None = None,
) -> list[Estimate]:
    """Ask one classifier of several generators which of them made the Geant4 showers.

    A perceptron with one logit a generator is trained on their showers alone, then

        value_k = mean over Geant4 showers of log p(generator k | shower)   (1)

    in nats: the best generator has the highest; all alike give -log(number of generators).

    Args:
        samples: two or more samples (n_k, d), one a generator.
        reference_inputs: (m, d) Geant4 showers; none of them is trained on.
        protocol: how; the split counts showers of each generator.
        seed: as in classify.
        observe: as in classify.

    Returns:
        One estimate a generator, with the error of the mean (1) and, where the training was
        repeated, the standard deviation over the repetitions, added in squares; n = m.

    Raises:
        InputError: fewer than two samples, or as in classify.

    Source: CaloChallenge, arXiv:2410.21611, section 4 (multiclass classifier).
    """
    from scipy.special import log_softmax  # takes a sixth of a second

    if len(samples) < 2:
        raise InputError(
            f"log-posterior: expected samples of two or more generators, found {len(samples)};"
            " compare one sample with the reference by the binary classifier"
        )
    width = reference_inputs.shape[-1]
    reference = checked_inputs("reference", reference_inputs, width, protocol.precision)
    checked = [
        checked_inputs(f"generator {k + 1}'s", sample, width, protocol.precision)
        for k, sample in enumerate(samples)
    ]
    net = MlpClassifier(protocol.hidden, n_outputs=len(checked))
    n = len(reference)
    repeated = []
    with jax.enable_x64(protocol.precision == "float64"):
        held, asked = tuple(jnp.asarray(sample) for sample in checked), (jnp.asarray(reference),)
        rows = np.arange(n, dtype=np.int32)
        for training, _ in _trainings(net, protocol, held, seed, observe):
            found = log_softmax(
                logits(net, protocol.recipe, training.variables, asked, rows), axis=1
            )
            errors = found.std(axis=0, ddof=1) / np.sqrt(n)
            repeated.append(
                [Estimate(*ve, n) for ve in zip(found.mean(axis=0), errors, strict=True)]
            )
    return [combine(column) for column in zip(*repeated, strict=True)]
