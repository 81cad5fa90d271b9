"""A number with its statistical error: what every metric returns."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxcalo.errors import InputError

N_SIGMA = 2.0  # chosen: one agreement in forty is lost to chance


def within_floor(value: float, floor: float, error: float) -> bool:
    """Whether a distance is at most the reference's own plus N_SIGMA errors."""
    return value <= floor + N_SIGMA * error


class Estimate(NamedTuple):
    """A measured value.

    Attributes:
        value: the number.
        error: one standard deviation of its statistical uncertainty, in the same unit.
        n: how many entries (showers or cells) the smaller of the compared samples had.
    """

    value: float
    error: float
    n: int

    def to_json(self) -> dict[str, float]:
        """Return {"value", "error"} as plain floats; n stands with the sizes of the samples."""
        return {"value": float(self.value), "error": float(self.error)}


def mean_of(estimates: Sequence[Estimate]) -> Estimate:
    """Average one metric over several generated samples.

        value = mean v_i,   error = max(s / sqrt(k), sqrt(sum e_i^2) / k)           (1)

    with s the standard deviation of the k values. The scatter holds everything that differs from
    sample to sample: the showers drawn, and the training where each sample has its own. It is
    itself uncertain by a factor 1 / sqrt(2 (k - 1)), 70 % for two samples that may agree by chance,
    and so the error is never below the one propagated from the estimates' own errors. One sample
    keeps its error.

    All samples are compared with the same reference: what its own finite size shifts is common to
    them, does not show in the scatter and does not average out. The result is the mean distance
    from that reference; compare it with the reference's floor.

    Args:
        estimates: the metric of each sample, one or more.

    Returns:
        The mean, its error by equation (1), and the smallest n.

    Raises:
        InputError: no estimates.
    """
    if not estimates:
        raise InputError("expected the estimates of at least one sample, found none; give one")
    k = len(estimates)
    values = np.asarray([e.value for e in estimates])
    propagated = np.sqrt(np.sum(np.square([e.error for e in estimates]))) / k
    scatter = values.std(ddof=1) / np.sqrt(k) if k > 1 else 0.0
    error = max(float(scatter), float(propagated))
    return Estimate(float(values.mean()), error, min(e.n for e in estimates))
