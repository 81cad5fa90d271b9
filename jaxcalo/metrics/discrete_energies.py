"""E_tot/E_inc at each incident energy, for samples made at a few energies.

The challenge's data set 1 has fifteen energies from 256 MeV to 4.2 TeV, and one histogram for each:
20 bins from 0.4 to 1.4, for photons of 4.096 GeV and more from 0.9 to 1.1.

Source: CaloChallenge, arXiv:2410.21611, section 4.
"""

from dataclasses import dataclass

import numpy as np

from jaxcalo.geometry import Detector
from jaxcalo.metrics.sample import Sample
from jaxcalo.metrics.separation import Separation, histogram_separation
from jaxcalo.metrics.splits import halves

MOST_ENERGIES = 20  # chosen: more values are a continuous spectrum
N_EDGES = 21
WIDE = (0.4, 1.4)
NARROW = (0.9, 1.1)
_NARROW_FROM_MEV = 4096.0  # the fifth energy of data set 1
_SAME = 1e-3  # chosen: far above the rounding of a file, far below any step in energy


@dataclass(frozen=True)
class EnergyPoint:
    """What is found at one incident energy.

    Attributes:
        energy_mev: the incident energy, MeV.
        n_showers: showers of the reference and of the generated sample.
        separation: of E_tot/E_inc.
    """

    energy_mev: float
    n_showers: tuple[int, int]
    separation: Separation


def discrete_values(incident_energy_mev: np.ndarray) -> np.ndarray:
    """Return the increasing distinct energies, none if they are more than MOST_ENERGIES.

    Args:
        incident_energy_mev: (n,) incident energies.
    """
    values = np.unique(incident_energy_mev)
    return values if len(values) <= MOST_ENERGIES else values[:0]


def _edges(energy_mev: float, particle: str, unit: float) -> np.ndarray:
    """(21,) edges in E_tot/E_inc."""
    narrow = particle == "photon" and energy_mev >= _NARROW_FROM_MEV
    return unit * np.linspace(*(NARROW if narrow else WIDE), N_EDGES)


def _unit(ratio: np.ndarray) -> float:
    """1, or the mean ratio if most of the reference lies outside the challenge's range."""
    return 1.0 if np.mean((ratio >= WIDE[0]) & (ratio <= WIDE[1])) >= 0.5 else float(ratio.mean())


def discrete_energies(
    reference: Sample, generated: Sample, detector: Detector
) -> list[EnergyPoint]:
    """Compute the separation power of E_tot/E_inc at every incident energy of the reference.

    Args:
        reference: the reference sample.
        generated: the sample to judge.
        detector: their readout; photons have a narrower histogram.

    Returns:
        One EnergyPoint for each energy, increasing. None if the reference has more than
        MOST_ENERGIES; an energy with fewer than two showers of the reference or none of the
        generated sample is left out.
    """
    samples = (reference, generated)
    ratios = [s.moments.features.e_tot_mev / s.incident_energy_mev for s in samples]
    unit = _unit(ratios[0])
    points = []
    for energy in discrete_values(reference.incident_energy_mev):
        first, second = (
            ratio[np.abs(s.incident_energy_mev / energy - 1) < _SAME]
            for ratio, s in zip(ratios, samples, strict=True)
        )
        if len(first) < 2 or not len(second):
            continue
        edges = _edges(energy, detector.particle, unit)
        found = histogram_separation(first, second, edges, halves(len(first), len(second)))
        points.append(EnergyPoint(float(energy), (len(first), len(second)), found))
    return points
