"""Overlap: a perfect sample has the floor's, a collapsed one has not, and both are of one size."""

import json
import sys

import numpy as np
import pytest
from lepton_samples import lepton_events, with_energy

from jaxcalo.data import LeptonEvents
from jaxcalo.errors import InputError
from jaxcalo.metrics import lepton_features, lepton_observables, lepton_overlap, overlap, prdc
from jaxcalo.metrics.splits import halves

N = 1000
DRAWS = np.random.default_rng(0)


def repeated(events, n_kept):
    """As many events, all of them among the first few."""
    rows = np.arange(len(events.pdg)) % n_kept
    return LeptonEvents(events.pdg[rows], events.momentum_gev[rows])


def test_a_perfect_sample_has_the_floors_and_the_floor_is_known():
    found = lepton_overlap(lepton_events(0, N), lepton_events(1, N))
    assert list(found) == ["precision", "recall", "density", "coverage"]
    for one in found.values():
        assert one.agrees
        assert one.value.n == one.floor.n == N // 2
        assert one.ratio == pytest.approx(1, abs=0.06)
    # 1 - 2^-5 for equal sizes, whatever the distribution
    assert found["coverage"].floor.value == pytest.approx(1 - 1 / 32, abs=0.01)
    assert 0.002 < found["coverage"].floor.error < 0.02
    json.dumps({name: one.to_json() for name, one in found.items()}, allow_nan=False)


def test_a_collapsed_sample_is_precise_and_does_not_cover():
    reference = lepton_events(0, N)
    found = lepton_overlap(reference, repeated(lepton_events(1, N), 20))
    assert found["precision"].ratio > 0.85
    assert found["coverage"].ratio < 0.3
    assert found["recall"].value.value == 0
    assert not found["coverage"].agrees


def test_numbers_are_those_of_halves_against_equally_many():
    reference, generated = DRAWS.normal(size=(60, 2)), 0.5 * DRAWS.normal(size=(30, 2))
    found = overlap(reference, generated)
    pairs = [(reference[one], reference[other]) for one, other in halves(60)]
    values = [prdc(one, generated).recall for one, _ in pairs]  # all 30 of them, in any order
    floors = [prdc(*pair).recall for pair in pairs]
    assert found["recall"].value[:2] == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    assert found["recall"].floor[:2] == pytest.approx((np.mean(floors), np.std(floors, ddof=1)))


def test_large_samples_are_used_from_everywhere(monkeypatch):
    monkeypatch.setattr(sys.modules[overlap.__module__], "MAX_EVENTS", 200)
    # a file sorted by energy, of which the generator makes the lower half
    sorted_line = np.linspace(0, 1, 600)[:, None]
    found = overlap(sorted_line, sorted_line / 2)
    assert found["coverage"].value.n == 200
    assert found["coverage"].floor.value > 0.95
    assert found["coverage"].value.value == pytest.approx(0.5, abs=0.03)


def test_features_do_not_know_how_an_event_lies_about_the_beam():
    events, angle = lepton_events(2, 10), 1.0
    p = events.momentum_gev
    x, y = p[..., 1], p[..., 2]
    turned = np.stack(
        [p[..., 0], np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y,
         p[..., 3]], axis=-1
    )  # fmt: skip
    found = lepton_features(events)
    assert found.shape == (10, 17)
    np.testing.assert_allclose(found, lepton_features(LeptonEvents(events.pdg, turned)), atol=1e-9)
    observed = lepton_observables(events)
    np.testing.assert_allclose(np.expm1(found[:, :4]), observed["pt"])
    np.testing.assert_allclose(observed["pt"] * np.sinh(found[:, 4:8]), p[..., 3])
    second = np.arctan2(found[:, 11], found[:, 8])
    expected = np.arctan2(y[:, 1], x[:, 1]) - np.arctan2(y[:, 0], x[:, 0])
    np.testing.assert_allclose(np.cos(second - expected), 1)
    np.testing.assert_allclose(np.expm1(found[:, 14]), observed["mass"])


def test_events_that_are_none_have_finite_features_and_cover_nothing():
    reference = lepton_events(0, 40)
    dead = LeptonEvents(reference.pdg, np.zeros_like(reference.momentum_gev))
    found = lepton_overlap(reference, dead)
    assert found["coverage"].value.value == found["precision"].value.value == 0
    none = with_energy(reference, 0, np.full(40, -1e6))
    assert np.isfinite(lepton_features(none)).all()


def test_without_a_floor_there_is_no_ratio():
    empty = np.zeros((20, 3))
    assert overlap(empty, empty)["coverage"].ratio is None


def test_too_few_events_are_said():
    with pytest.raises(InputError, match="reference and 6 generated ones, found 20 and 0"):
        overlap(np.zeros((20, 3)), np.zeros((0, 3)))
    with pytest.raises(InputError, match=r"12 events of the reference .* found 10 and 20"):
        overlap(DRAWS.normal(size=(10, 3)), np.zeros((20, 3)))
