"""Four-lepton events for tests: on their mass shells, of four flavour classes."""

import jax
import numpy as np

from jaxcalo.data import LeptonEvents

CLASSES = np.array([[11, -11, 11, -11], [11, -11, 13, -13], [13, -13, 11, -11], [13, -13, 13, -13]])
MASS_GEV = {11: 0.00051099895, 13: 0.1056583755}
N_MOST = 1000


def lepton_events(seed, n, scale=1.0):
    """n events; transverse momenta 5 GeV and an exponential more, all momenta times scale."""
    drawn = np.asarray(jax.random.uniform(jax.random.key(seed), (N_MOST, 13)), float)[:n]
    pt = scale * (5 - 40 * np.log1p(-drawn[:, :4]))
    azimuth, eta = 2 * np.pi * drawn[:, 4:8], 2.5 * (2 * drawn[:, 8:12] - 1)
    pdg = CLASSES[(4 * drawn[:, 12]).astype(int)]
    momentum = np.stack([pt * np.cos(azimuth), pt * np.sin(azimuth), pt * np.sinh(eta)], axis=-1)
    mass = np.where(np.abs(pdg) == 11, MASS_GEV[11], MASS_GEV[13])
    energy = np.sqrt(np.sum(momentum**2, axis=-1) + mass**2)
    return LeptonEvents(pdg.astype(np.int32), np.concatenate([energy[..., None], momentum], -1))


def with_energy(events, lepton, energy_gev):
    """The same events with another energy of one lepton, whatever it does to its mass."""
    momentum = events.momentum_gev.copy()
    momentum[:, lepton, 0] = energy_gev
    return LeptonEvents(events.pdg, momentum)
