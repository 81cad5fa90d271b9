"""Inputs of the CaloChallenge's low-level classifiers: every voxel of the showers.

Readout thresholds come first: apply `features.apply_threshold`.

Source: CaloChallenge, arXiv:2410.21611, section 4 (classifiers).
"""

from itertools import pairwise

import numpy as np

from jaxcalo.data import Showers
from jaxcalo.data.validation import check_showers
from jaxcalo.errors import InputError
from jaxcalo.geometry import Detector
from jaxcalo.metrics.features import EPS_MEV

_LOG_EPS_MEV = 1e-8  # the challenge's: log10 of an empty layer is -8


def low_level(showers: Showers) -> np.ndarray:
    """Return the inputs of the low-level classifier: log10(E_inc / MeV), then E_voxel / E_inc.

    Args:
        showers: n showers, after the readout threshold.

    Returns:
        (n, 1 + n_voxels) float32.

    Raises:
        InputError: energies that are not finite or negative, or E_inc that is not positive.
    """
    check_showers(showers, "low-level inputs")
    incident = np.asarray(showers.incident_energy_mev, dtype=np.float64)
    inputs = np.empty((len(incident), 1 + showers.voxel_energy_mev.shape[1]), dtype=np.float32)
    inputs[:, 0] = np.log10(incident)
    np.divide(showers.voxel_energy_mev, incident[:, None], out=inputs[:, 1:], casting="same_kind")
    return inputs


def normalised_low_level(showers: Showers, detector: Detector) -> np.ndarray:
    """Return log10 E_inc, E_voxel / (E_layer + 1e-16), log10(E_layer + 1e-8); energies in MeV.

    Args:
        showers: n showers, after the readout threshold.
        detector: their readout.

    Returns:
        (n, 1 + n_voxels + n_layers) float32; an empty layer has zeros, and log10 E_layer = -8.

    Raises:
        InputError: as in low_level, or another number of voxels than the detector has.
    """
    check_showers(showers, "normalised low-level inputs")
    voxels = showers.voxel_energy_mev
    if voxels.shape[1] != detector.n_voxels:
        raise InputError(
            f"normalised low-level inputs: expected showers of {detector.n_voxels} voxels for"
            f" geometry {detector.name!r}, found {voxels.shape[1]}; choose their geometry"
        )
    n_voxels, offsets = detector.n_voxels, detector.offsets
    inputs = np.empty((len(voxels), 1 + n_voxels + detector.n_layers), dtype=np.float32)
    inputs[:, 0] = np.log10(showers.incident_energy_mev)
    for i, (first, last) in enumerate(pairwise(offsets)):
        energy = voxels[:, first:last].sum(axis=1, dtype=np.float64)
        share = voxels[:, first:last] / (energy + EPS_MEV)[:, None]
        inputs[:, 1 + first : 1 + last] = share
        inputs[:, 1 + n_voxels + i] = np.log10(energy + _LOG_EPS_MEV)
    return inputs
