"""What a classifier's outputs say: AUC with its error, divergence, calibration.

With the scores s+ of the n+ showers of class 1 and s- of the n- showers of class 0,

    AUC = P(s+ > s-) + P(s+ = s-) / 2                                       (1)

is 1/2 where the classes cannot be told apart. The mean cross-entropy (BCE) of probabilities p
bounds the Jensen-Shannon divergence of the two classes from below,

    JSD >= (ln 2 - BCE) / ln 2,                                             (2)

with equality for p = p(class 1 | shower); in units of ln 2 it lies between 0 and 1, but an estimate
from a finite sample may be negative. Isotonic regression replaces a score by the fraction of class
1 at that score, as the best non-decreasing function of it.

Source: CaloChallenge, arXiv:2410.21611, section 4 (classifiers).
"""

from typing import NamedTuple

import numpy as np

from jaxcalo.metrics.estimate import Estimate

N_BINS = 10
MARGIN = 1e-6  # the challenge's: keeps a calibrated probability from 0 and 1, hence BCE finite


def auc(scores: np.ndarray, labels: np.ndarray) -> Estimate:
    """Compute equation (1) with DeLong's error, both exact and with ties counted as one half.

    For each shower of one class the fraction of the other that it beats is V; AUC is the mean of V,

        error^2 = var(V+) / n+ + var(V-) / n-                               (3)

    Args:
        scores: (n,) outputs of the classifier, larger for class 1; only their order matters.
        labels: (n,) 0 or 1, at least two of each.

    Returns:
        AUC in [0, 1]; n is the number of showers of the smaller class.

    Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837; by ranks: Sun and Xu,
    IEEE Signal Process. Lett. 21 (2014) 1389.
    """
    from scipy.stats import rankdata  # takes half a second

    positive = labels == 1
    ranks, n_1 = rankdata(scores), int(positive.sum())
    n_0 = len(scores) - n_1
    # the rank among all, less the rank in the own class, is the number of the other class beaten
    beaten_by_1 = (ranks[positive] - rankdata(scores[positive])) / n_0
    beaten_by_0 = (ranks[~positive] - rankdata(scores[~positive])) / n_1
    variance = beaten_by_1.var(ddof=1) / n_1 + beaten_by_0.var(ddof=1) / n_0
    return Estimate(float(beaten_by_1.mean()), float(np.sqrt(variance)), min(n_0, n_1))


def log_loss(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return -log p(label) in nats of logits (n,), exact however large they are: (n,)."""
    return np.logaddexp(0, np.where(labels == 1, -logits, logits))


def jensen_shannon(losses: np.ndarray, labels: np.ndarray) -> Estimate:
    """Compute equation (2); the error is that of the mean of the losses.

    Args:
        losses: (n,) -log p(label), nats.
        labels: (n,) 0 or 1, as many of each, or else (2) has another upper end than 1.

    Returns:
        The divergence in units of ln 2; n is the number of showers of the smaller class.
    """
    n_1 = int((labels == 1).sum())
    error = losses.std(ddof=1) / np.sqrt(len(losses))
    value = 1 - losses.mean() / np.log(2)
    return Estimate(float(value), float(error / np.log(2)), min(n_1, len(labels) - n_1))


class Calibrator(NamedTuple):
    """A non-decreasing function through points, linear between them and constant outside.

    Attributes:
        scores: (k,) increasing.
        probabilities: (k,) not decreasing, in [MARGIN, 1 - MARGIN].
    """

    scores: np.ndarray
    probabilities: np.ndarray

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Return the calibrated probabilities of class 1: (n,)."""
        return np.interp(scores, self.scores, self.probabilities)


def fit_calibrator(scores: np.ndarray, labels: np.ndarray) -> Calibrator:
    """Fit isotonic regression: least squares of the labels among all non-decreasing functions.

    Equal scores are one point, with their number as weight.

    Args:
        scores: (n,) float64 outputs of the classifier, in any monotonic scale.
        labels: (n,) 0 or 1.

    Returns:
        The function, for scores in the same scale.

    Source: Zadrozny and Elkan, Proc. KDD (2002) 694.
    """
    from scipy.optimize import isotonic_regression  # takes a third of a second

    points, which, counts = np.unique(scores, return_inverse=True, return_counts=True)
    fractions = np.bincount(which, labels) / counts
    fitted = isotonic_regression(fractions, weights=counts).x
    return Calibrator(points, np.clip(fitted, MARGIN, 1 - MARGIN))


def calibration_curve(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Compare probabilities with frequencies in ten bins of equal width, (0, 0.1], (0.1, 0.2], ...

    Args:
        probabilities: (n,) of class 1, in [0, 1].
        labels: (n,) 0 or 1.

    Returns:
        (10, 2): mean probability and fraction of class 1 in each bin; NaN in an empty bin.
    """
    inner_edges = np.linspace(0, 1, N_BINS + 1)[1:-1]
    which = np.searchsorted(inner_edges, probabilities)
    sums = [np.bincount(which, w, N_BINS) for w in (probabilities, labels)]
    counts = np.bincount(which, minlength=N_BINS)
    with np.errstate(invalid="ignore"):
        return np.stack(sums, axis=1) / counts[:, None]
