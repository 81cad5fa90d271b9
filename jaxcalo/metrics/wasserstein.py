"""Wasserstein-1 distances of observables, in standard deviations of the reference.

    W1(p, q) = int |F_p(x) - F_q(x)| dx                                     (1)

with F the empirical distribution functions; both samples are divided by the standard deviation of
the reference first, so that W1 is in units of the reference's own spread.

Source: the protocol of CaloClouds II, arXiv:2309.05704, section 4.2.
"""

import numpy as np

from jaxcalo.errors import InputError
from jaxcalo.metrics.estimate import Estimate
from jaxcalo.metrics.observables import Observable
from jaxcalo.metrics.splits import batches, halves

N_BATCHES = 10
MIN_SHOWERS = 2 * N_BATCHES
_ROUNDING = 1e-12  # a spread below this fraction of the values is rounding, not physics


def wasserstein_1(x: np.ndarray, y: np.ndarray) -> float:
    """Compute the distance of two one-dimensional samples, equation (1), exactly.

    Args:
        x: (n,) first sample.
        y: (m,) second sample; n and m may differ.

    Returns:
        W1 in the unit of the samples.
    """
    x, y = np.sort(x), np.sort(y)
    if len(x) == len(y):
        return float(np.abs(x - y).mean())
    both = np.sort(np.concatenate([x, y]))
    left = both[:-1]
    difference = np.searchsorted(x, left, "right") / len(x)
    difference -= np.searchsorted(y, left, "right") / len(y)
    return float(np.abs(difference) @ np.diff(both))


def reference_scale(reference: np.ndarray) -> np.ndarray:
    """Return the standard deviation of each column, 1 where the reference is constant.

    In units of no spread every distance would be infinite; with scale 1 a constant observable
    (centre_z of a detector with one layer) keeps its own unit, and equal samples distance 0.

    Args:
        reference: (n, k) values.

    Returns:
        (k,) positive scales.
    """
    spread = reference.std(axis=0)
    constant = spread <= _ROUNDING * np.abs(reference).max(axis=0)
    return np.where(constant, 1.0, spread)


def _distances(reference: np.ndarray, generated: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """(k,) standardised W1 of each column.

    Showers without a single cell count as one cell of zero energy: a dead generator must get a
    finite, bad number.
    """
    empty = np.zeros((1, reference.shape[1]))
    first, second = (values if len(values) else empty for values in (reference, generated))
    return np.asarray(
        [wasserstein_1(a / s, b / s) for a, b, s in zip(first.T, second.T, scale, strict=True)]
    )


def _batch_distances(
    reference: Observable,
    generated: Observable,
    masks: list[tuple[np.ndarray, np.ndarray]],
    scale: np.ndarray,
) -> np.ndarray:
    """(n_batches, k) standardised W1 of the batches."""
    return np.stack(
        [
            _distances(reference.select(a).values, generated.select(b).values, scale)
            for a, b in masks
        ]
    )


def w1(reference: Observable, generated: Observable, n_showers: tuple[int, int]) -> Estimate:
    """Compute the distance of an observable from the full samples, with its error.

    The error of a component is the standard deviation of its distances in N_BATCHES disjoint
    batches, divided by sqrt(N_BATCHES). A vector has the mean of its components, with error
    sqrt(sum of squared errors) / k.

    Args:
        reference: values of the reference.
        generated: values of the sample to judge.
        n_showers: how many showers the two samples have.

    Returns:
        W1 in reference standard deviations.
    """
    scale = reference_scale(reference.values)
    masks = list(zip(*(batches(n, N_BATCHES) for n in n_showers), strict=True))
    spread = _batch_distances(reference, generated, masks, scale).std(axis=0, ddof=1)
    error = np.sqrt(np.sum(spread**2 / N_BATCHES)) / len(scale)
    value = _distances(reference.values, generated.values, scale).mean()
    return Estimate(float(value), float(error), min(len(reference.values), len(generated.values)))


def w1_floor(reference: Observable, n_reference: int, n_generated: int | None = None) -> Estimate:
    """Compute the distance of the reference from itself: what no generator can be asked to beat.

    Mean over several shuffled divisions into halves (see splits.halves); the error is the standard
    deviation over the divisions, that is, how far one pair of samples fluctuates.

    Args:
        reference: values of the reference.
        n_reference: number of its showers.
        n_generated: showers of the sample to judge; if fewer than half, the floor uses as few.

    Returns:
        W1 in reference standard deviations.
    """
    scale = reference_scale(reference.values)
    masks = halves(n_reference, n_generated)
    values = np.asarray(
        [
            _distances(reference.select(a).values, reference.select(b).values, scale).mean()
            for a, b in masks
        ]
    )
    n = int(min(masks[0][0].sum(), masks[0][1].sum()))
    return Estimate(float(values.mean()), float(values.std(ddof=1)), n)


def protocol(
    reference: Observable,
    generated: Observable,
    n_showers: tuple[int, int],
    batch_size: int,
    n_batches: int = N_BATCHES,
) -> Estimate:
    """Compute the distance as the CaloClouds papers publish it (there times 100).

    Mean and standard deviation of W1 over disjoint shuffled batches; a vector has the mean of its
    components and error sqrt(sum of squared standard deviations). Compare only at equal batch_size
    (theirs is 50,000): the mean of small batches is larger.

    Args:
        reference: values of the reference.
        generated: values of the sample to judge.
        n_showers: how many showers the two samples have.
        batch_size: showers in a batch.
        n_batches: number of batches.

    Returns:
        W1 in reference standard deviations.

    Raises:
        InputError: too few showers for that many disjoint batches.
    """
    if min(n_showers) < n_batches * batch_size:
        raise InputError(
            f"{n_batches} disjoint batches of {batch_size} need {n_batches * batch_size} showers in"
            f" each sample, found {n_showers[0]} and {n_showers[1]}; choose smaller batches"
        )
    scale = reference_scale(reference.values)
    masks = list(zip(*(batches(n, n_batches, batch_size) for n in n_showers), strict=True))
    values = _batch_distances(reference, generated, masks, scale)
    error = np.sqrt(np.sum(values.std(axis=0) ** 2))
    return Estimate(float(values.mean()), float(error), batch_size)
