"""Quality against cost of trained runs: each sampler and number of steps measured on one reference.

Every point is generated at the incident energies of the reference, from the same seed, so that the
points share their starting noise.
"""

import time
from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from jaxcalo.data import Showers
from jaxcalo.errors import InputError
from jaxcalo.experiment.run import TrainedModel
from jaxcalo.experiment.variants import with_sampling
from jaxcalo.families import Sampling, generate_chunks, whole_chunk
from jaxcalo.metrics import (
    Estimate,
    Evaluation,
    Sample,
    condense,
    evaluate,
    fpd,
    fpd_floor,
    high_level_features,
)
from jaxcalo.preprocess import check_conditions
from jaxcalo.training import data_mesh

if TYPE_CHECKING:
    from jaxcalo.plots import ParetoFloor, ParetoPoint

_TIMED_CHUNKS = 3


class Reference(NamedTuple):
    """Geant4 showers to judge by.

    Attributes:
        sample: Condensed.
        features: High-level features, (n, f).
    """

    sample: Sample
    features: np.ndarray


def reference_of(sample: Sample) -> Reference:
    """A condensed sample with its features."""
    return Reference(sample, high_level_features(sample))


def measure(
    trained: TrainedModel,
    sampling: Sampling,
    names: tuple[str, str],
    reference: Reference,
    *,
    n_showers: int,
    seed: int,
    batch_size: int,
    conditions: np.ndarray | None = None,
    mesh: Mesh | None = None,
) -> "ParetoPoint":
    """Generate showers in one way, judge them and take the time.

    The time is that of whole batches after the first, which compiles: from conditions to showers in
    MeV in the host's memory.

    Args:
        trained: The model.
        sampling: How to sample it.
        names: Of the run and of the sampler.
        reference: What to compare with.
        n_showers: How many, at the reference's energies, repeated or cut.
        seed: Of the sample.
        batch_size: Showers per call of the compiled program.
        conditions: Further conditions of the reference's showers, (n, k), if the run has any.
        mesh: Devices; default all.

    Raises:
        InputError: The model cannot be sampled so, or does not fit the reference.
    """
    from jaxcalo.plots import ParetoPoint  # takes half a second

    if n_showers < 1:
        raise InputError(f"-n: expected at least 1 shower, found {n_showers}")
    check_conditions(trained.conditions, conditions, reference.sample.source)
    known = reference.sample.incident_energy_mev[:, None].astype(np.float32)
    raw = known if conditions is None else np.append(known, conditions, axis=1)
    raw = np.resize(raw, (n_showers, raw.shape[1]))
    model = with_sampling(trained, sampling).model
    key, mesh = jax.random.key(seed), mesh or data_mesh()
    chunk = whole_chunk(batch_size, model, key, trained.params, raw[0], mesh)
    # Whole batches beyond the sample, if it is too small to take the time of it.
    n_timed = max(-(-n_showers // chunk), 1 + _TIMED_CHUNKS) * chunk
    timed = np.resize(raw, (n_timed, raw.shape[1]))
    chunks = generate_chunks(key, model, trained.params, timed, chunk=chunk, mesh=mesh)
    made, stamps = [], []
    for events in chunks:
        made.append(events)
        stamps.append(time.perf_counter())
    ms = 1e3 * float(np.median(np.diff(stamps))) / chunk
    showers = Showers(raw[:, 0], np.concatenate(made)[:n_showers])
    generated = condense([showers], trained.detector, reference.sample.threshold_mev, names[1])
    evaluation = evaluate(reference.sample, generated, trained.detector)
    return ParetoPoint(
        *names,
        n_evaluations=sampling.n_evaluations,
        ms_per_shower=ms,
        w1_mean=_mean([score.w1 for score in evaluation.observables.values()]),
        separation_mean=float(np.mean([s.value for s in evaluation.separation.values()])),
        fpd=fpd(reference.features, high_level_features(generated)),
    )


def floor_of(reference: Reference, trained: TrainedModel, n_showers: int) -> "ParetoFloor":
    """What the reference has against itself, by the same numbers as a point."""
    from jaxcalo.plots import ParetoFloor  # takes half a second

    sample = reference.sample
    evaluation: Evaluation = evaluate(sample, sample, trained.detector)
    return ParetoFloor(
        w1_mean=_mean([score.floor for score in evaluation.observables.values()]),
        separation_mean=_mean([s.floor for s in evaluation.separation.values()]),
        fpd=fpd_floor(reference.features, n_showers),
    )


def _mean(estimates: list[Estimate]) -> Estimate:
    """Mean of several estimates; their errors are taken as independent."""
    values, errors = (np.asarray([e[i] for e in estimates]) for i in (0, 1))
    error = float(np.sqrt(np.sum(errors**2))) / len(estimates)
    return Estimate(float(values.mean()), error, min(e.n for e in estimates))
