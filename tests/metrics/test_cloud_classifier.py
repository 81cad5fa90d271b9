import jax
import numpy as np
import pytest
from scipy import stats

from jaxcalo.errors import InputError
from jaxcalo.metrics import (
    OBSERVABLES,
    CloudClassifierProtocol,
    CloudObservables,
    Observable,
    classifier_null,
    classify_clouds,
    classify_features,
)
from jaxcalo.metrics.cloud_classifier import _divisions, _folds
from jaxcalo.nets.classifier import MlpClassifier


def normal(seed, *shape):
    """Normal numbers, cut from as many for every shape: one compilation for all."""
    drawn = jax.random.normal(jax.random.key(seed), (2**14,))
    return np.asarray(drawn, dtype=float)[: np.prod(shape)].reshape(shape)


# ten times the learning rate needs a tenth of the steps
PROTOCOL = CloudClassifierProtocol(n_folds=5, min_steps=30, learning_rate=1e-2)


def clouds(seed, n, shift=0.0, energies=None):
    values = {}
    for i, name in enumerate(OBSERVABLES):
        width = 10 if name in ("e_long", "e_radial") else 1
        values[name] = Observable(shift + normal(100 * seed + i, n, width), np.arange(n))
    energies = np.abs(normal(seed, n)) if energies is None else energies
    return CloudObservables("memory", 0.1, energies, values)


def test_the_network_is_the_published_one():
    net = MlpClassifier(widths=PROTOCOL.widths, negative_slope=0.2)
    variables = net.init(jax.random.key(0), np.zeros((1, 25)))
    shapes = [leaf.shape for leaf in jax.tree.leaves(variables)]
    assert sorted(shapes) == sorted([(25, 32), (32,), (32, 16), (16,), (16, 1), (1,)])
    # by hand, with the slope 0.2 below zero
    x = normal(0, 4, 25)
    expected = x
    for name in ("hidden_0", "hidden_1"):
        layer = variables["params"][name]
        before = expected @ layer["kernel"] + layer["bias"]
        expected = np.where(before > 0, before, 0.2 * before)
    expected = expected @ variables["params"]["out"]["kernel"] + variables["params"]["out"]["bias"]
    np.testing.assert_allclose(net.apply(variables, x), expected, atol=1e-5)


@pytest.mark.parametrize("n", [50, 53])
def test_every_shower_is_tested_once_by_a_network_that_has_not_seen_it(n):
    parts = list(_divisions(_folds(n, 0, 10), n))
    assert len(parts) == 10
    tested = np.concatenate([p.validation.ravel() for p in parts])
    chosen = np.concatenate([p.test.ravel() for p in parts])
    for rows in (tested, chosen):
        np.testing.assert_array_equal(np.sort(rows), np.arange(2 * n))
    for part in parts:
        rows = np.concatenate([p.ravel() for p in part])
        np.testing.assert_array_equal(np.sort(rows), np.arange(2 * n))
        # both classes alike, and the shower of one number in one part
        for half in part:
            np.testing.assert_array_equal(half[1], half[0] + n)


def test_auc_of_shifted_gaussians():
    n, shift = 400, 1.5
    reference, generated = normal(1, n, 6), normal(2, n, 6)
    generated[:, 0] += shift
    # units do not matter: every feature has its own
    unit = np.array([1.0, 1e3, 1e-4, 5.0, 7.0, 1e6])
    found = classify_features(3 + unit * reference, 3 + unit * generated, PROTOCOL)
    best = stats.norm.cdf(shift / np.sqrt(2))  # 0.856, with the true density ratio
    assert best - 3 * found.auc.error - 0.03 < found.auc.value < best + 3 * found.auc.error
    # DeLong for 80 and 80 showers is 0.03, over five folds with what their trainings share
    assert 0.01 < found.auc.error < 0.05
    assert len(found.folds) == 5
    assert found.spread == pytest.approx(found.folds.std(ddof=1))
    assert found.to_json()["folds"] == found.folds.tolist()


def test_separable_samples_have_auc_one():
    found = classify_features(normal(3, 200, 25), 50 + normal(4, 200, 25), PROTOCOL)
    np.testing.assert_array_equal(found.folds, 1)
    assert found.auc.value == 1
    assert found.auc.error == 0


def test_samples_of_one_distribution_have_auc_one_half_within_errors():
    pulls = []
    for seed in range(4):
        found = classify_features(
            normal(10 + seed, 200, 25), normal(30 + seed, 200, 25), PROTOCOL, seed=seed
        )
        pulls.append((found.auc.value - 0.5) / found.auc.error)
    # four standard normal numbers have a root mean square below 1.82 in 99 % of cases
    assert np.sqrt(np.mean(np.square(pulls))) < 1.82


def test_of_the_larger_sample_as_many_showers_are_taken():
    seen = []
    found = classify_clouds(
        clouds(1, 200), clouds(2, 401, shift=0.7), PROTOCOL, observe=lambda *n: seen.append(n)
    )
    assert found.auc.n == 200
    assert found.auc.value > 0.9
    assert seen == [(i, 5) for i in range(1, 6)]


def test_paired_showers_stay_pairs():
    # generated showers 0 ... 199 are copies: in pairs, no network can tell which is which
    reference = clouds(3, 200)
    values = {
        name: Observable(np.tile(values.values, (2, 1)), np.arange(400))
        for name, values in reference.values.items()
    }
    energies = np.tile(reference.incident_energy_mev, 2)
    generated = CloudObservables("memory", 0.1, energies, values)
    found = classify_clouds(reference, generated, PROTOCOL)
    np.testing.assert_allclose(found.folds, 0.5, atol=1e-12)


def test_the_null_is_one_half_of_each():
    found = classifier_null(clouds(4, 401), PROTOCOL)
    assert found.auc.n == 200
    assert abs(found.auc.value - 0.5) < 3 * found.auc.error


def test_what_a_user_can_mend_is_said():
    with pytest.raises(InputError, match="expected 3 folds or more, found 2"):
        CloudClassifierProtocol(n_folds=2)
    with pytest.raises(InputError, match="widths of 1 or more"):
        CloudClassifierProtocol(widths=(32, 0))
    with pytest.raises(InputError, match="two samples of one size, 10 showers or more, found 40"):
        classify_features(normal(1, 40, 2), normal(2, 41, 2), PROTOCOL)
    with pytest.raises(InputError, match="expected finite inputs"):
        classify_features(normal(1, 40, 2), np.full((40, 2), np.nan), PROTOCOL)
