"""The shower as data: energies in MeV and further conditions, nothing preprocessed."""

from typing import NamedTuple

import numpy as np


class Showers(NamedTuple):
    """Showers of one detector.

    Attributes:
        incident_energy_mev: (n,) float32, energy of the incident particle, MeV.
        voxel_energy_mev: (n, n_voxels) float32, energy in each voxel in file order, MeV.
        conditions: (n, k) float32, what else the showers depend on, as the file has it (angles,
            positions, particle numbers), one data set after the other; None if not asked for.
    """

    incident_energy_mev: np.ndarray
    voxel_energy_mev: np.ndarray
    conditions: np.ndarray | None = None
