"""The classifier of the CaloClouds papers: how well 25 features tell generated from real showers.

The features of `cloud_features`, in units of the reference's mean and standard deviation, go
through a perceptron 25-32-16-1. The showers are divided into k folds; k perceptrons are trained,
each on k - 2 folds, with the epoch chosen on the next fold and the AUC measured on the last one, so
that every shower is tested once by a network that has not seen it. AUC = 1/2: no difference.

The error of the mean over k folds is that of one fold, s, the larger of the folds' standard
deviation and of DeLong's error of their AUC, enlarged for the showers that the trainings share:

    error^2 = s^2 (1 / k + 1 / (k - 2))                                     (1)

Ten epochs of the published 800,000 showers are 31,000 steps; of a few hundred showers they are
thirty, in which a network learns little and flatters the generator. So there are more epochs.

Source: CaloClouds II, arXiv:2309.05704, section 4.3 (classifier scores); equation (1), Nadeau and
Bengio, Mach. Learn. 52 (2003) 239.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxcalo.errors import InputError
from jaxcalo.metrics.calibration import auc
from jaxcalo.metrics.classifier_protocol import checked_inputs
from jaxcalo.metrics.cloud_observables import CloudObservables, are_paired, cloud_features
from jaxcalo.metrics.discriminator import Division, Recipe, logits, train
from jaxcalo.metrics.estimate import Estimate
from jaxcalo.metrics.wasserstein import reference_scale
from jaxcalo.nets.classifier import MlpClassifier
from jaxcalo.typing import Observe

# Chosen: of 400 and 400 showers, Gaussians whose best possible AUC is 0.86, the classifier reaches
# 0.74 after 30 steps, 0.81 after 300 and no more after 1500.
MIN_STEPS = 300


@dataclass(frozen=True)
class CloudClassifierProtocol:
    """How the classifier is trained; the defaults are the published ones.

    Attributes:
        n_folds: trainings, and parts that the showers are divided into.
        n_epochs: at least; more where they are fewer than MIN_STEPS steps.
        min_steps: of the optimizer, in each training.
        batch_size: showers in a batch.
        learning_rate: of Adam.
        widths: of the hidden layers.
        negative_slope: of the LeakyReLU.
    """

    n_folds: int = 10
    n_epochs: int = 10
    min_steps: int = MIN_STEPS
    batch_size: int = 256
    learning_rate: float = 1e-3
    widths: tuple[int, ...] = (32, 16)
    negative_slope: float = 0.2

    def __post_init__(self):
        if self.n_folds < 3:
            raise InputError(
                f"classifier: expected 3 folds or more, found {self.n_folds}; one is for the test,"
                " one to choose the epoch and the others to train"
            )
        if min(self.n_epochs, self.batch_size, *self.widths) < 1:
            raise InputError(
                "classifier: expected epochs, batch size and widths of 1 or more, found"
                f" {self.n_epochs}, {self.batch_size} and {self.widths}"
            )


DEFAULT_PROTOCOL = CloudClassifierProtocol()


class CloudClassifierScore(NamedTuple):
    """How well the classifier tells two samples apart.

    Attributes:
        auc: mean over the folds, with the error of equation (1).
        spread: standard deviation over the folds: the published error.
        folds: (k,) AUC of each fold.
    """

    auc: Estimate
    spread: float
    folds: np.ndarray

    def to_json(self) -> dict:
        """Return the fields as plain values."""
        return {**self.auc.to_json(), "spread": self.spread, "folds": self.folds.tolist()}


def _folds(n: int, seed: int, n_folds: int) -> list[np.ndarray]:
    """Numbers 0 ... n - 1, shuffled and divided into folds of equal size, to one."""
    shuffled = np.asarray(jax.random.permutation(jax.random.key(seed), n), dtype=np.int32)
    return np.array_split(shuffled, n_folds)


def _divisions(folds: list[np.ndarray], n: int) -> Iterator[Division]:
    """For each fold the rows of both classes: n of the one, then n of the other."""
    both = [np.stack([fold, fold + n]) for fold in folds]
    for i, validation in enumerate(both):
        chooser = (i + 1) % len(both)
        others = [rows for j, rows in enumerate(both) if j not in (i, chooser)]
        yield Division(np.concatenate(others, axis=1), both[chooser], validation)


def classify_features(
    reference: np.ndarray,
    generated: np.ndarray,
    protocol: CloudClassifierProtocol = DEFAULT_PROTOCOL,
    *,
    seed: int = 0,
    observe: Observe | None = None,
) -> CloudClassifierScore:
    """Train and test the classifier on features in any unit.

    Args:
        reference: (n, d) of the reference, class 1.
        generated: (n, d) of the showers to judge; rows of one number are in one fold.
        protocol: how.
        seed: of folds, initial weights and order.
        observe: called with (folds done, folds).

    Returns:
        The score.

    Raises:
        InputError: samples of different size or width, features that are not finite, fewer than
            20 showers or than two for each fold.
    """
    n, width = reference.shape
    if len(generated) != n or n < 2 * protocol.n_folds:
        raise InputError(
            f"classifier: expected two samples of one size, {2 * protocol.n_folds} showers or more,"
            f" found {n} and {len(generated)}; cut the larger one or take fewer folds"
        )
    mean, scale = reference.mean(axis=0), reference_scale(reference)
    samples = tuple(
        jnp.asarray(checked_inputs(role, (features - mean) / scale, width, "float32"))
        for role, features in (("generated", generated), ("reference", reference))
    )
    recipe = Recipe(protocol.batch_size, protocol.learning_rate)
    net = MlpClassifier(widths=protocol.widths, negative_slope=protocol.negative_slope)
    folds, found = _folds(n, seed, protocol.n_folds), []
    for i, parts in enumerate(_divisions(folds, n)):
        key = jax.random.fold_in(jax.random.key(seed), i)
        steps = -(-parts.train.size // protocol.batch_size)
        n_epochs = max(protocol.n_epochs, -(-protocol.min_steps // steps))
        training = train(key, net, recipe, n_epochs, samples, parts)
        rows = parts.validation.ravel()
        scores = logits(net, recipe, training.variables, samples, rows)[:, 0]
        found.append(auc(scores, (rows >= n).astype(int)))
        if observe is not None:
            observe(i + 1, protocol.n_folds)
    values = np.asarray([fold.value for fold in found])
    spread = float(values.std(ddof=1))
    one_fold = max(spread, float(np.sqrt(np.mean([fold.error**2 for fold in found]))))
    error = one_fold * float(np.sqrt(1 / protocol.n_folds + 1 / (protocol.n_folds - 2)))
    return CloudClassifierScore(Estimate(float(values.mean()), error, n), spread, values)


def classify_clouds(
    reference: CloudObservables,
    generated: CloudObservables,
    protocol: CloudClassifierProtocol = DEFAULT_PROTOCOL,
    *,
    seed: int = 0,
    observe: Observe | None = None,
) -> CloudClassifierScore:
    """Train and test the classifier on two samples of clouds.

    Of the larger sample as many showers are taken as the smaller one has: at random, or, where
    generated showers were made for the reference's incident energies in order, the first ones.

    Args:
        reference: observables of Geant4.
        generated: observables of the sample to judge, with the same binning and threshold.
        protocol: how.
        seed: of the showers taken, folds, initial weights and order.
        observe: called with (folds done, folds).

    Returns:
        The score; with another Geant4 sample as `generated` it is the null, see `classifier_null`.

    Raises:
        InputError: as `classify_features`.
    """
    n = min(reference.n_showers, generated.n_showers)
    paired = are_paired(reference, generated)

    def taken(sample: CloudObservables, index: int) -> np.ndarray:
        key = jax.random.fold_in(jax.random.key(seed), index)
        order = np.asarray(jax.random.permutation(key, sample.n_showers))
        return cloud_features(sample)[:n] if paired else cloud_features(sample)[order[:n]]

    return classify_features(
        taken(reference, 0), taken(generated, 1), protocol, seed=seed, observe=observe
    )


def classifier_null(
    reference: CloudObservables,
    protocol: CloudClassifierProtocol = DEFAULT_PROTOCOL,
    *,
    seed: int = 0,
    observe: Observe | None = None,
) -> CloudClassifierScore:
    """Train and test the classifier on two random halves of the reference: Geant4 against Geant4.

    Its AUC is 1/2 but for the error; a value far from it would be a fault of the procedure.

    Args:
        reference: observables of Geant4, n showers; n // 2 in each half.
        protocol: how.
        seed: of the halves, folds, initial weights and order.
        observe: called with (folds done, folds).

    Returns:
        The score.

    Raises:
        InputError: as `classify_features`.
    """
    features, half = cloud_features(reference), reference.n_showers // 2
    order = np.asarray(jax.random.permutation(jax.random.key(seed), reference.n_showers))
    return classify_features(
        features[order[:half]],
        features[order[half : 2 * half]],
        protocol,
        seed=seed,
        observe=observe,
    )
