"""Do the layers' energies vary together as they should?

The distance of two samples is the Frobenius norm of the difference of their Pearson matrices,
|R_a - R_b|_F = sqrt(sum_ij (R_a,ij - R_b,ij)^2).
"""

from typing import NamedTuple

import numpy as np

from jaxcalo.metrics.estimate import Estimate


class Correlation(NamedTuple):
    """Correlations of the layer energies.

    Attributes:
        reference: (n_layers, n_layers) Pearson matrix of the reference.
        generated: the same of the generated sample.
        frobenius: norm of the difference.
        floor: the same norm between halves of the reference.
    """

    reference: np.ndarray
    generated: np.ndarray
    frobenius: float
    floor: Estimate


def pearson(energy: np.ndarray) -> np.ndarray:
    """Return the Pearson matrix of columns; a constant column is uncorrelated with all others.

    Args:
        energy: (n, k) values.

    Returns:
        (k, k) matrix with ones on the diagonal.
    """
    centred = energy - energy.mean(axis=0)
    norm = np.sqrt((centred**2).sum(axis=0))
    rounding = 1e-12 * np.sqrt(len(energy)) * np.abs(energy).max(axis=0)
    unit = np.where(norm > rounding, centred / np.where(norm > 0, norm, 1.0), 0.0)
    matrix = np.clip(unit.T @ unit, -1, 1)  # rounding may leave 1 + 1e-16
    np.fill_diagonal(matrix, 1.0)
    return matrix


def correlate(
    reference: np.ndarray, generated: np.ndarray, masks: list[tuple[np.ndarray, np.ndarray]]
) -> Correlation:
    """Compare the correlations of two samples.

    Args:
        reference: (n, n_layers) layer energies, MeV.
        generated: (m, n_layers) layer energies, MeV.
        masks: divisions of the reference into halves, for the floor.

    Returns:
        Both matrices, their distance and its floor.
    """
    a, b = pearson(reference), pearson(generated)
    norms = np.asarray(
        [
            np.linalg.norm(pearson(reference[one]) - pearson(reference[other]))
            for one, other in masks
        ]
    )
    floor = Estimate(float(norms.mean()), float(norms.std(ddof=1)), len(reference) // 2)
    return Correlation(a, b, float(np.linalg.norm(a - b)), floor)
