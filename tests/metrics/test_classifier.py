from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import entr
from scipy.stats import norm

from jaxcalo.data import Showers
from jaxcalo.data.toy import toy_showers
from jaxcalo.errors import InputError
from jaxcalo.geometry import Detector, PolarLayer, load_geometry
from jaxcalo.metrics import (
    ClassifierProtocol,
    Estimate,
    classifier,
    classify,
    classify_grids,
    discriminator,
    log_posterior,
    low_level,
)
from jaxcalo.metrics.classifier_protocol import combine
from jaxcalo.nets import ResNetClassifier

# Tests share these two and their numbers of showers, so that the training compiles twice.
QUICK = ClassifierProtocol(
    n_epochs=8, batch_size=200, learning_rate=2e-3, hidden=32, split=(3000, 1000, 1000)
)
SMALL = ClassifierProtocol(
    n_epochs=6, batch_size=90, learning_rate=1e-2, hidden=16, split=(180, 60, 60), n_repeats=2
)


def normal(seed, n, d=3):
    return np.array(jax.random.normal(jax.random.key(seed), (n, d)))


def shifted(seed, n, distance, d=3):
    """Normal numbers, moved by a distance along the diagonal."""
    return normal(seed, n, d) + distance / np.sqrt(d)


def within(estimate, value, n_sigma=2):
    return abs(estimate.value - value) <= n_sigma * estimate.error


def test_two_halves_of_one_sample_cannot_be_told_apart():
    score = classify(normal(0, 5000), normal(1, 5000), QUICK)
    assert within(score.auc, 0.5)
    assert within(score.raw_auc, 0.5)
    assert -0.05 < score.jsd.value < 2 * score.jsd.error
    # the null distribution of the rank sum
    expected = np.sqrt((2 * 1000 + 1) / (12 * 1000**2))
    np.testing.assert_allclose(score.auc.error, expected, rtol=0.03)
    assert score.auc.n == 1000


@pytest.fixture(scope="module")
def apart():
    """Two normal samples 1.5 standard deviations apart."""
    return classify(shifted(2, 5000, 1.5), normal(3, 5000), QUICK)


def test_auc_of_shifted_normal_samples(apart):
    expected = norm.cdf(1.5 / np.sqrt(2))
    assert within(apart.auc, expected)
    assert within(apart.raw_auc, expected)
    assert apart.auc.error < 0.011


def test_divergence_of_shifted_normal_samples(apart):
    def density(x):
        p, q = norm.pdf(x), norm.pdf(x - 1.5)
        return entr((p + q) / 2) - (entr(p) + entr(q)) / 2

    expected = quad(density, -10, 12)[0] / np.log(2)
    assert within(apart.raw_jsd, expected)
    assert within(apart.jsd, expected)
    assert apart.raw_jsd.error < 0.02


def test_calibration_curve_follows_the_diagonal(apart):
    mean, fraction = apart.calibration.T
    assert np.all(np.diff(mean) > 0)
    # about 200 showers a bin
    np.testing.assert_allclose(fraction, mean, atol=0.1)
    assert fraction[-1] > 0.85
    assert fraction[0] < 0.15


def test_class_1_is_the_reference():
    reference = normal(40, 300)
    reference[::2] += 12  # showers that nothing generated looks like
    assert classify(reference, normal(41, 300), SMALL).calibration[-1, 1] > 0.95


def test_training_stops_when_nothing_is_left_to_learn():
    seen = []
    protocol = replace(SMALL, n_epochs=30)
    far, near = shifted(4, 300, 12), normal(5, 300)
    score = classify(far, near, protocol, observe=lambda done, total: seen.append((done, total)))
    assert score.auc.value == 1
    np.testing.assert_allclose(score.jsd.value, 1, atol=0.03)
    assert all(1 <= n < 30 for n in score.n_epochs)
    assert score.best_epochs == score.n_epochs
    first, second = score.n_epochs
    done = [*range(1, first + 1), *range(31, 31 + second), 60]
    assert seen == [(i, 60) for i in done]


def test_same_seed_same_score_without_compiling_again():
    a, b = shifted(6, 300, 1), normal(7, 300)
    first = classify(a, b, SMALL, seed=5)
    compiled = discriminator._epoch._cache_size(), discriminator._evaluate._cache_size()
    again = classify(a, b, replace(SMALL, n_epochs=7, n_repeats=3), seed=5)
    now = discriminator._epoch._cache_size(), discriminator._evaluate._cache_size()
    assert now == compiled
    again = classify(a, b, SMALL, seed=5)
    assert first[:4] == again[:4]
    np.testing.assert_array_equal(first.calibration, again.calibration)
    other = classify(a, b, SMALL, seed=6)
    assert other.raw_auc.value != first.raw_auc.value


def test_repeated_trainings_add_their_spread_to_the_error():
    values = [Estimate(0.5, 0.03, 9), Estimate(0.6, 0.04, 9), Estimate(0.7, 0.05, 9)]
    within_each = np.sqrt((0.03**2 + 0.04**2 + 0.05**2) / 3)
    found = combine(values)
    np.testing.assert_allclose(found, (0.6, np.hypot(within_each, 0.1), 9))
    assert combine(values[:1]) == values[0]


def test_float64_agrees_with_float32_and_stays_inside():
    a, b = shifted(15, 300, 1.5), normal(16, 300)
    single = classify(a, b, SMALL)
    exact = classify(a, b, replace(SMALL, precision="float64"))
    assert single.raw_jsd.value != exact.raw_jsd.value
    assert within(single.raw_auc, exact.raw_auc.value)
    assert jnp.ones(1).dtype == jnp.float32


def test_posterior_of_three_generators():
    places = np.array([-1.0, 0.3, 1.5])
    samples = [normal(20 + k, 5000, 1) + m for k, m in enumerate(places)]
    protocol = replace(QUICK, batch_size=500, learning_rate=1e-3)
    found = log_posterior(samples, normal(30, 3000, 1), protocol)

    def mean_log_posterior(k):
        def integrand(x):
            logs = norm.logpdf(x - places)
            return norm.pdf(x) * (logs[k] - np.logaddexp.reduce(logs))

        return quad(integrand, -9, 9)[0]

    expected = [mean_log_posterior(k) for k in range(3)]
    for estimate, value in zip(found, expected, strict=True):
        # the network's own error comes on top of the reference's
        assert abs(estimate.value - value) < 2 * estimate.error + 0.03
        assert estimate.n == 3000
    assert np.argmax([e.value for e in found]) == 1


@pytest.mark.parametrize(
    ("reference", "generated", "message"),
    [
        ((30, 3), (30, 4), r"expected all inputs to be \(n, 3\), found generated.*\(30, 4\)"),
        ((30, 3), (19, 3), "expected 20 showers or more.*found 19 generated"),
        ((30,), (30, 3), r"found reference inputs of shape \(30,\)"),
    ],
)
def test_samples_that_cannot_be_compared_are_refused(reference, generated, message):
    with pytest.raises(InputError, match=message) as error:
        classify(np.ones(reference), np.ones(generated), QUICK)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_inputs_that_are_not_finite_are_refused(bad):
    inputs = normal(0, 40).astype(np.float64)
    inputs[[7, 9], 1] = bad
    with pytest.raises(InputError, match="others in 2 generated showers, first in shower 7"):
        classify(normal(1, 40), inputs, QUICK)


def test_a_training_that_diverges_is_no_score():
    inputs = np.sign(normal(0, 300)) * np.float32(3e38)
    with pytest.raises(InputError, match="finite outputs after the training"):
        classify(inputs, inputs, SMALL)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_epochs": 0}, "n_epochs of 1 or more, found 0"),
        ({"batch_size": -1}, "batch_size of 1 or more, found -1"),
        ({"hidden": 0}, "hidden of 1 or more"),
        ({"n_repeats": 0}, "n_repeats of 1 or more"),
        ({"learning_rate": 0.0}, "a positive learning_rate, found 0.0"),
        ({"precision": "float16"}, "float32 or float64, found float16"),
        ({"split": (10, 5)}, r"three numbers of showers.*found \(10, 5\)"),
        ({"split": (10, 5, 1)}, "each 2 or more"),
    ],
)
def test_impossible_protocols_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        ClassifierProtocol(**options)


def test_a_split_needs_enough_showers():
    protocol = ClassifierProtocol(split=(20, 10, 11))
    with pytest.raises(InputError, match=r"\(20, 10, 11\) needs 41 showers.*found 40 in"):
        classify(normal(0, 40), normal(1, 50), protocol)


def test_one_generator_has_no_posterior():
    with pytest.raises(InputError, match="two or more generators, found 1"):
        log_posterior([normal(0, 40)], normal(1, 40), QUICK)


def test_grids_are_those_of_regular_cylinders():
    crystals, photons = load_geometry("ecal_crystals"), load_geometry("ds1-photons")
    showers = Showers(np.ones(30), np.ones((30, crystals.n_voxels), np.float32))
    with pytest.raises(InputError, match="expected equal polar layers, found the crystal"):
        classify_grids(showers, showers, crystals)
    with pytest.raises(InputError, match="layers of different binning"):
        classify_grids(showers, showers, photons)
    regular = Detector("regular", "photon", 22, tuple(PolarLayer(i, (0, 5), 2) for i in range(3)))
    with pytest.raises(InputError, match=r"expected showers of 6 voxels.*in the reference"):
        classify_grids(showers, showers, regular)


def test_grids_reach_the_residual_network_in_file_order(monkeypatch):
    asked = {}
    monkeypatch.setattr(
        classifier, "_discriminate", lambda net, *args: asked.update(net=net, inputs=args[:2])
    )
    layers = tuple(PolarLayer(i, (0, 5, 9), 4) for i in range(3))
    detector = Detector("regular", "photon", 22, layers)
    a, b = (toy_showers(jax.random.key(k), detector, 30) for k in range(2))
    classify_grids(a, b, detector)
    assert asked["net"].grid == (3, 4, 2)
    for inputs, showers in zip(asked["inputs"], (a, b), strict=True):
        np.testing.assert_array_equal(inputs, low_level(showers))


@pytest.mark.slow
def test_residual_network_separates_two_kinds_of_grids():
    grid = (9, 8, 5)
    layers = tuple(PolarLayer(i, (0, 5, 10, 15, 20, 30), 8) for i in range(9))
    detector = Detector("tiny", "photon", 22, layers)

    def inputs(seed, step=1):
        """Voxels of order one, so that the running variances come down in a few steps."""
        showers = low_level(toy_showers(jax.random.key(seed), detector, 150))
        voxels = 3000 * showers[:, 1:].reshape(150, *grid)[:, ::step]
        return np.concatenate([showers[:, :1], voxels.reshape(150, -1)], axis=1)

    def score(other):
        protocol = ClassifierProtocol(n_epochs=10, batch_size=60, learning_rate=1e-3)
        net = ResNetClassifier(grid)
        return classifier._discriminate(net, inputs(0), other, protocol, 0, None)

    backwards, again = score(inputs(1, -1)), score(inputs(1, -1))
    assert backwards.raw_auc.value > 0.98
    assert again[:4] == backwards[:4]
    assert within(score(inputs(2)).raw_auc, 0.5)
