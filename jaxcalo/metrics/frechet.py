"""Frechet physics distance: how far two clouds of high-level features are apart.

With means mu and covariances C of the features of two samples,

    d^2 = |mu_a - mu_b|^2 + Tr(C_a + C_b - 2 (C_a C_b)^(1/2))               (1)

which is the squared 2-Wasserstein distance of the two normal distributions. Finite samples are
apart even when their distributions are equal, by an amount that falls like 1/N:

    E[d^2_N] = d^2 + k / N + O(1/N^2)                                       (2)

so d^2_N is measured at several N and the line's intercept at 1/N = 0 is the distance, FPD.

Equation (2) describes independent draws from the distributions. Batches drawn *with* replacement
are independent draws from the *files*, and their intercept is the distance of the two files, which
keeps the k / M of the file's own size M. That is how FPD is published: harmless for 100,000
showers, but two sets of 800 from one distribution are 0.20 apart that way (122 features of the
shipped Geant4 showers), and 0.02 +- 0.02 with batches *without* replacement, each of which is an
independent sample of the distribution. Therefore the second is the default here.

Source: Kansal et al., arXiv:2211.10295 (FPD); Chong and Forsyth, arXiv:1911.07023 (extrapolation);
CaloChallenge, arXiv:2410.21611 (features).
"""

from typing import NamedTuple

import jax
import numpy as np

from jaxcalo.errors import InputError
from jaxcalo.metrics.clouds import check_clouds, draw_batches, largest_magnitude
from jaxcalo.metrics.estimate import Estimate
from jaxcalo.metrics.sample import Sample
from jaxcalo.metrics.splits import halves
from jaxcalo.typing import Key

LARGEST_BATCH = 50_000
BATCH_RATIO = 5  # the CaloChallenge's 50,000 : 10,000
_MIN_POINTS = 3  # a line through two points has no error
_EPS_MEV = 1e-8  # the challenge's: log10 of an empty layer is -8


class _Plan(NamedTuple):
    """Which batches are compared.

    Attributes:
        sizes: (n_points,) showers in a batch.
        n_batches: pairs of batches of each size.
        with_replacement: whether a shower may stand in a batch more than once.
        seed: of the draws.
    """

    sizes: np.ndarray
    n_batches: int
    with_replacement: bool
    seed: int


def high_level_features(sample: Sample) -> np.ndarray:
    """Return the features of the CaloChallenge's high-level classifier, without the label.

    In its order: log10 E_inc, log10 E_layer, EC_eta, EC_phi, width_eta, width_phi, log10 E_tot,
    sparsity, EC_r, width_r; energies in MeV, lengths in units of 100 mm. An empty layer has
    log10 E_layer = -8.

    Args:
        sample: n condensed showers.

    Returns:
        (n, f) float64; f = 30, 46, 362 and 362 for data sets 1 (photons, pions), 2 and 3.

    Source: CaloChallenge, arXiv:2410.21611, section 4.
    """
    found = sample.moments.features
    return np.concatenate(
        [
            np.log10(sample.incident_energy_mev)[:, None],
            np.log10(found.e_layer_mev + _EPS_MEV),
            found.centre_x_mm / 100,
            found.centre_y_mm / 100,
            found.width_x_mm / 100,
            found.width_y_mm / 100,
            np.log10(found.e_tot_mev + _EPS_MEV)[:, None],
            found.sparsity,
            found.centre_r_mm / 100,
            found.width_r_mm / 100,
        ],
        axis=1,
    )


def _covariance(features: np.ndarray) -> np.ndarray:
    """(f, f) covariance with the divisor n - 1."""
    centred = features - features.mean(axis=0)
    return centred.T @ centred / (len(features) - 1)


def _root_overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Tr (C_a C_b)^(1/2): the sum of the roots of the eigenvalues of L_a^T C_b L_a.

    C_a = L_a L_a^T by the pivoted Cholesky decomposition, which stops at the rank of a singular
    matrix. It and the eigenvalues of a symmetric matrix are the LAPACK routines that also run
    quickly where the cores are busy; eigenvectors and singular values took 20 times as long there.
    """
    from scipy.linalg import get_lapack_funcs  # takes a sixth of a second

    (pivoted_cholesky,) = get_lapack_funcs(("pstrf",), (first,))
    upper, pivot, rank, _ = pivoted_cholesky(first)
    factor = np.empty((len(first), rank))
    factor[pivot - 1] = np.triu(upper)[:rank].T
    eigenvalues = np.linalg.eigvalsh(factor.T @ second @ factor)
    return float(np.sqrt(np.maximum(eigenvalues, 0)).sum())  # a zero may be rounded to -1e-17


def frechet_of_moments(
    means: tuple[np.ndarray, np.ndarray], covariances: tuple[np.ndarray, np.ndarray]
) -> float:
    """Compute equation (1) from means and covariances.

    Args:
        means: (f,) of each sample.
        covariances: (f, f) of each sample, symmetric and not negative; may be singular.

    Returns:
        d^2, not negative, in squared units of the features.
    """
    (one, other), (first, second) = means, covariances
    shift = np.sum((one - other) ** 2)
    squared = shift + np.trace(first) + np.trace(second) - 2 * _root_overlap(first, second)
    return max(0.0, float(squared))  # equal samples leave a rounding error of either sign


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Compute equation (1) of two samples; biased upwards by their finite size, equation (2).

    Rounding changes it by at most about 1e-8 f times the largest variance.

    Args:
        a: (n, f) features of the first sample, n > 1.
        b: (m, f) features of the second, m > 1.

    Returns:
        d^2, not negative, in squared units of the features.
    """
    return frechet_of_moments((a.mean(axis=0), b.mean(axis=0)), (_covariance(a), _covariance(b)))


def _draw(key: Key, pool: int, plan: _Plan) -> np.ndarray:
    """(n_batches, max(sizes)) rows of a pool; the first N of each line are a batch of N."""
    return draw_batches(key, pool, plan.n_batches, int(plan.sizes.max()), plan.with_replacement)


def _fit(sizes: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """Intercept and its error of the least-squares line in 1/N with no negative coefficient.

    The error is that of the free line, with the variance of the points taken from the residuals.
    """
    from scipy.optimize import nnls  # takes a third of a second

    x = sizes.min() / sizes  # of order one
    design = np.stack([np.ones_like(x), x], axis=1)
    coefficients, residual = nnls(design, values)
    variance = residual**2 / (len(x) - 2) * np.linalg.inv(design.T @ design)[0, 0]
    return float(coefficients[0]), float(np.sqrt(variance))


def _extrapolate(first: np.ndarray, second: np.ndarray, plan: _Plan) -> Estimate:
    """FPD of normalised features."""
    values = []
    key = jax.random.key(plan.seed)
    for i, size in enumerate(plan.sizes):
        key_first, key_second = jax.random.split(jax.random.fold_in(key, i))
        rows = zip(
            _draw(key_first, len(first), plan)[:, :size],
            _draw(key_second, len(second), plan)[:, :size],
            strict=True,
        )
        values.append(np.mean([frechet_distance(first[a], second[b]) for a, b in rows]))
    value, error = _fit(plan.sizes, np.asarray(values))
    return Estimate(value, error, min(len(first), len(second)))


def _plan(
    smaller: int,
    min_samples: int | None,
    max_samples: int | None,
    n_batches: int,
    n_points: int,
    with_replacement: bool,
    seed: int,
) -> _Plan:
    """Sizes equally spaced in 1/N; by default up to the smaller sample."""
    largest = min(smaller, LARGEST_BATCH) if max_samples is None else max_samples
    smallest = largest // BATCH_RATIO if min_samples is None else min_samples
    if not 2 <= smallest < largest:
        raise InputError(
            "FPD: expected 2 <= min_samples < max_samples, found"
            f" {smallest} and {largest}; give at least {2 * BATCH_RATIO} showers of each sample"
        )
    if largest > smaller and not with_replacement:
        raise InputError(
            f"FPD: batches of {largest} showers without replacement need as many in each sample,"
            f" found {smaller}; lower max_samples"
        )
    if n_batches < 1 or n_points < _MIN_POINTS:
        raise InputError(
            f"FPD: expected n_batches >= 1 and n_points >= {_MIN_POINTS}, found {n_batches} and"
            f" {n_points}; the defaults are 20 and 10"
        )
    sizes = np.rint(1 / np.linspace(1 / smallest, 1 / largest, n_points)).astype(int)
    return _Plan(sizes, n_batches, with_replacement, seed)


def fpd(
    reference: np.ndarray,
    generated: np.ndarray,
    *,
    min_samples: int | None = None,
    max_samples: int | None = None,
    n_batches: int = 20,
    n_points: int = 10,
    with_replacement: bool = False,
    normalise: bool = True,
    seed: int = 0,
) -> Estimate:
    """Compute the Frechet physics distance: intercept of equation (2) and the error of its fit.

    With normalise, each feature is divided by its largest absolute value in the reference. At
    n_points batch sizes, equally spaced in 1/N, d^2 is averaged over n_batches pairs of batches;
    intercept and slope of the line are not negative.

    The defaults extrapolate from what is there: batches without replacement, from a fifth of the
    smaller sample to all of it. The published protocol is with_replacement=True with
    min_samples=10_000 (CaloChallenge) or 20_000 (JetNet) and max_samples=50_000; compare with
    published numbers only that, from samples as large as theirs.

    Args:
        reference: (n, f) features of the reference, see high_level_features.
        generated: (m, f) features of the sample to judge.
        min_samples: showers in the smallest batch; None takes a fifth of max_samples.
        max_samples: showers in the largest batch; None takes the smaller sample, 50,000 at most.
        n_batches: pairs of batches at each size.
        n_points: number of sizes.
        with_replacement: whether a shower may stand in a batch more than once; then the result
            keeps the distance that samples of this size have by chance.
        normalise: whether to divide the features by their scales; False leaves their units.
        seed: of the batches; the same samples give the same number.

    Returns:
        FPD, without unit if normalised. The error is the scatter around the line; how far FPD
        fluctuates from one pair of samples to the next, see fpd_floor.

    Raises:
        InputError: samples of different features, features that are not finite, or batches that
            the samples are too small for.

    Source: Kansal et al., arXiv:2211.10295; the constants are those of JetNet and of
    the CaloChallenge.
    """
    check_clouds("FPD", reference, generated)
    smaller = min(len(reference), len(generated))
    plan = _plan(smaller, min_samples, max_samples, n_batches, n_points, with_replacement, seed)
    scale = largest_magnitude(reference) if normalise else 1.0
    return _extrapolate(reference / scale, generated / scale, plan)


def fpd_floor(
    reference: np.ndarray, n_generated: int | None = None, *, n_batches: int = 20, seed: int = 0
) -> Estimate:
    """Compute the FPD of the reference from itself, with the defaults of fpd.

    Mean over several shuffled divisions into halves (see splits.halves); the error is the standard
    deviation over the divisions, that is, how far one pair of samples fluctuates.

    Args:
        reference: (n, f) features of the reference.
        n_generated: showers of the sample to judge; if fewer than half, the floor uses as few.
        n_batches: pairs of batches at each size.
        seed: of the batches.

    Returns:
        FPD of halves.

    Raises:
        InputError: as fpd.
    """
    check_clouds("FPD", reference, reference)
    masks = halves(len(reference), n_generated)
    smaller = int(min(masks[0][0].sum(), masks[0][1].sum()))
    plan = _plan(smaller, None, None, n_batches, 10, False, seed)
    normalised = reference / largest_magnitude(reference)
    values = np.asarray([_extrapolate(normalised[a], normalised[b], plan).value for a, b in masks])
    return Estimate(float(values.mean()), float(values.std(ddof=1)), smaller)
