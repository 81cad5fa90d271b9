"""Precision, recall, density and coverage: how two clouds of showers overlap.

Around every shower lies a ball that reaches to its k-th nearest neighbour in its own sample, of
radius r. With x_i of the reference (n) and y_j generated (m), and [.] = 1 if true,

    precision = mean over j of [|x_i - y_j| < r(x_i) for any i]             (1)
    recall    = mean over i of [|x_i - y_j| < r(y_j) for any j]             (2)
    density   = sum over i, j of [|x_i - y_j| < r(x_i)] / (k m)             (3)
    coverage  = mean over i of [|x_i - y_j| < r(x_i) for any j]             (4)

Samples of one distribution, whichever it is, have on average density 1 and coverage

    1 - prod_{l < k} (n - 1 - l) / (n + m - 1 - l)                          (5)

because every order of the other n - 1 + m showers by their distance from x_i is equally likely:
1 - 2^-k for n = m. Precision and recall have no such value; they are read against the floor.

Squared distances come from matrix products, |x|^2 + |y|^2 - 2 x.y, of centred features in float64:
their rounding, 1e-13 of |x|^2, is far below the differences that decide. Only where showers are
equal (two empty ones, a copy of the reference) the rounding would decide which of two equal
distances is smaller; therefore a shower is inside when its squared distance is smaller than r^2 by
1e-11 (r^2 + |x|^2).

Source: Kynkaanniemi et al., arXiv:1904.06991 (precision, recall); Naeem et al., arXiv:2002.09797
(density, coverage); CaloChallenge, arXiv:2410.21611 (features, k = 5).
"""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxcalo.errors import InputError
from jaxcalo.metrics.clouds import check_clouds
from jaxcalo.metrics.splits import halves
from jaxcalo.typing import Observe

N_NEIGHBOURS = 5  # the challenge's
EMPTY_MEV = 0.1  # the challenge's stand-in for zero
_BLOCK = 1024  # rows of one product: 53 MB of float64 with 6480 voxels
_TIE = 1e-11  # covers the rounding of sums over 40,000 voxels


class Prdc(NamedTuple):
    """The four numbers; density may exceed 1."""

    precision: float
    recall: float
    density: float
    coverage: float


class _Blocks:
    """Squared distances of two samples, one block of rows against one block at a time."""

    def __init__(self, reference: np.ndarray, generated: np.ndarray, observe: Observe | None):
        self.centre = reference.mean(axis=0, dtype=np.float64)
        n, m = (-(-len(x) // _BLOCK) for x in (reference, generated))
        self._n_all, self._n_done = n * (n + 1) // 2 + m * (m + 1) // 2 + n * m, 0
        self._observe = observe

    def distances(
        self, a: np.ndarray, b: np.ndarray, triangle: bool = False
    ) -> Iterator[tuple[slice, slice, np.ndarray]]:
        """Yield rows of a, rows of b and their squared distances; blocks i <= j of a triangle."""
        for first in _slices(len(a)):
            for second in _slices(len(b)):
                if triangle and second.start < first.start:
                    continue
                with jax.enable_x64(True):
                    squared = _squared_distances(a[first], b[second], self.centre)
                    block = np.array(squared)
                self._n_done += 1
                if self._observe is not None:
                    self._observe(self._n_done, self._n_all)
                yield first, second, block


def _slices(n: int) -> list[slice]:
    return [slice(i, min(n, i + _BLOCK)) for i in range(0, n, _BLOCK)]


@jax.jit
def _squared_distances(a: jax.Array, b: jax.Array, centre: jax.Array) -> jax.Array:
    """(n, v) and (m, v) to (n, m) float64."""
    a, b = a.astype(jnp.float64) - centre, b.astype(jnp.float64) - centre
    return jnp.sum(a**2, axis=1)[:, None] + jnp.sum(b**2, axis=1) - 2 * a @ b.T


def _limits(x: np.ndarray, k: int, blocks: _Blocks) -> np.ndarray:
    """(n,) squared distance within which a shower lies inside the ball around each shower."""
    nearest = np.full((len(x), k), np.inf)

    def merge(rows: slice, squared: np.ndarray) -> None:
        both = np.concatenate([nearest[rows], squared], axis=1)
        nearest[rows] = np.partition(both, k - 1, axis=1)[:, :k]

    for first, second, squared in blocks.distances(x, x, triangle=True):
        if first == second:
            np.fill_diagonal(squared, np.inf)  # a shower is not its own neighbour
        else:
            merge(second, squared.T)
        merge(first, squared)
    radius = nearest.max(axis=1)
    norm = np.concatenate(
        [np.sum((x[rows] - blocks.centre) ** 2, axis=1) for rows in _slices(len(x))]
    )
    return radius - _TIE * (radius + norm)


def log_voxels(voxel_energy_mev: np.ndarray) -> np.ndarray:
    """Return the features in which the challenge measures PRDC: log10 E, zeros taken as 0.1 MeV.

    Args:
        voxel_energy_mev: (n, v) energies after the threshold, see apply_threshold.

    Returns:
        (n, v) float32.
    """
    energy = np.asarray(voxel_energy_mev, dtype=np.float32)
    filled = np.where(energy > 0, energy, np.float32(EMPTY_MEV))
    return np.log10(filled, out=filled)


def prdc(
    reference: np.ndarray,
    generated: np.ndarray,
    *,
    k: int = N_NEIGHBOURS,
    observe: Observe | None = None,
) -> Prdc:
    """Compute equations (1) to (4).

    The numbers depend on the size of the samples: compare only equal ones. Memory: blocks of 1024
    showers in float64; 2 x 5,000 showers of 6480 voxels take 1e12 operations.

    Args:
        reference: (n, f) features of the reference, see log_voxels.
        generated: (m, f) features of the sample to judge.
        k: which neighbour sets the radius.
        observe: called after each block with the numbers of blocks done and in all.

    Returns:
        Prdc.

    Raises:
        InputError: samples of different features, features that are not finite, or fewer than
            k + 1 showers in one of them.
    """
    check_clouds("PRDC", reference, generated)
    smaller = min(len(reference), len(generated))
    if not 1 <= k < smaller:
        raise InputError(
            f"PRDC: the distance to neighbour k = {k} needs k >= 1 and at least {k + 1} showers in"
            f" each sample, found {smaller}; lower k or use more showers"
        )
    blocks = _Blocks(reference, generated, observe)
    limit_x = _limits(reference, k, blocks)[:, None]
    limit_y = _limits(generated, k, blocks)
    balls_around = np.zeros(len(generated), dtype=np.int64)  # of the reference, around each y_j
    covered, recalled = np.zeros((2, len(reference)), dtype=bool)
    for first, second, squared in blocks.distances(reference, generated):
        inside = squared < limit_x[first]
        balls_around[second] += inside.sum(axis=0)
        covered[first] |= inside.any(axis=1)
        recalled[first] |= (squared < limit_y[second]).any(axis=1)
    return Prdc(
        precision=float(np.mean(balls_around > 0)),
        recall=float(recalled.mean()),
        density=float(balls_around.mean() / k),
        coverage=float(covered.mean()),
    )


def prdc_floor(
    reference: np.ndarray,
    n_generated: int | None = None,
    *,
    k: int = N_NEIGHBOURS,
    observe: Observe | None = None,
) -> Prdc:
    """Compute the numbers that the reference itself has between two shuffled halves.

    Args:
        reference: (n, f) features of the reference.
        n_generated: showers of the sample to judge; if fewer than half, the floor uses as few.
        k: as for prdc.
        observe: as for prdc.

    Returns:
        Prdc of halves.

    Raises:
        InputError: as prdc.
    """
    [(one, other)] = halves(len(reference), n_generated, n_splits=1)
    return prdc(reference[one], reference[other], k=k, observe=observe)
