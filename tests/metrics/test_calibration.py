import jax
import numpy as np
import pytest
from scipy.stats import norm

from jaxcalo.metrics.calibration import (
    MARGIN,
    auc,
    calibration_curve,
    fit_calibrator,
    jensen_shannon,
    log_loss,
)


def uniform(seed, n):
    return np.asarray(jax.random.uniform(jax.random.key(seed), (n,)), dtype=float)


def normal(seed, n):
    return np.asarray(jax.random.normal(jax.random.key(seed), (n,)), dtype=float)


def two_classes(n_0, n_1, shift):
    scores = np.concatenate([normal(0, n_0), normal(1, n_1) + shift])
    return scores, np.repeat([0, 1], [n_0, n_1])


def counted_auc(scores, labels):
    ahead = scores[labels == 1][:, None] - scores[labels == 0]
    return np.mean(ahead > 0) + np.mean(ahead == 0) / 2


@pytest.mark.parametrize("digits", [0, 1, 8])
def test_auc_counts_pairs_and_ties_as_one_half(digits):
    scores, labels = two_classes(90, 70, 0.7)
    rounded = np.round(scores, digits)
    found = auc(rounded, labels)
    np.testing.assert_allclose(found.value, counted_auc(rounded, labels), rtol=1e-12)
    assert found.n == 70
    np.testing.assert_allclose(auc(-rounded, labels).value, 1 - found.value, rtol=1e-12)


def test_auc_of_separate_and_of_equal_scores():
    labels = np.repeat([0, 1], 5)
    assert auc(np.arange(10.0), labels) == (1, 0, 5)
    assert auc(np.arange(10.0), 1 - labels) == (0, 0, 5)
    assert auc(np.zeros(10), labels) == (0.5, 0, 5)


@pytest.mark.parametrize(("digits", "shift"), [(8, 0.0), (8, 1.0), (0, 1.0)])
def test_error_of_auc_equals_that_of_the_bootstrap(digits, shift):
    scores, labels = two_classes(120, 80, shift)
    scores = np.round(scores, digits)
    draws = [
        (uniform(2 + k, 2000 * n) * n).astype(int).reshape(2000, n) for k, n in ((0, 120), (1, 80))
    ]
    negative, positive = scores[:120][draws[0]], scores[120:][draws[1]]
    values = []
    for a, b in zip(negative, positive, strict=True):
        below = np.searchsorted(np.sort(a), b, side="left")
        values.append((below + np.searchsorted(np.sort(a), b, side="right")).mean() / 240)
    # 2000 draws know a standard deviation to 1.6 %
    np.testing.assert_allclose(auc(scores, labels).error, np.std(values), rtol=0.05)


def test_error_of_auc_covers_the_truth():
    pulls = []
    for seed in range(300):
        scores = np.concatenate([normal(2 * seed, 60), normal(2 * seed + 1, 60) + 1])
        found = auc(scores, np.repeat([0, 1], 60))
        pulls.append((found.value - norm.cdf(np.sqrt(0.5))) / found.error)
    assert abs(np.mean(pulls)) < 3 / np.sqrt(300)
    np.testing.assert_allclose(np.std(pulls), 1, atol=3 / np.sqrt(600))


def pool_adjacent_violators(values, weights):
    """Merge neighbours that decrease, one pair at a time, until there is none."""
    blocks = [([v], [w]) for v, w in zip(values, weights, strict=True)]
    means = list(values)
    while True:
        falling = [i for i in range(len(means) - 1) if means[i] > means[i + 1]]
        if not falling:
            return np.concatenate([[m] * len(b[0]) for m, b in zip(means, blocks, strict=True)])
        i = falling[0]
        merged = (blocks[i][0] + blocks[i + 1][0], blocks[i][1] + blocks[i + 1][1])
        blocks[i : i + 2] = [merged]
        means[i : i + 2] = [np.average(merged[0], weights=merged[1])]


def test_calibrator_is_isotonic_regression_with_weights_for_ties():
    scores = np.round(uniform(10, 300), 2)
    labels = (uniform(11, 300) < 0.1 + 0.8 * scores**2).astype(int)
    found = fit_calibrator(scores, labels)
    points = np.unique(scores)
    np.testing.assert_array_equal(found.scores, points)
    values = np.array([labels[scores == point].mean() for point in points])
    weights = np.array([(scores == point).sum() for point in points])
    assert weights.max() > 1
    expected = np.clip(pool_adjacent_violators(values, weights), 1e-6, 1 - 1e-6)
    np.testing.assert_allclose(found.probabilities, expected, rtol=1e-12)
    assert 3 < len(np.unique(expected)) < len(points) / 2


def test_calibrator_is_linear_between_its_points_and_constant_outside():
    scores = np.array([0.2, 0.4, 0.4, 0.4, 0.8, 0.9])
    labels = np.array([0, 1, 0, 0, 0, 1])
    # 0.4 and 0.8 fall, so they are pooled to 1 of 4
    calibrator = fit_calibrator(scores, labels)
    asked = np.array([0.0, 0.2, 0.3, 0.5, 0.8, 0.85, 0.9, 1.0])
    expected = np.array([0, 0, 0.125, 0.25, 0.25, 0.625, 1, 1])
    np.testing.assert_allclose(calibrator(asked), expected, atol=2e-6)
    assert calibrator(asked).min() == MARGIN
    assert calibrator(asked).max() == 1 - MARGIN


def test_scores_in_the_wrong_order_become_the_mean():
    calibrator = fit_calibrator(np.array([1.0, 2, 3, 4]), np.array([1, 1, 1, 0]))
    np.testing.assert_allclose(calibrator(np.array([0.0, 2.5, 9])), 0.75)


def test_divergence_of_two_known_distributions():
    # what a perfect classifier says of three kinds of showers, as many of both classes
    counts = np.array([[60, 30, 10], [10, 20, 70]])
    kinds = np.concatenate([np.repeat([0, 1, 2], row) for row in counts])
    labels = np.repeat([0, 1], 100)
    posterior = counts[1] / counts.sum(axis=0)
    logits = np.log(posterior / (1 - posterior))[kinds]
    p, q = counts / 100
    middle = (p + q) / 2
    expected = (np.sum(p * np.log2(p / middle)) + np.sum(q * np.log2(q / middle))) / 2
    losses = log_loss(logits, labels)
    found = jensen_shannon(losses, labels)
    np.testing.assert_allclose(found.value, expected, rtol=1e-12)
    spread = np.sqrt(np.sum((losses - losses.mean()) ** 2) / 199 / 200) / np.log(2)
    np.testing.assert_allclose(found.error, spread, rtol=1e-12)
    assert found.n == 100


def test_divergence_is_zero_of_a_coin_and_one_of_certainty():
    labels = np.repeat([0, 1], 4)
    np.testing.assert_allclose(jensen_shannon(log_loss(np.zeros(8), labels), labels).value, 0)
    certain = log_loss(np.where(labels == 1, 1000.0, -1000), labels)
    assert jensen_shannon(certain, labels) == (1, 0, 4)
    np.testing.assert_array_equal(log_loss(np.array([1000.0, -1000]), np.array([0, 1])), 1000)


def test_calibration_curve_by_hand():
    probabilities = np.array([0.0, 0.1, 0.100001, 0.5, 0.95, 1.0, 0.99])
    labels = np.array([0, 1, 1, 0, 1, 1, 0])
    found = calibration_curve(probabilities, labels)
    expected = np.full((10, 2), np.nan)
    expected[0] = 0.05, 0.5
    expected[1] = 0.100001, 1
    expected[4] = 0.5, 0
    expected[9] = 0.98, 2 / 3
    np.testing.assert_allclose(found, expected, rtol=1e-12)
