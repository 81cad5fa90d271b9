import numpy as np
import pytest
from lepton_samples import lepton_events, with_energy

from jaxcalo.data import LeptonEvents
from jaxcalo.errors import InputError
from jaxcalo.metrics import (
    LEPTON_COLUMNS,
    SPARSE_COLUMNS,
    bray_curtis,
    bray_curtis_of_values,
    is_off_shell,
    is_unphysical,
    lepton_columns,
    lepton_observables,
    sparse_columns,
)


def boost_along_z(events, rapidity):
    energy, pz = events.momentum_gev[..., 0], events.momentum_gev[..., 3]
    momentum = events.momentum_gev.copy()
    momentum[..., 0] = np.cosh(rapidity) * energy + np.sinh(rapidity) * pz
    momentum[..., 3] = np.sinh(rapidity) * energy + np.cosh(rapidity) * pz
    return LeptonEvents(events.pdg, momentum)


def test_observables_of_two_bosons_at_rest_and_in_flight():
    # two photons of 45 GeV back to back in each pair: pairs of 90, the event of 180
    axes = np.array([[1.0, 0, 0], [-1, 0, 0], [0, 0.6, 0.8], [0, -0.6, -0.8]])
    momentum = 45 * np.concatenate([np.ones((4, 1)), axes], axis=1)
    events = LeptonEvents(np.array([[11, -11, 13, -13]]), momentum[None])
    for event in (events, boost_along_z(events, 1.3)):
        found = lepton_observables(event)
        assert found["mass"] == pytest.approx([180])
        assert found["mass_12"] == pytest.approx([90])
        assert found["mass_34"] == pytest.approx([90])
        np.testing.assert_allclose(found["pt"], [[45, 45, 27, 27]])
        assert found["pt_event"] == pytest.approx([0], abs=1e-12)


def test_events_without_a_mass_are_counted_and_have_none():
    events = lepton_events(1, 50)
    slow = with_energy(events, 0, -1e4)  # (sum E)^2 is large: no real lepton, but a mass
    none = with_energy(events, 0, -events.momentum_gev[:, 1:, 0].sum(axis=1))  # sum E = 0
    mixed = LeptonEvents(
        np.concatenate([events.pdg] * 3),
        np.concatenate([e.momentum_gev for e in (events, slow, none)]),
    )
    expected = np.repeat([False, False, True], 50)
    np.testing.assert_array_equal(is_unphysical(mixed), expected)
    np.testing.assert_array_equal(np.isnan(lepton_observables(mixed)["mass"]), expected)
    np.testing.assert_array_equal(is_off_shell(mixed), np.repeat([False, True, True], 50))


def test_leptons_are_on_shell_up_to_the_rounding_of_files():
    events = lepton_events(2, 200)
    assert not is_off_shell(events).any()
    rounded = np.vectorize(lambda x: float(f"{x:.6g}"))(events.momentum_gev)
    assert not is_off_shell(LeptonEvents(events.pdg, rounded)).any()
    wrong = with_energy(events, 2, events.momentum_gev[:, 2, 0] * 1.001)
    assert is_off_shell(wrong).all()
    # 0.1 GeV of mass: an electron of 1 GeV is none, a muon is one
    p = np.array([np.sqrt(1 + 0.1056583755**2), 1.0, 0, 0])
    pdg = np.array([[13, -13, 13, -13], [13, -13, 13, -11]])
    np.testing.assert_array_equal(
        is_off_shell(LeptonEvents(pdg, np.tile(p, (2, 4, 1)))), [False, True]
    )


def test_columns_are_those_of_the_file():
    events = lepton_events(3, 5)
    columns = lepton_columns(events)
    for name, lepton, component in (("E1", 0, 0), ("p1x", 0, 1), ("p3z", 2, 3), ("E4", 3, 0)):
        at = LEPTON_COLUMNS.index(name)
        np.testing.assert_array_equal(columns[:, at], events.momentum_gev[:, lepton, component])


def test_slots_hold_leptons_by_kind_in_the_order_of_the_file():
    momentum = np.arange(32.0).reshape(2, 4, 4) + 1
    events = LeptonEvents(np.array([[13, -13, 11, -11], [11, -11, 11, -11]]), momentum)
    columns = sparse_columns(events)
    of = {name: columns[:, i] for i, name in enumerate(SPARSE_COLUMNS)}
    np.testing.assert_array_equal(of["mu1- E"], [momentum[0, 0, 0], 0])
    np.testing.assert_array_equal(of["mu1+ pz"], [momentum[0, 1, 3], 0])
    np.testing.assert_array_equal(of["el1- px"], [momentum[0, 2, 1], momentum[1, 0, 1]])
    np.testing.assert_array_equal(of["el1+ py"], [momentum[0, 3, 2], momentum[1, 1, 2]])
    np.testing.assert_array_equal(of["el2- E"], [0, momentum[1, 2, 0]])
    np.testing.assert_array_equal(of["el2+ E"], [0, momentum[1, 3, 0]])
    np.testing.assert_array_equal(columns.sum(axis=1), momentum.sum(axis=(1, 2)))
    three = LeptonEvents(np.array([[11, -11, 13, -13], [11, 11, 11, -11]]), momentum)
    with pytest.raises(InputError, match=r"event 1: expected at most two .* found 3 of pdg 11"):
        sparse_columns(three)


def test_bray_curtis_of_known_histograms():
    a, b = np.array([[1.0, 2, 3], [1, 1, 0]]), np.array([[3.0, 2, 1], [0, 0, 2]])
    np.testing.assert_allclose(bray_curtis(a, b), [4 / 12, 1])
    np.testing.assert_array_equal(bray_curtis(a, a), [0, 0])
    assert bray_curtis(np.zeros(3), np.zeros(3)) == 0


def test_bray_curtis_of_values_is_the_mean_over_all_pairs():
    x, y = np.array([0.0, 1, 4]), np.array([0.0, 2, 2, 5])
    expected = np.abs(x[:, None] - y).mean() / (x.mean() + y.mean())
    assert bray_curtis_of_values(x, y) == pytest.approx(expected)
    assert bray_curtis_of_values(y, x) == pytest.approx(expected)
    assert bray_curtis_of_values(np.full(5, 3.0), np.full(4, 3.0)) == 0
    assert bray_curtis_of_values(np.zeros(5), y) == 1
    assert bray_curtis_of_values(np.zeros(5), np.zeros(4)) == 0
    # two exponentials of one mean: mean difference 1, over a sum of means of 2
    quantiles = -np.log1p(-(np.arange(4000) + 0.5) / 4000)
    assert bray_curtis_of_values(quantiles, quantiles) == pytest.approx(0.5, abs=1e-3)
