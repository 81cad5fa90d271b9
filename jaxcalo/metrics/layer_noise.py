"""Excess noise of the layer energies: scatter that the rest of a shower does not explain.

A generator may draw every layer's energy a little too widely and still pass: the energies of
Geant4's layers scatter by 12 to 30 % from shower to shower, so that 3 %, or even 10 %, of
independent noise on top moves neither a histogram nor a distance of distributions. Much of that
scatter, though, is common to the layers of a shower and shows in its hits and radii; the noise is
seen in what is left. With y the logarithm of a layer's energy over its hits and x everything else
(see layer_expectation), the model is

    Geant4:      y ~ N(mu(x), v(x))                                             (1)
    generated:   y ~ N(mu(x), v(x) + tau^2)                                     (2)

where mu and v are trained on the reference alone. The score of tau^2, the derivative of the log
likelihood of (2) at tau = 0, is with w = 1 / v^2

    U = sum w ((y - mu)^2 - v) / 2,  whence  T = sum w ((y - mu)^2 - v) / sum w  (3)

T is the variance in excess of v, seen where v is small. Even Geant4's is not zero, because a
network is not exact, so that it is compared, and its response is measured:

    tau^2 = (T(generated) - T(reference)) / R                                   (4)
    R     = (T(reference with noise s) - T(reference)) / s^2                    (5)

R is above 1, because mu follows the noise of the other layers. Equation (4) is fair only if the
network has seen neither sample: it is closer to the showers it was trained on than to new ones, and
that would pass for noise of the generator. Hence cross-fitting: of two networks, each is trained on
one half of the reference and scores the other; both score the generated showers. Whatever the
networks are worth, equal distributions then have tau^2 = 0 on average.

Anything else that parts the layer energies from the rest of the shower raises tau^2 too; energies
that follow the rest too closely make it negative.

Source: score test of an excess variance, Breusch and Pagan, Econometrica 47 (1979) 1287;
cross-fitting, Chernozhukov et al., arXiv:1608.00060.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxcalo.errors import InputError
from jaxcalo.geometry import Detector
from jaxcalo.metrics.estimate import Estimate
from jaxcalo.metrics.layer_expectation import (
    MIN_HITS,
    Layers,
    Scales,
    layers_of,
    predict,
    row_of,
    standardisation,
    train,
)
from jaxcalo.metrics.sample import Sample
from jaxcalo.metrics.splits import halves
from jaxcalo.typing import Key, Params

MIN_SHOWERS = 200  # chosen: each network has a hundred to learn from
MAX_SHOWERS = 20_000  # chosen: of each sample; in 45 layers they show 1.5 % of noise
N_FLOOR_SPLITS = 2
_NOISE = 0.05  # s of equation (5)
_LARGEST_PULL = 4.0  # (y - mu)^2 counts as at most 16 v: one broken layer is no noise of all
_SCORED_AT_ONCE = 500  # showers; for the memory alone


def _select(layers: Layers, rows: np.ndarray) -> Layers:
    return jax.tree.map(lambda values: values[rows], layers)


@jax.jit
def _terms(networks: Params, layers: Layers, scales: Scales) -> Array:
    """Numerator and denominator of equation (3), (n_networks, 2, n), y in logarithms."""
    unit = scales[1][1] ** 2

    def one(event: Layers) -> Array:
        inputs, target, used = row_of(event, scales)

        def of(params: Params) -> Array:
            mean, log_variance = predict(params, inputs)
            v = unit * jnp.exp(log_variance)
            excess = jnp.minimum(unit * (target - mean) ** 2, _LARGEST_PULL**2 * v) - v
            weight = used / v**2
            return jnp.stack([(weight * excess).sum(), weight.sum()])

        return jax.vmap(of)(networks)

    return jnp.moveaxis(lax.map(one, layers, batch_size=_SCORED_AT_ONCE), 0, -1)


def _ratio(terms: np.ndarray) -> tuple[float, float]:
    """T of equation (3) from terms (2, n), and its error from the scatter over the showers."""
    above, below = terms.astype(np.float64)
    value = above.sum() / below.sum()
    return float(value), float(np.linalg.norm(above - value * below) / below.sum())


def _excess(key: Key, reference: Layers, generated: Layers) -> Estimate:
    """Equation (4)."""
    key_half, key_train, key_noise = jax.random.split(key, 3)
    n, half = len(reference.hits), len(reference.hits) // 2
    order = np.asarray(jax.random.permutation(key_half, n))
    scales = standardisation(reference)
    parts = _select(reference, np.stack([order[:half], order[half : 2 * half]]))
    networks = train(key_train, parts, scales)
    in_first = np.zeros(n, dtype=bool)
    in_first[order[:half]] = True

    def of_unseen(layers: Layers) -> tuple[float, float]:
        first, second = np.asarray(_terms(networks, layers, scales))
        return _ratio(np.where(in_first, second, first))

    expected, error = of_unseen(reference)
    noise = _NOISE * np.asarray(jax.random.normal(key_noise, reference.hits.shape))
    # both signs of one noise: what is of first order in it cancels
    noisy = [
        of_unseen(reference._replace(energy_mev=reference.energy_mev * (1 + sign * noise)))[0]
        for sign in (-1, 1)
    ]
    response = (sum(noisy) / len(noisy) - expected) / _NOISE**2
    found, own_error = _ratio(np.asarray(_terms(networks, generated, scales)).mean(axis=0))
    value = (found - expected) / response
    return Estimate(
        value, float(np.hypot(error, own_error)) / response, min(n, len(generated.hits))
    )


def _some(key: Key, layers: Layers) -> Layers:
    """At most MAX_SHOWERS of the showers."""
    n = len(layers.hits)
    if n <= MAX_SHOWERS:
        return layers
    return _select(layers, np.asarray(jax.random.permutation(key, n))[:MAX_SHOWERS])


def unmeasurable(sample: Sample, detector: Detector) -> str | None:
    """Say why the excess noise of a sample cannot be measured.

    Args:
        sample: reference or generated showers.
        detector: their readout.

    Returns:
        A sentence; None if it can be measured.
    """
    if detector.n_layers < 2:
        return (
            "layer noise: expected a detector of two layers or more, whose energies explain each"
            f" other, found one layer in {detector.name!r}; leave this number out"
        )
    n = int((layers_of(sample, detector).hits >= MIN_HITS).any(axis=1).sum())
    if n < MIN_SHOWERS:
        return (
            f"layer noise: expected at least {MIN_SHOWERS} showers with {MIN_HITS} hits in a layer,"
            f" found {n} in {sample.source}; use a larger sample"
        )
    return None


def _checked(sample: Sample, detector: Detector) -> Layers:
    reason = unmeasurable(sample, detector)
    if reason is not None:
        raise InputError(reason)
    return layers_of(sample, detector)


def layer_noise(
    reference: Sample, generated: Sample, detector: Detector, *, seed: int = 0
) -> Estimate:
    """Compute tau^2 of equation (4): how much more the generated layer energies scatter.

    Args:
        reference: Geant4.
        generated: the sample to judge.
        detector: the readout of both, with two layers or more.
        seed: of halves, initial weights and order; the same gives the same number.

    Returns:
        The relative variance of each layer's energy beyond Geant4's: 9e-4 for independent noise of
        3 %, zero on average for equal distributions, negative for energies that scatter too little.
        The error is that of the showers of both samples.

    Raises:
        InputError: a detector of one layer, or fewer than MIN_SHOWERS showers with MIN_HITS hits in
            a layer.
    """
    key, *keys = jax.random.split(jax.random.key(seed), 3)
    samples = [_checked(sample, detector) for sample in (reference, generated)]
    return _excess(key, *(_some(k, layers) for k, layers in zip(keys, samples, strict=True)))


def layer_noise_floor(
    reference: Sample, detector: Detector, n_generated: int | None = None, *, seed: int = 0
) -> Estimate:
    """Compute the excess noise of one half of the reference over the other: zero but for chance.

    Args:
        reference: Geant4.
        detector: its readout.
        n_generated: showers of the sample to judge; if fewer than half, the floor uses as few.
        seed: as in layer_noise.

    Returns:
        The mean over N_FLOOR_SPLITS divisions; the error is that of one of them.

    Raises:
        InputError: as layer_noise, or halves of fewer than MIN_SHOWERS.
    """
    layers = _checked(reference, detector)
    masks = halves(reference.n_showers, n_generated, N_FLOOR_SPLITS)
    smaller = int(min(masks[0][0].sum(), masks[0][1].sum()))
    if smaller < MIN_SHOWERS:
        raise InputError(
            f"floor of the layer noise: expected halves of at least {MIN_SHOWERS} showers, found"
            f" {smaller}; use a larger reference"
        )
    found = []
    for i, (one, other) in enumerate(masks):
        key, *keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), i), 3)
        parts = [_select(layers, mask) for mask in (one, other)]
        found.append(_excess(key, *(_some(k, p) for k, p in zip(keys, parts, strict=True))))
    value, error = np.mean([e.value for e in found]), np.mean([e.error for e in found])
    return Estimate(float(value), float(error), found[0].n)
