"""Conditions outside of what was trained on are flagged, those inside are not."""

import dataclasses
import json

import numpy as np
import pytest

from jaxcalo.errors import InputError
from jaxcalo.preprocess import TrainingDomain, fit_training_domain, outside_domain

DRAWS = np.random.default_rng(0)


def test_one_column_is_a_range():
    domain = fit_training_domain(DRAWS.uniform(1, 1000, (500, 1)), ["energy"])
    low, high = domain.ranges[0]
    asked = np.asarray([[low], [high], [500.0], [low - 1], [high + 1], [np.nan], [np.inf]])
    expected = [False, False, False, True, True, True, True]
    assert outside_domain(domain, asked).tolist() == expected
    assert outside_domain(domain, asked[:3].astype(np.float32)).tolist() == expected[:3]
    assert domain.anchors == ()


def ring(n):
    angle = DRAWS.uniform(0, 2 * np.pi, n)
    return np.column_stack([100 * np.cos(angle), np.sin(angle)])


def test_combinations_that_never_occurred_are_outside():
    domain = fit_training_domain(ring(5000), ["x", "y"])
    # the middle is in both ranges, and 1.4 standard deviations from everything
    asked = np.asarray([[0.0, 0.0], [70.71, 0.7071], [70.71, 0.3], [-60.0, -0.8], [99.0, 0.9]])
    assert outside_domain(domain, asked).tolist() == [True, False, True, False, True]
    assert domain.reach < 0.1


def test_conditions_like_those_of_training_are_inside():
    conditions = DRAWS.standard_normal((20000, 3)) * [1.0, 10.0, 0.1]
    domain = fit_training_domain(conditions, ["a", "b", "c"])
    assert outside_domain(domain, conditions).mean() < 3e-3
    assert outside_domain(domain, DRAWS.standard_normal((2000, 3)) * [1.0, 10.0, 0.1]).mean() < 0.01
    assert outside_domain(domain, conditions[:100] + [8.0, 0.0, 0.0]).all()


def test_classes_are_inside_as_they_are():
    conditions = np.eye(3)[DRAWS.integers(0, 3, 2000)]
    domain = fit_training_domain(conditions, ["muons", "electrons", "both"])
    assert not outside_domain(domain, np.eye(3)).any()
    assert outside_domain(domain, np.asarray([[1, 1, 0], [0, 0, 0], [2, 0, 0]])).all()


@pytest.mark.parametrize("n", [1, 2, 300])
def test_few_events(n):
    conditions = DRAWS.standard_normal((n, 2))
    domain = fit_training_domain(conditions, ["a", "b"])
    assert not outside_domain(domain, conditions).any() or n == 300
    assert outside_domain(domain, conditions).mean() < 0.02
    assert outside_domain(domain, conditions + 10).all()


def test_no_conditions_are_inside():
    domain = fit_training_domain(np.zeros((10, 0)), [])
    assert outside_domain(domain, np.zeros((4, 0))).tolist() == [False] * 4


def test_is_small_and_survives_json():
    domain = fit_training_domain(DRAWS.standard_normal((3000, 4)), list("abcd"))
    text = json.dumps(dataclasses.asdict(domain))
    assert len(text) < 30000

    def tuples(value):
        return tuple(map(tuples, value)) if isinstance(value, list) else value

    restored = TrainingDomain(**{name: tuples(value) for name, value in json.loads(text).items()})
    assert restored == domain


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        (np.zeros((0, 2)), "at least one event"),
        (np.zeros((5, 3)), "one name a column"),
        (np.asarray([[0.0, 1.0], [np.nan, 1.0]]), "row 1"),
    ],
)
def test_unusable_training_conditions(conditions, message):
    with pytest.raises(InputError, match=message):
        fit_training_domain(conditions, ["a", "b"])


def test_other_columns_than_trained_with():
    domain = fit_training_domain(np.zeros((5, 2)), ["a", "b"])
    with pytest.raises(InputError, match="a, b"):
        outside_domain(domain, np.zeros((5, 1)))
