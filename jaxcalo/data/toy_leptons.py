"""Toy four-lepton events from two-body decays, for tests: shaped like ZZ, not their physics."""

import jax
import numpy as np
from scipy.special import ndtri

from jaxcalo.data.four_lepton import LeptonEvents
from jaxcalo.errors import InputError
from jaxcalo.typing import Key

_MASS_GEV = {11: 0.00051099895, 13: 0.1056583755}
_Z_MASS_GEV, _Z_WIDTH_GEV = 91.188, 2.4955
_KINDS = np.array([11, 13])
_N_NUMBERS = 14  # that an event is made of
_SPARE = 2  # times as many events are drawn as asked for; 0.9 of them pass the cuts


def toy_leptons(key: Key, n_events: int) -> LeptonEvents:
    """Draw events of two bosons that decay to two leptons each.

        m = m_Z + Gamma tan(u) / 2 between 40 and 150 GeV                    each boson
        p_T = 10 GeV |log u|,  y ~ N(0, 0.8)                                 both together
        M = m_1 + m_2 + 30 GeV |log u|                                       both together

    All decays are isotropic at rest; leptons with p_T below 5 GeV or |eta| above 2.7 are cut, as in
    real files. Leptons 1, 2 are of one boson, 3, 4 of the other, the particle first.

    Args:
        key: decides everything.
        n_events: how many.

    Raises:
        InputError: no event is asked for.
    """
    if n_events < 1:
        raise InputError(f"expected 1 event or more, found {n_events}")
    draws = jax.random.uniform(key, (_SPARE * n_events + 64, _N_NUMBERS), minval=1e-6)
    u = np.asarray(draws, np.float64).T
    half = np.arctan((np.array([[40.0], [150.0]]) - _Z_MASS_GEV) * 2 / _Z_WIDTH_GEV)
    boson = _Z_MASS_GEV + 0.5 * _Z_WIDTH_GEV * np.tan(half[0] + (half[1] - half[0]) * u[:2])
    mass = boson.sum(axis=0) - 30.0 * np.log(u[2])
    pt, azimuth, rapidity = -10.0 * np.log(u[3]), 2 * np.pi * u[4], 0.8 * ndtri(u[5])
    mt = np.hypot(mass, pt)
    parts = [mt * np.cosh(rapidity), pt * np.cos(azimuth), pt * np.sin(azimuth)]
    whole = np.stack([*parts, mt * np.sinh(rapidity)], axis=1)
    flavour = _KINDS[(u[6:8] > 0.5).astype(int)]
    lepton = np.where(flavour == 11, _MASS_GEV[11], _MASS_GEV[13])
    bosons = _decay(whole, mass, boson[0], boson[1], u[8:10])
    momentum = np.stack(
        [
            child
            for i in range(2)
            for child in _decay(
                bosons[i], boson[i], lepton[i], lepton[i], u[10 + 2 * i : 12 + 2 * i]
            )
        ],
        axis=1,
    )
    pdg = np.stack([flavour[0], -flavour[0], flavour[1], -flavour[1]], axis=1).astype(np.int32)
    transverse = np.hypot(momentum[..., 1], momentum[..., 2])
    eta = np.arcsinh(momentum[..., 3] / transverse)
    passes = ((transverse > 5.0) & (np.abs(eta) < 2.7)).all(axis=1)
    return LeptonEvents(pdg, momentum).rows(np.flatnonzero(passes)[:n_events])


def _decay(
    parent: np.ndarray, mass: np.ndarray, mass_a: np.ndarray, mass_b: np.ndarray, u: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The four-momenta (n, 4) of two particles from parents (n, 4), isotropic at rest."""
    k = np.sqrt((mass**2 - (mass_a + mass_b) ** 2) * (mass**2 - (mass_a - mass_b) ** 2)) / 2 / mass
    cosine, azimuth = 2 * u[0] - 1, 2 * np.pi * u[1]
    sine = np.sqrt(1 - cosine**2)
    at_rest = np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), cosine], axis=1)
    at_rest *= k[:, None]
    children = []
    for sign, child_mass in ((1, mass_a), (-1, mass_b)):
        energy, p = np.hypot(child_mass, k), sign * at_rest
        along = (parent[:, 1:] * p).sum(axis=1)
        push = (energy + along / (parent[:, 0] + mass)) / mass
        total = (parent[:, 0] * energy + along) / mass
        children.append(np.column_stack([total, p + push[:, None] * parent[:, 1:]]))
    return children[0], children[1]
