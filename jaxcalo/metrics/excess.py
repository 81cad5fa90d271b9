"""How far two distributions are apart, from samples so small that noise is most of their distance.

Of n and m showers of one distribution the W1 distance is not zero: that is the floor. What is asked
for is the distance D of the distributions behind the samples. With distribution functions F of the
reference and G of the generated sample

    W = int |F - G| dx,     F - G = (F - G of the distributions) + noise                    (1)

and W is too large. W - floor is no good estimate of D: where D is about as large as the floor both
add in squares, and where D is much larger noise does not enlarge W at all, so it is too low by up
to the whole floor. Instead, D is the distance with which W would be expected: let F - G be lambda
times what was observed, so that D = lambda W; draw showers with replacement for the noise,

    W*(lambda) = int |lambda (F - G) + (F* - F) - (G* - G)| dx,                             (2)

and solve mean W*(lambda) = W. The mean is convex in lambda, begins at the floor and ends as
lambda W; a W below the floor gives D = 0. The error is the larger distance from D to the ends of
its 68 % interval, the lambda for which W is neither among the 16 % smallest W* nor among the 16 %
largest. For the upper end W counts as the floor at least, since a distance below the floor is luck
and excludes nothing more. A vector has the mean of its components in (1) and (2), and one lambda.

Showers are drawn whole, with all their cells. Where generated shower j was made for the incident
energy of reference shower j mod n, both are drawn together: what the energy makes of an observable
is then no noise, and floor and error are smaller by it.

Measured for shifts of 0 to 0.5 standard deviations and 400 showers: the error covers the truth in
60 to 85 % of cases, twice the error in 91 to 99 %; D is right on the average from 0.05 on, and
where it is smaller some 0.03 too large, since it cannot be negative.

Source: drawing with replacement, Efron, Ann. Statist. 7 (1979) 1.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import jax
import numpy as np

from jaxcalo.metrics.estimate import Estimate
from jaxcalo.metrics.observables import Observable
from jaxcalo.metrics.wasserstein import reference_scale, w1

N_DRAWS = 200  # chosen: the ends of the interval are then good to a tenth of the error
_MAX_POINTS = 2048  # of a distribution function; chosen: the integrals change by less than 1 %
_TAIL = 0.15865525  # of a normal distribution beyond one standard deviation
_BLOCK = 2**17  # of random numbers
_TOLERANCE = 1e-3  # of lambda; far below its error


class Excess(NamedTuple):
    """A distance, what it would be for a perfect generator, and what is left of it.

    Attributes:
        w1: distance of the samples, in standard deviations of the reference, see `w1`.
        floor: mean distance of two samples of the same sizes drawn from the reference; the error
            is the standard deviation of one such distance. For paired showers: from both samples
            with their difference removed, since the reference has no two showers of one energy.
        excess: distance of the distributions by equation (2).
    """

    w1: Estimate
    floor: Estimate
    excess: Estimate


class _Curves(NamedTuple):
    """One component: steps of width (g,), F - G there (g,), and noise (g, N_DRAWS).

    `noise` is that of both samples, `null` that of two samples of the reference.
    """

    width: np.ndarray
    difference: np.ndarray
    noise: np.ndarray
    null: np.ndarray


@lru_cache(maxsize=4)  # all observables of a comparison ask for the same ones
def _draws(index: int, n: int, size: int) -> np.ndarray:
    """(n, 1 + N_DRAWS): ones, then how often each of n showers is among `size` drawn."""
    key = jax.random.fold_in(jax.random.key(2), index)
    # blocks of one shape, so that no size of sample has to be compiled for
    n_blocks = -(-N_DRAWS * size // _BLOCK)
    bits = [jax.random.bits(jax.random.fold_in(key, i), (_BLOCK,)) for i in range(n_blocks)]
    rows = (np.concatenate(bits)[: N_DRAWS * size].astype(np.uint64) * n) >> 32
    counts = [np.bincount(row, minlength=n) for row in rows.astype(np.int64).reshape(N_DRAWS, -1)]
    return np.column_stack([np.ones(n), *counts]).astype(np.float32)


def _filled(observable: Observable, n: int) -> Observable:
    """A sample without a single cell counts as one cell of zero energy in each shower."""
    if len(observable.values):
        return observable
    return Observable(np.zeros((n, observable.values.shape[1])), np.arange(n))


def _distribution(
    values: np.ndarray, shower: np.ndarray, points: np.ndarray, draws: np.ndarray
) -> np.ndarray:
    """Distribution functions at the points (g,): of the sample and of its draws, (g, 1 + k)."""
    from scipy.sparse import csr_array  # takes a sixth of a second

    place = np.searchsorted(points, values)
    shape = len(points), len(draws)
    found = csr_array((np.ones(len(values)), (place, shower)), shape=shape) @ draws
    running = np.cumsum(found, axis=0)
    # showers that have cells may all be missing from a draw
    return running / np.maximum(running[-1], 1)


def _thinned(points: np.ndarray) -> np.ndarray:
    """At most _MAX_POINTS of them: half in equal steps, a quarter at each end, for long tails."""
    n, end = len(points), _MAX_POINTS // 4
    if n <= _MAX_POINTS:
        return points
    steps = np.linspace(end, n - end, _MAX_POINTS // 2, endpoint=False).astype(int)
    return points[np.concatenate([np.arange(end), steps, np.arange(n - end, n)])]


def _curves(
    x: np.ndarray,
    y: np.ndarray,
    showers: tuple[np.ndarray, np.ndarray],
    draws: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> _Curves:
    """Curves of values x (k,) of the reference and y (l,), that belong to these showers."""
    points = _thinned(np.unique(np.concatenate([x, y])))
    reference, again = (_distribution(x, showers[0], points, draws[i]) for i in (0, 2))
    generated = _distribution(y, showers[1], points, draws[1])
    both = (reference - generated)[:-1]
    null = (reference - again)[:-1, 1:]
    width, difference = np.diff(points), both[:, 0]
    return _Curves(width, difference, both[:, 1:] - difference[:, None], null)


def _distances(curves: list[_Curves], lambda_: float) -> np.ndarray:
    """W*(lambda) of every draw, equation (2): (N_DRAWS,)."""
    return np.mean(
        [c.width @ np.abs(lambda_ * c.difference[:, None] + c.noise) for c in curves], axis=0
    )


def _solve(function: Callable[[float], float], target: float) -> float:
    """The lambda >= 0 at which a growing function reaches the target; 0 if it begins above."""
    from scipy.optimize import root_scalar  # takes a third of a second

    if function(0.0) >= target:
        return 0.0
    end = 1.0
    while function(end) < target:
        end *= 2
    found = root_scalar(lambda at: function(at) - target, bracket=(0.0, end), xtol=_TOLERANCE)
    return float(found.root)


def _excess(curves: list[_Curves], distance: float, floor: Estimate) -> Estimate:
    """Solve equation (2) for the distance and for the ends of its interval."""
    observed = float(np.mean([c.width @ np.abs(c.difference) for c in curves]))
    if observed == 0:  # nothing says in which way they might differ
        return Estimate(0.0, floor.value + floor.error, floor.n)
    at_zero = float(_distances(curves, 0.0).mean())
    value = _solve(lambda at: _distances(curves, at).mean(), observed)
    low = _solve(lambda at: float(np.quantile(_distances(curves, at), 1 - _TAIL)), observed)
    high = _solve(
        lambda at: float(np.quantile(_distances(curves, at), _TAIL)), max(observed, at_zero)
    )
    error = max(high - value, value - low) * distance
    return Estimate(value * distance, error, floor.n)


def w1_excess(
    reference: Observable,
    generated: Observable,
    n_showers: tuple[int, int],
    paired: bool = False,
) -> Excess:
    """Compute the distance of an observable, its floor, and the distance without the noise.

    Args:
        reference: values of the reference.
        generated: values of the sample to judge.
        n_showers: how many showers the two samples have.
        paired: whether generated shower j has the incident energy of reference shower j mod n.

    Returns:
        Three estimates in standard deviations of the reference, the mean over a vector's
        components.
    """
    n, m = n_showers
    distance, scale = w1(reference, generated, n_showers), reference_scale(reference.values)
    first, second = _filled(reference, n), _filled(generated, m)
    own = _draws(0, n, n)
    other = own[np.arange(m) % n] if paired else _draws(1, m, m)
    draws = own, other, _draws(2, n, m)
    curves = [
        _curves(x / s, y / s, (first.shower, second.shower), draws)
        for x, y, s in zip(first.values.T, second.values.T, scale, strict=True)
    ]
    if paired:
        null = _distances(curves, 0.0)
    else:
        null = np.mean([c.width @ np.abs(c.null) for c in curves], axis=0)
    floor = Estimate(float(null.mean()), float(null.std(ddof=1)), min(n, m))
    return Excess(distance, floor, _excess(curves, distance.value, floor))
