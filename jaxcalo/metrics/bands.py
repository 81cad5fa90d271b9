"""Error bands from the members of an ensemble, and whether they hold what they promise.

If the members are as far from each other as from the truth, the truth is one more member, and

    |truth - mean| <= t s sqrt(1 + 1 / M)                                        (1)

with the wanted probability: s the standard deviation of the M members, t Student's quantile with
M - 1 degrees of freedom. The scatter of the members holds the fluctuations of their finite samples.
The mean of the members is no better known than one of them: what they all have wrong, they share.

Source: the prediction interval of a normal sample, e.g. Hahn and Meeker, Statistical Intervals
(1991), section 4.7.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxcalo.errors import InputError
from jaxcalo.metrics.estimate import Estimate
from jaxcalo.metrics.wasserstein import wasserstein_1

ONE_SIGMA = 0.6826894921370859  # probability within one standard deviation of a normal variable


class Band(NamedTuple):
    """A band around the mean of the members.

    Attributes:
        mean: (...) of the members.
        half_width: (...) in the same unit: the truth is within it with probability ONE_SIGMA.
    """

    mean: np.ndarray
    half_width: np.ndarray


def error_band(members: np.ndarray) -> Band:
    """Compute the band (1) of any numbers that every member has.

    Args:
        members: (M, ...) numbers, M at least 2.

    Returns:
        The band, of shape (...).

    Raises:
        InputError: fewer than two members.
    """
    from scipy.special import stdtrit  # takes a sixth of a second

    n_members = len(members)
    if n_members < 2:
        raise InputError(
            f"error band: expected at least 2 members of an ensemble, found {n_members}; "
            "sample from more members"
        )
    quantile = stdtrit(n_members - 1, 0.5 * (1.0 + ONE_SIGMA))
    scatter = np.std(members, axis=0, ddof=1)
    half_width = quantile * np.sqrt(1.0 + 1.0 / n_members) * scatter
    return Band(np.mean(members, axis=0), half_width)


def histogram_band(members: Sequence[np.ndarray], edges: np.ndarray) -> Band:
    """Compute the band of a histogram.

    Args:
        members: the values that each member generated, (n_m,).
        edges: (k + 1,) increasing edges of the bins.

    Returns:
        The band of the share of all values that is in each bin, (k,).
    """
    return error_band(np.stack([_shares(values, edges) for values in members]))


def w1_band(reference: np.ndarray, members: Sequence[np.ndarray]) -> Estimate:
    """Compute the distance of a member from the reference, with its band over the members.

    Args:
        reference: (n,) values of the reference.
        members: the values that each member generated, (n_m,).

    Returns:
        The mean W1 and the half width of its band, in the unit of the values.
    """
    n = min(len(reference), *map(len, members))
    return number_band([Estimate(wasserstein_1(reference, x), 0.0, n) for x in members])


def number_band(members: Sequence[Estimate]) -> Estimate:
    """Compute the band of a number that was measured of every member.

    Args:
        members: the number of each; their errors do not count, see the scatter in (1).

    Returns:
        The mean and the half width of its band.
    """
    found = error_band(np.asarray([member.value for member in members]))
    return Estimate(float(found.mean), float(found.half_width), min(m.n for m in members))


def covered_bins(reference: np.ndarray, band: Band, variance: np.ndarray) -> np.ndarray:
    """Return for each bin that counts whether the band holds the difference, by equation (2).

    Args:
        reference: (k,) values of the reference, NaN where it has none.
        band: of the members, (k,).
        variance: (k,) of the reference's fluctuation, if the members are right.

    Returns:
        (l,) booleans; bins that are empty on both sides, or not a number on one, do not
        count.
    """
    mean, half_width = band
    used = np.isfinite(reference) & np.isfinite(mean) & ((mean != 0.0) | (reference != 0.0))
    return (np.abs(reference - mean) <= np.sqrt(half_width**2 + variance))[used]


def covered_share(covered: np.ndarray) -> Estimate:
    """Return the share of (l,) covered bins, with the error of so many independent ones."""
    share = float(np.mean(covered))
    return Estimate(share, float(np.sqrt(share * (1.0 - share) / len(covered))), len(covered))


def band_coverage(
    reference: np.ndarray, members: Sequence[np.ndarray], edges: np.ndarray
) -> Estimate:
    """Compute the share of bins whose band holds the difference of reference and members.

        |reference - mean| <= sqrt(half_width^2 + mean (1 - mean) / n)                    (2)

    The last term is the fluctuation of n reference values, if the members are right. Bins that are
    empty in the reference and in all members do not count. An honest ensemble covers ONE_SIGMA.

    Args:
        reference: (n,) values of the reference.
        members: the values that each member generated, (n_m,).
        edges: (k + 1,) increasing edges of the bins.

    Returns:
        The share, with the error of so many independent bins; n is the number of bins.

    Raises:
        InputError: no bin has an entry.
    """
    band = histogram_band(members, edges)
    variance = band.mean * (1.0 - band.mean) / len(reference)
    covered = covered_bins(_shares(reference, edges), band, variance)
    if len(covered) == 0:
        raise InputError(
            f"band coverage: expected values between {edges[0]:g} and {edges[-1]:g}, found none; "
            "choose other edges"
        )
    return covered_share(covered)


def _shares(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The share of the values in each bin; those outside count in none."""
    # A member that generated nothing has empty bins.
    return np.histogram(values, edges)[0] / max(len(values), 1)
