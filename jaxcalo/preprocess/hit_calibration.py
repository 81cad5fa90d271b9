"""How many points a model must make so that its clouds have as many hits as Monte Carlo's.

Points that are drawn one by one fall into the cells of the readout otherwise than those of a
shower, so equal numbers of points give other numbers of hits.

    N' = p_generated(p_Monte_Carlo(N))

p_Monte_Carlo: hits of N points of Monte Carlo; p_generated: points that a model needs for so many
hits; both cubic.

Source: Buhmann et al., arXiv:2305.04847, section 3.3; arXiv:2309.05704.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcalo.errors import InputError
from jaxcalo.preprocess.apportion import share_energy, share_points
from jaxcalo.preprocess.shower_summary import Summary
from jaxcalo.typing import Scalar

_DEGREE = 3
_MIN_SHOWERS = 20
_UNIT = 1000.0  # in thousands, so that the powers of a number are of one order
# A cubic is not to be believed where there were no showers: it may not change a number by more.
_LARGEST_FACTOR = 1.5


class HitCalibration(NamedTuple):
    """The two cubics, in thousands, highest power first.

    Attributes:
        to_hits: Points -> hits of Monte Carlo, (4,).
        to_points: Hits -> points of the model, (4,).
    """

    to_hits: np.ndarray
    to_points: np.ndarray


def fit_hit_calibration(
    reference_points: np.ndarray,
    reference_hits: np.ndarray,
    generated_points: np.ndarray,
    generated_hits: np.ndarray,
) -> HitCalibration:
    """Fit the cubics by least squares.

    Args:
        reference_points: Points of each Monte Carlo shower, (n,).
        reference_hits: Its hits, (n,).
        generated_points: Points of each generated shower, (m,).
        generated_hits: Its hits, (m,).

    Raises:
        InputError: Too few showers.
    """
    if min(len(reference_points), len(generated_points)) < _MIN_SHOWERS:
        raise InputError(
            f"hit calibration: expected {_MIN_SHOWERS} showers or more of each sample, found "
            f"{len(reference_points)} and {len(generated_points)}; give more"
        )
    to_hits = np.polyfit(reference_points / _UNIT, reference_hits / _UNIT, _DEGREE)
    to_points = np.polyfit(generated_hits / _UNIT, generated_points / _UNIT, _DEGREE)
    return HitCalibration(to_hits, to_points)


def calibrated_number(calibration: HitCalibration, n_points: Scalar) -> Scalar:
    """N', whole, between N / 1.5 and 1.5 N, and at least 1."""
    hits = jnp.polyval(jnp.asarray(calibration.to_hits, jnp.float32), n_points / _UNIT)
    wanted = _UNIT * jnp.polyval(jnp.asarray(calibration.to_points, jnp.float32), hits)
    return jnp.round(
        jnp.clip(
            wanted,
            jnp.maximum(n_points / _LARGEST_FACTOR, 1.0),
            jnp.maximum(n_points * _LARGEST_FACTOR, 1.0),
        )
    )


def calibrated_summary(
    calibration: HitCalibration, summary: Summary, *, max_points: int, threshold_mev: float
) -> Summary:
    """The summary with N' points, in the proportions of the layers; its energies stay.

    A layer that loses its last point leaves its energy to the others.

    Args:
        calibration: The cubics.
        summary: Of one shower.
        max_points: Most points of a shower.
        threshold_mev: Smallest energy of a point, MeV.
    """
    n_points = jnp.sum(summary.n_points)
    total = jnp.minimum(calibrated_number(calibration, n_points), float(max_points))
    counts: Array = share_points(summary.n_points * (total / n_points), total)
    kept = jnp.where(counts > 0, summary.energy_mev, 0.0)
    energy = share_energy(kept, counts, jnp.sum(summary.energy_mev), threshold_mev)
    return Summary(counts, energy, summary.centre_mm)
