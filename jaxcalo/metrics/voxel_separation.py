"""Separation power of all voxel energies, in exactly the challenge's 50 edges.

The edges end at the largest voxel energy of the reference, which is known only after the file was
read. A Sample, made in one pass, therefore counts voxels in fine bins, to which `separations` moves
the edges; here the showers themselves are at hand.
"""

import numpy as np

from jaxcalo.metrics.separation import (
    N_VOXEL_ENERGY_EDGES,
    Separation,
    bin_numbers,
    energy_edges,
    separation_power,
    with_floor,
)

_CHUNK_VOXELS = 2**21  # 16 MiB of bin numbers at a time


def _count(energy_mev: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """(n, n_bins) number of voxels of each shower in each bin."""
    n_bins = len(edges) - 1
    counts = []
    for chunk in np.array_split(energy_mev, 1 + energy_mev.size // _CHUNK_VOXELS):
        index = bin_numbers(chunk, edges) + (n_bins + 1) * np.arange(len(chunk))[:, None]
        found = np.bincount(index.ravel(), minlength=(n_bins + 1) * len(chunk))
        counts.append(found.reshape(len(chunk), n_bins + 1)[:, :n_bins])
    return np.concatenate(counts)


def voxel_separation(
    reference_mev: np.ndarray,
    generated_mev: np.ndarray,
    threshold_mev: float,
    masks: list[tuple[np.ndarray, np.ndarray]],
) -> Separation:
    """Compute the separation power of the voxel energies of all layers together.

    Args:
        reference_mev: (n, n_voxels) energies of the reference after the threshold, see
            apply_threshold.
        generated_mev: (m, n_voxels) energies of the sample to judge after the threshold.
        threshold_mev: readout threshold.
        masks: divisions of the n showers into halves, for the floor; see splits.halves.

    Returns:
        Separation.

    Source: CaloChallenge, arXiv:2410.21611, section 4.
    """
    ends = (reference_mev.min(initial=np.inf, where=reference_mev > 0), reference_mev.max())
    threshold = float(np.float32(threshold_mev))  # a voxel written at the threshold is inside
    reached = np.asarray([float(e) for e in ends if np.isfinite(e)])
    edges = energy_edges(reached, threshold, N_VOXEL_ENERGY_EDGES)
    counts = _count(reference_mev, edges)
    value = separation_power(counts.sum(axis=0), _count(generated_mev, edges).sum(axis=0))
    floors = [
        separation_power(counts[one].sum(axis=0), counts[other].sum(axis=0)) for one, other in masks
    ]
    return with_floor(value, floors, int(min(masks[0][0].sum(), masks[0][1].sum())))
