"""High-level features of showers, as the CaloChallenge defines them, for any detector.

With the sums over one layer's voxels, E below the threshold set to zero first, and
eps = 1e-16 MeV, which keeps an empty layer at zero instead of 0/0:

    EC_x    = sum x E / (sum E + eps)                                       (1)
    width_x = sqrt(max(sum x^2 E / (sum E + eps) - EC_x^2, 0))              (2)
    sparsity = 1 - (voxels with E > 0) / (voxels)                           (3)

and the same for y and r. x and y are called eta and phi in the challenge; they are lengths in mm
across the axis, not pseudorapidity and azimuth.

Source: CaloChallenge, arXiv:2410.21611, section 4 (high-level features).
"""

from typing import NamedTuple

import numpy as np

from jaxcalo.metrics.tables import N_MOMENTS, Tables

EPS_MEV = 1e-16


class Features(NamedTuple):
    """High-level features of n showers, float64.

    Columns of x and y are the layers divided in azimuth only (`Tables.azimuthal`), the others all
    relevant layers.

    Attributes:
        e_tot_mev: (n,) energy in all voxels.
        e_layer_mev: (n, n_layers) energy of each layer.
        centre_x_mm: (n, n_azimuthal) centre of energy (eta in the challenge).
        centre_y_mm: (n, n_azimuthal) centre of energy (phi in the challenge).
        width_x_mm: (n, n_azimuthal) standard deviation of x, weighted by energy.
        width_y_mm: (n, n_azimuthal) standard deviation of y, weighted by energy.
        centre_r_mm: (n, n_layers) mean radius, weighted by energy.
        width_r_mm: (n, n_layers) standard deviation of the radius, weighted by energy.
        sparsity: (n, n_layers) fraction of empty voxels.
    """

    e_tot_mev: np.ndarray
    e_layer_mev: np.ndarray
    centre_x_mm: np.ndarray
    centre_y_mm: np.ndarray
    width_x_mm: np.ndarray
    width_y_mm: np.ndarray
    centre_r_mm: np.ndarray
    width_r_mm: np.ndarray
    sparsity: np.ndarray


class Moments(NamedTuple):
    """What one pass over n showers yields for each of them.

    Attributes:
        features: the high-level features.
        n_hits: (n,) voxels above threshold.
        ring_energy_mev: (n, n_rings) energy in each radial ring, all layers together.
        centre_x_mm: (n,) centre of energy of the whole shower.
        centre_y_mm: (n,) the same in y.
        centre_z: (n,) the same along the axis, in units of the layer index.
    """

    features: Features
    n_hits: np.ndarray
    ring_energy_mev: np.ndarray
    centre_x_mm: np.ndarray
    centre_y_mm: np.ndarray
    centre_z: np.ndarray


def apply_threshold(voxel_energy_mev: np.ndarray, threshold_mev: float) -> np.ndarray:
    """Return the energies with those below the threshold set to zero.

    Args:
        voxel_energy_mev: (n, n_voxels) float32.
        threshold_mev: readout threshold; compared in float32, the precision of the files, so that
            a voxel written at the threshold stays.

    Returns:
        (n, n_voxels) float32.
    """
    energy = np.asarray(voxel_energy_mev, dtype=np.float32)
    return np.where(energy >= np.float32(threshold_mev), energy, np.float32(0))


class LayerSums(NamedTuple):
    """Sums over the voxels of each layer, of which the moments are made.

    Attributes:
        n_hit: (n, n_layers) voxels above threshold.
        moment: (n, n_layers, N_MOMENTS) sums of E (1, x', y', r', x'^2, y'^2, r'^2), see `tables`.
        ring_energy_mev: (n, n_rings) energy in each radial ring, all layers together.
        size: (n_layers,) voxels of each layer.
        shift_mm: (n_layers, 3) the middle of the layer's x, y, r, mm.
        azimuthal: (n_azimuthal,) indices of the layers with more than one bin in azimuth.
    """

    n_hit: np.ndarray
    moment: np.ndarray
    ring_energy_mev: np.ndarray
    size: np.ndarray
    shift_mm: np.ndarray
    azimuthal: np.ndarray


def moments(energy_mev: np.ndarray, tables: Tables) -> Moments:
    """Compute features and observables of showers, equations (1) to (3).

    Args:
        energy_mev: (n, n_voxels) voxel energies after the threshold, MeV.
        tables: the detector's tables.

    Returns:
        Moments of float64 arrays.
    """
    exact = np.asarray(energy_mev, dtype=np.float64)
    hit = energy_mev > 0
    n_hits, sums, rings = [], [], np.zeros((len(exact), len(tables.ring_area_mm2)))
    for layer in tables.layers:
        n_hits.append(hit[:, layer.start : layer.stop].sum(axis=1))
        product = exact[:, layer.start : layer.stop] @ layer.matrix
        sums.append(product[:, :N_MOMENTS])
        rings += product[:, N_MOMENTS:]
    return moments_of_sums(
        LayerSums(
            n_hit=np.stack(n_hits, axis=1),
            moment=np.stack(sums, axis=1),
            ring_energy_mev=rings,
            size=np.asarray([layer.stop - layer.start for layer in tables.layers]),
            shift_mm=np.stack([layer.shift_mm for layer in tables.layers]),
            azimuthal=tables.azimuthal,
        )
    )


def moments_of_sums(sums: LayerSums) -> Moments:
    """Return the moments that follow from the sums over each layer, equations (1) to (3)."""
    moment, azimuthal = sums.moment, sums.azimuthal
    e_layer = moment[..., 0]
    first = moment[..., 1:4] + sums.shift_mm * e_layer[..., None]
    centre = first / (e_layer + EPS_MEV)[..., None]
    mean = moment[..., 1:] / (e_layer + EPS_MEV)[..., None]
    width = np.sqrt(np.maximum(mean[..., 3:] - mean[..., :3] ** 2, 0))
    e_tot = e_layer.sum(axis=1)
    features = Features(
        e_tot_mev=e_tot,
        e_layer_mev=e_layer,
        centre_x_mm=centre[:, azimuthal, 0],
        centre_y_mm=centre[:, azimuthal, 1],
        width_x_mm=width[:, azimuthal, 0],
        width_y_mm=width[:, azimuthal, 1],
        centre_r_mm=centre[..., 2],
        width_r_mm=width[..., 2],
        sparsity=1 - sums.n_hit / sums.size,
    )
    return Moments(
        features=features,
        n_hits=sums.n_hit.sum(axis=1).astype(np.float64),
        ring_energy_mev=sums.ring_energy_mev,
        centre_x_mm=first[..., 0].sum(axis=1) / (e_tot + EPS_MEV),
        centre_y_mm=first[..., 1].sum(axis=1) / (e_tot + EPS_MEV),
        centre_z=e_layer @ np.arange(len(sums.size)) / (e_tot + EPS_MEV),
    )
