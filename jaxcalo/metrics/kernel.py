"""Kernel physics distance: the maximum mean discrepancy of two clouds of high-level features.

With the polynomial kernel of f features

    k(x, y) = (x . y / f + 1)^4                                             (1)

the discrepancy of two samples of n and m showers is, without bias,

    MMD^2 = sum_{i != j} k(x_i, x_j) / (n (n - 1)) + sum_{i != j} k(y_i, y_j) / (m (m - 1))
            - 2 sum_{i, j} k(x_i, y_j) / (n m)                              (2)

and KPD is its median over several pairs of batches. Equation (2) is zero on average for equal
distributions and any sample size, and negative about half of the time. It is skewed towards large
values then, so that its median lies below zero, by about half of the error, as does the floor.

Equation (2) has no bias for independent draws from the distributions. In batches drawn *with*
replacement, as KPD is published, two of the x_i may be the same shower, which adds about

    (mean k(x, x) - mean k(x, x')) / M_x  +  the same of y                  (3)

with M_x the size of the file: small for 100,000 showers, but the halves of 800 Geant4 showers from
the test sample of this package are (1.2 +- 0.9) 10^-3 apart that way, and (-0.4 +- 0.5) 10^-3 with
batches *without* replacement. These are the default here. Batches of the whole sample would all be
the same, so they hold at most half of it, and half is the right size: the variance of (2) over
random batches of N of M showers is on average

    Var(N) - Var(M)

because (2) of the whole is the mean of (2) over all its batches (law of total variance). With
Var(N) ~ 1/N for different distributions, N = M / 2 makes that Var(M), the variance of the whole
sample; for equal distributions, Var(N) ~ 1/N^2, it is 3 Var(M). The spread of half-size batches is
thus the error of the measurement, at most 1.7 times too large.

Source: Kansal et al., arXiv:2211.10295 (KPD); Gretton et al., J. Mach. Learn. Res. 13 (2012) 723,
lemma 6 (MMD^2); Shao and Wu, Ann. Stat. 17 (1989) 1176 (half samples).
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxcalo.errors import InputError
from jaxcalo.metrics.clouds import check_clouds, draw_batches, largest_magnitude
from jaxcalo.metrics.estimate import Estimate
from jaxcalo.metrics.splits import halves

LARGEST_BATCH = 5_000  # JetNet's
_DEGREE = 4
_ROWS = 512  # rows of the kernel matrix that are held at a time: 41 MB for 10,000 showers
_ONE_SIGMA = (16.275, 83.725)  # percentiles, JetNet's


@jax.jit
def _block_sum(x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.sum((x @ y.T / x.shape[1] + 1) ** _DEGREE)


def _kernel_sum(x: np.ndarray, y: np.ndarray) -> float:
    """Sum of equation (1) over all pairs of rows of float64 arrays, without holding them."""
    with jax.enable_x64(True):
        other = jnp.asarray(y)
        return sum(float(_block_sum(x[i : i + _ROWS], other)) for i in range(0, len(x), _ROWS))


def _mean_of_others(x: np.ndarray) -> float:
    """Mean of equation (1) over all pairs of different rows."""
    same = np.sum((np.sum(x**2, axis=1) / x.shape[1] + 1) ** _DEGREE)
    return float(_kernel_sum(x, x) - same) / (len(x) * (len(x) - 1))


def kernel_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Compute equation (2), a small difference of large sums, in float64.

    Args:
        a: (n, f) features of the first sample, n > 1.
        b: (m, f) features of the second, m > 1.

    Returns:
        MMD^2; negative where the samples are closer than chance.
    """
    x, y = (np.asarray(sample, dtype=np.float64) for sample in (a, b))
    mixed = _kernel_sum(x, y) / (len(x) * len(y))
    return _mean_of_others(x) + _mean_of_others(y) - 2 * mixed


def _median(
    first: np.ndarray,
    second: np.ndarray,
    batch_size: int,
    n_batches: int,
    with_replacement: bool,
    seed: int,
) -> Estimate:
    """Median and spread over batches of features that are normalised already."""
    rows = [
        draw_batches(key, len(x), n_batches, batch_size, with_replacement)
        for key, x in zip(jax.random.split(jax.random.key(seed)), (first, second), strict=True)
    ]
    values = [kernel_distance(first[a], second[b]) for a, b in zip(*rows, strict=True)]
    low, high = np.percentile(values, _ONE_SIGMA)
    return Estimate(float(np.median(values)), float(high - low) / 2, min(len(first), len(second)))


def _check_batches(
    batch_size: int | None, n_batches: int, smaller: int, with_replacement: bool
) -> int:
    """Return the number of showers in a batch."""
    there = smaller if with_replacement else smaller // 2
    size = min(LARGEST_BATCH, there) if batch_size is None else batch_size
    if size < 2 or n_batches < 2:
        raise InputError(
            "KPD: expected two batches or more of two showers or more, found"
            f" {n_batches} of {size}; give at least 4 showers of each sample"
        )
    if size > smaller and not with_replacement:
        raise InputError(
            f"KPD: batches of {size} showers without replacement need as many in each sample,"
            f" found {smaller}; lower batch_size"
        )
    return size


def kpd(
    reference: np.ndarray,
    generated: np.ndarray,
    *,
    batch_size: int | None = None,
    n_batches: int = 10,
    with_replacement: bool = False,
    normalise: bool = True,
    seed: int = 0,
) -> Estimate:
    """Compute the kernel physics distance: the median of equation (2) over pairs of batches.

    The defaults measure what is there: batches without replacement of half the smaller sample, at
    most 5,000 showers. The published protocol is with_replacement=True with batch_size=10_000
    (CaloChallenge) or 5_000 (JetNet); compare with published numbers only that, from samples as
    large as theirs, because of the bias (3).

    Args:
        reference: (n, f) features of the reference, see high_level_features.
        generated: (m, f) features of the sample to judge.
        batch_size: showers in a batch; None takes half of the smaller sample (all of it with
            replacement), 5,000 at most.
        n_batches: pairs of batches.
        with_replacement: whether a shower may stand in a batch more than once.
        normalise: whether to divide each feature by its largest absolute value in the reference;
            False leaves their units.
        seed: of the batches; the same samples give the same number.

    Returns:
        KPD, without unit if normalised; the error is half the range between the 16.275 and
        83.725 percentiles of the batches.

    Raises:
        InputError: samples of different features, features that are not finite, or batches that
            the samples are too small for.

    Source: Kansal et al., arXiv:2211.10295; the constants are those of JetNet and of
    the CaloChallenge.
    """
    check_clouds("KPD", reference, generated)
    smaller = min(len(reference), len(generated))
    size = _check_batches(batch_size, n_batches, smaller, with_replacement)
    scale = largest_magnitude(reference) if normalise else 1.0
    return _median(reference / scale, generated / scale, size, n_batches, with_replacement, seed)


def kpd_floor(
    reference: np.ndarray,
    n_generated: int | None = None,
    *,
    batch_size: int | None = None,
    n_batches: int = 10,
    seed: int = 0,
) -> Estimate:
    """Compute the KPD of the reference from itself, with batches without replacement.

    Mean over several shuffled divisions into halves (see splits.halves); the error is the standard
    deviation over the divisions, that is, how far one pair of samples fluctuates.

    Args:
        reference: (n, f) features of the reference.
        n_generated: showers of the sample to judge; if fewer than half, the floor uses as few.
        batch_size: showers in a batch; None as for kpd.
        n_batches: pairs of batches.
        seed: of the batches.

    Returns:
        KPD of halves.

    Raises:
        InputError: as kpd.
    """
    check_clouds("KPD", reference, reference)
    masks = halves(len(reference), n_generated)
    smaller = int(min(masks[0][0].sum(), masks[0][1].sum()))
    size = _check_batches(batch_size, n_batches, smaller, False)
    normalised = reference / largest_magnitude(reference)
    values = np.asarray(
        [
            _median(normalised[a], normalised[b], size, n_batches, False, seed).value
            for a, b in masks
        ]
    )
    return Estimate(float(values.mean()), float(values.std(ddof=1)), smaller)
