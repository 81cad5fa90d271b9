"""Showers that are asked for where nothing was trained are known, by combination or by range."""

import numpy as np
import pytest

from jaxcalo.experiment.extrapolation import extrapolated, fit_domain
from jaxcalo.preprocess import Classes, fit_condition

RANGE = 1e3, 1e5


@pytest.fixture(scope="module")
def known():
    """Showers whose impact x is the logarithm of the energy, of electrons only at the low end."""
    draws = np.random.default_rng(0)
    energy = 10 ** draws.uniform(3, 5, 2000)
    impact = np.column_stack([np.log10(energy) - 4, draws.uniform(-1, 1, 2000)])
    pdg = np.where((energy < 1e4) & (draws.random(2000) < 0.5), 11, 22)
    raw = np.column_stack([energy, impact, pdg]).astype(np.float32)
    impact_mm = fit_condition("impact_mm", raw[:, 1:3], is_whole=False)
    conditions = (impact_mm, Classes("pdg", (11, 22)))
    return raw, conditions, fit_domain(conditions, raw)


def test_combinations_are_known(known):
    raw, conditions, domain = known
    assert extrapolated(raw, RANGE, conditions, domain).mean() < 5e-3
    asked = [
        [2e3, -0.7, 0.5, 11],
        [5e4, 0.7, 0.5, 22],
        [5e4, -0.7, 0.5, 22],  # an impact of other energies
        [5e4, 0.7, 0.5, 11],  # a class of other energies
        [2e5, 0.9, 0.5, 22],  # an energy of no shower
        [5e4, 0.7, 1.5, 22],  # an impact of no shower
    ]
    found = extrapolated(np.asarray(asked, np.float32), RANGE, conditions, domain)
    assert found.tolist() == [False, False, True, True, True, True]


def test_ranges_where_no_combination_is_known(known):
    _, conditions, _ = known
    asked = np.asarray([[5e4, -0.7, 0.5, 11], [2e5, 0.9, 0.5, 22], [5e4, 0.7, 1.5, 22]], np.float32)
    assert extrapolated(asked, RANGE, conditions).tolist() == [False, True, True]
    energies = np.asarray([[1e3], [1e5], [0.998e3], [1.002e5], [0.99e3], [1.01e5]], np.float32)
    assert extrapolated(energies, RANGE).tolist() == [False] * 4 + [True] * 2
