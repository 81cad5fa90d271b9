"""The shower as data: energies in MeV, nothing preprocessed."""

from typing import NamedTuple

import numpy as np


class Showers(NamedTuple):
    """Showers of one detector.

    Attributes:
        incident_energy_mev: (n,) float32, energy of the incident particle, MeV.
        voxel_energy_mev: (n, n_voxels) float32, energy in each voxel in file order, MeV.
    """

    incident_energy_mev: np.ndarray
    voxel_energy_mev: np.ndarray
