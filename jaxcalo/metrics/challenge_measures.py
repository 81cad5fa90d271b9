"""What is measured for a row of the challenge, one function a group of numbers.

Every function measures either a generated sample against the reference, or the floor: one half of
the reference against the other, cut to the size of the generated sample.

Source: CaloChallenge, arXiv:2410.21611, section 4.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from os import PathLike
from typing import NamedTuple

import jax
import numpy as np

from jaxcalo.data import Showers, open_showers, read_showers
from jaxcalo.geometry import Detector
from jaxcalo.metrics.challenge_protocol import ClassifierName, Protocol
from jaxcalo.metrics.classifier import ClassifierScore, classify, classify_grids, log_posterior
from jaxcalo.metrics.classifier_input import low_level, normalised_low_level
from jaxcalo.metrics.clouds import draw_batches, largest_magnitude
from jaxcalo.metrics.correlation import correlate
from jaxcalo.metrics.discrete_energies import discrete_energies
from jaxcalo.metrics.estimate import Estimate
from jaxcalo.metrics.evaluation import Score
from jaxcalo.metrics.features import apply_threshold
from jaxcalo.metrics.frechet import fpd, fpd_floor, frechet_distance, high_level_features
from jaxcalo.metrics.kernel import kpd, kpd_floor
from jaxcalo.metrics.layer_noise import MIN_SHOWERS, layer_noise, layer_noise_floor, unmeasurable
from jaxcalo.metrics.observables import Observable
from jaxcalo.metrics.prdc import log_voxels, prdc, prdc_floor
from jaxcalo.metrics.sample import Sample, condense, extract
from jaxcalo.metrics.separation import separations
from jaxcalo.metrics.splits import batches, halves
from jaxcalo.metrics.voxel_separation import voxel_separation
from jaxcalo.metrics.wasserstein import w1, w1_floor
from jaxcalo.typing import Observe

Row = dict[str, Estimate]


class Contender(NamedTuple):
    """One sample of showers.

    Attributes:
        sample: the showers condensed; its source names the row.
        read: gives the showers after the threshold; called when voxels are needed, not kept.
    """

    sample: Sample
    read: Callable[[], Showers]


class Pair(NamedTuple):
    """What is compared, and how."""

    reference: Contender
    generated: Contender
    detector: Detector
    protocol: Protocol

    @property
    def sizes(self) -> tuple[int, int]:
        """Showers of the reference and of the generated sample."""
        return self.reference.sample.n_showers, self.generated.sample.n_showers


def contender_from_file(path: str | PathLike, detector: Detector, source: str) -> Contender:
    """Condense a file in one pass; its showers are read again when voxels are needed.

    Args:
        path: the file.
        detector: its readout.
        source: name of the row.

    Raises:
        InputError: as data.open_showers and ShowerFile.read.
    """
    with open_showers(path, detector) as file:
        sample = extract(file, detector, source=source)
    return Contender(sample, lambda: _thresholded(read_showers(path, detector), detector))


def contender_from_showers(showers: Showers, detector: Detector, source: str) -> Contender:
    """Condense showers that are in memory.

    Args:
        showers: n showers.
        detector: their readout.
        source: name of the row.

    Raises:
        InputError: as metrics.condense.
    """
    sample = condense([showers], detector, source=source)
    return Contender(sample, lambda: _thresholded(showers, detector))


def _thresholded(showers: Showers, detector: Detector) -> Showers:
    energy = apply_threshold(showers.voxel_energy_mev, detector.threshold_mev)
    return showers._replace(voxel_energy_mev=energy)


def energies_differ(reference: Sample, generated: Sample) -> bool:
    """Whether the incident energies of two samples are not one distribution, as far as can be seen.

    Every distance between the samples then contains that difference.
    """
    sizes = reference.n_showers, generated.n_showers
    first, second = (
        Observable(np.log10(s.incident_energy_mev)[:, None], np.arange(s.n_showers))
        for s in (reference, generated)
    )
    return not Score(w1(first, second, sizes), w1_floor(first, *sizes)).agrees


def measure_observables(pair: Pair, is_floor: bool, observe: Observe) -> Row:
    """Separation powers and the correlation, which cost nothing once a file is condensed."""
    del observe
    reference, generated = pair.reference.sample, pair.generated.sample
    masks, n = halves(*pair.sizes), min(pair.sizes)
    found = separations(reference, generated, pair.detector, masks)
    del found["e_voxel"]  # counted while the file was read; measure_voxels has it in the exact bins
    points = discrete_energies(reference, generated, pair.detector)
    found |= {f"e_ratio@{point.energy_mev:g}": point.separation for point in points}
    layers = [s.moments.features.e_layer_mev for s in (reference, generated)]
    correlation = correlate(layers[0], layers[1], masks)
    values = {name: (s.value, s.floor) for name, s in found.items()}
    values["correlation"] = (correlation.frobenius, correlation.floor)
    return {
        name: floor if is_floor else Estimate(value, floor.error, n)
        for name, (value, floor) in values.items()
    }


def measure_voxels(pair: Pair, is_floor: bool, observe: Observe) -> Row:
    """Separation power of the voxel energies."""
    del observe
    reference = pair.reference.read().voxel_energy_mev
    generated = pair.generated.read().voxel_energy_mev
    threshold = pair.detector.threshold_mev
    found = voxel_separation(reference, generated, threshold, halves(*pair.sizes))
    value = Estimate(found.value, found.floor.error, min(pair.sizes))
    return {"e_voxel": found.floor if is_floor else value}


def frechet_excess(reference: np.ndarray, generated: np.ndarray, seed: int = 0) -> Estimate:
    """Compare the Frechet distance with Geant4's own at equal size, where the bias cancels.

        mean over divisions of   d^2(half A, generated) - d^2(half A, half B)          (1)

    with as many generated showers, drawn anew for each division, as there are in half B. It is zero
    on average for equal distributions, however small the samples; FPD, extrapolated, is that only
    for samples of many more showers than features.

    Args:
        reference: (n, f) features of the reference.
        generated: (m, f) features of the sample to judge.
        seed: of the draws.

    Returns:
        Equation (1) in the units of FPD; the error is the standard deviation over the divisions.
    """
    scale = largest_magnitude(reference)
    first, second = reference / scale, generated / scale
    masks = halves(len(first), len(second))
    size = int(masks[0][1].sum())
    draws = draw_batches(jax.random.key(seed), len(second), len(masks), size, False)
    excess = [
        frechet_distance(first[a], second[rows]) - frechet_distance(first[a], first[b])
        for (a, b), rows in zip(masks, draws, strict=True)
    ]
    return Estimate(float(np.mean(excess)), float(np.std(excess, ddof=1)), size)


def measure_fpd(pair: Pair, is_floor: bool, observe: Observe) -> Row:
    """Frechet distance as it is, and as published where the samples are large enough."""
    del observe
    p, reference = pair.protocol, high_level_features(pair.reference.sample)
    if is_floor:
        # the error is the scatter over the divisions, so that few batches of each are enough
        few = max(2, p.n_fpd_batches // 4)
        return {"fpd": fpd_floor(reference, pair.sizes[1], n_batches=few, seed=p.seed)}
    generated = high_level_features(pair.generated.sample)
    measure = partial(
        fpd, reference, generated, n_batches=p.n_fpd_batches, n_points=p.n_fpd_points, seed=p.seed
    )
    row = {"fpd": measure(), "fpd_excess": frechet_excess(reference, generated, p.seed)}
    if p.draws_as_published(min(pair.sizes)):
        low, high = p.fpd_sizes
        row["fpd_published"] = measure(min_samples=low, max_samples=high, with_replacement=True)
    return row


def measure_kpd(pair: Pair, is_floor: bool, observe: Observe) -> Row:
    """Kernel distance as it is, and as published where the samples are large enough."""
    del observe
    p, reference = pair.protocol, high_level_features(pair.reference.sample)
    if is_floor:
        n_batches = p.n_kpd_batches
        return {"kpd": kpd_floor(reference, pair.sizes[1], n_batches=n_batches, seed=p.seed)}
    generated = high_level_features(pair.generated.sample)
    measure = partial(kpd, reference, generated, n_batches=p.n_kpd_batches, seed=p.seed)
    row = {"kpd": measure()}
    if p.draws_as_published(min(pair.sizes)):
        row["kpd_published"] = measure(batch_size=p.kpd_batch_size, with_replacement=True)
    return row


def shows_layer_noise(pair: Pair, is_floor: bool) -> bool:
    """Whether there are layers and showers enough to measure the excess noise."""
    n, m = pair.sizes
    samples = pair.reference.sample, pair.generated.sample
    enough = min(n // 2, m) >= MIN_SHOWERS if is_floor else True
    return enough and all(unmeasurable(sample, pair.detector) is None for sample in samples)


def measure_layer_noise(pair: Pair, is_floor: bool, observe: Observe) -> Row:
    """Excess noise of the layer energies; not one of the challenge's numbers."""
    del observe
    reference, detector, seed = pair.reference.sample, pair.detector, pair.protocol.seed
    if is_floor:
        found = layer_noise_floor(reference, detector, pair.sizes[1], seed=seed)
    else:
        found = layer_noise(reference, pair.generated.sample, detector, seed=seed)
    return {"layer_noise": found}


def _some(showers: Showers, size: int) -> np.ndarray:
    """Features of at most `size` shuffled showers."""
    energy = showers.voxel_energy_mev
    if size < len(energy):
        [rows] = batches(len(energy), 1, size)
        energy = energy[rows]
    return log_voxels(energy)


def measure_prdc(pair: Pair, is_floor: bool, observe: Observe) -> Row:
    """Of samples of equal size, because the numbers depend on it."""
    p, smaller = pair.protocol, min(pair.sizes)
    limit = min(smaller, p.prdc_limit or smaller)
    if is_floor:
        reference = _some(pair.reference.read(), 2 * limit)
        found = prdc_floor(reference, limit, k=p.n_neighbours, observe=observe)
        limit = len(reference) // 2
    else:
        reference = _some(pair.reference.read(), limit)
        generated = _some(pair.generated.read(), limit)
        found = prdc(reference, generated, k=p.n_neighbours, observe=observe)
    return {name: Estimate(value, math.nan, limit) for name, value in found._asdict().items()}


def _inputs(name: ClassifierName, contender: Contender, detector: Detector) -> np.ndarray:
    if name == "high":
        return high_level_features(contender.sample)
    showers = contender.read()
    return low_level(showers) if name == "low" else normalised_low_level(showers, detector)


def _select(showers: Showers, rows: np.ndarray) -> Showers:
    return Showers(showers.incident_energy_mev[rows], showers.voxel_energy_mev[rows])


def measure_classifier(name: ClassifierName, pair: Pair, is_floor: bool, observe: Observe) -> Row:
    """AUC and JSD of one classifier; of the floor, on one division of the reference into halves."""
    n, m = pair.sizes
    [(one, other)] = halves(n, m, n_splits=1)
    smaller = min(one.sum(), other.sum()) if is_floor else min(n, m)
    recipe = pair.protocol.classifier_for(int(smaller))
    options = {"seed": pair.protocol.seed, "observe": observe}
    if name == "resnet":
        reference = pair.reference.read()
        if is_floor:
            grids = _select(reference, one), _select(reference, other)
        else:
            grids = reference, pair.generated.read()
        return _scores(name, classify_grids(*grids, pair.detector, recipe, **options))
    reference = _inputs(name, pair.reference, pair.detector)
    if is_floor:
        inputs = reference[one], reference[other]
    else:
        inputs = reference, _inputs(name, pair.generated, pair.detector)
    return _scores(name, classify(*inputs, recipe, **options))


def _scores(name: ClassifierName, score: ClassifierScore) -> Row:
    return {
        f"auc_{name}": score.auc,
        f"jsd_{name}": score.jsd,
        f"raw_auc_{name}": score.raw_auc,
        f"raw_jsd_{name}": score.raw_jsd,
    }


def measure_log_posterior(
    reference: Contender, generated: Sequence[Contender], protocol: Protocol, observe: Observe
) -> Row:
    """Log posterior of every generated sample, by its source."""
    samples = [low_level(contender.read()) for contender in generated]
    smallest = min(len(sample) for sample in samples)
    found = log_posterior(
        samples,
        low_level(reference.read()),
        protocol.classifier_for(smallest),
        seed=protocol.seed,
        observe=observe,
    )
    return {c.sample.source: value for c, value in zip(generated, found, strict=True)}
