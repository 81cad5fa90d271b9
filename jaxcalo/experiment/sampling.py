"""Sample a run into a file: conditions by global index, chunk by chunk, atomically."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh

from jaxcalo.data import Showers, ShowerWriter, open_showers
from jaxcalo.errors import InputError
from jaxcalo.experiment.run import TrainedModel
from jaxcalo.families import generate_chunks
from jaxcalo.training import data_mesh
from jaxcalo.units import GeV


@dataclasses.dataclass(frozen=True)
class Request:
    """Which showers to make.

    Exactly one source of energies; default: log-uniform over the trained range.

    Attributes:
        n_showers: How many; None takes as many as `energies_from` has.
        energy_gev: One incident energy.
        energy_range_gev: Log-uniform between two energies.
        energies_from: The incident energies of a shower file, in order, repeated if it has too few.
        seed: Decides every energy and every shower.
        shard: (i, n): the i-th of n parts of the sample, i = 0 ... n - 1.
    """

    n_showers: int | None = None
    energy_gev: float | None = None
    energy_range_gev: tuple[float, float] | None = None
    energies_from: Path | None = None
    seed: int = 0
    shard: tuple[int, int] = (0, 1)


def sample_to_file(
    trained: TrainedModel,
    request: Request,
    path: Path,
    *,
    batch_size: int,
    mesh: Mesh | None = None,
    observe: Callable[[int, int], None] = lambda _done, _total: None,
) -> int:
    """Generate the requested showers into a file in the CaloChallenge format.

    Shower i of the sample depends on the seed and i alone: not on the batch size, the devices
    or the shard.

    Args:
        trained: The model.
        request: Which showers.
        path: The file; written under another name first and renamed when whole.
        batch_size: Showers per call of the compiled program; memory grows with it, not with
            the number of showers.
        mesh: Devices; default all.
        observe: Called with (showers done, showers in all) after each batch.

    Returns:
        The number of showers written.

    Raises:
        InputError: An impossible request, or the file cannot be written.
    """
    if batch_size < 1:
        raise InputError(f"--batch-size: expected at least 1, found {batch_size}")
    energy, first = incident_energies(request, trained.energy_range_mev)
    _, key = jax.random.split(jax.random.key(request.seed))
    attributes = {
        "generator": "jaxcalo",
        "geometry": trained.detector.name,
        "seed": request.seed,
        "first_shower": first,
        "trained_steps": trained.step,
        "energy_unit": "MeV",
        "threshold_mev": trained.detector.threshold_mev,
    }
    chunks = generate_chunks(
        key,
        trained.model,
        trained.params,
        energy[:, None],
        chunk=batch_size,
        mesh=mesh or data_mesh(),
        first_index=first,
    )
    done = 0
    with ShowerWriter(path, trained.detector.n_voxels, attributes) as writer:
        for voxels in chunks:
            writer.append(Showers(energy[done : done + len(voxels)], voxels))
            done += len(voxels)
            observe(done, len(energy))
    return done


def incident_energies(
    request: Request, trained_range_mev: tuple[float, float]
) -> tuple[np.ndarray, int]:
    """Incident energies of this shard, MeV, (n,), and the global index of its first shower."""
    sources = [request.energy_gev, request.energy_range_gev, request.energies_from]
    if sum(source is not None for source in sources) > 1:
        raise InputError(
            "expected one of --energy, --energy-range and --energies-from, found several; give one"
        )
    n = request.n_showers
    if request.energies_from is not None:
        energies = _energies_of(request.energies_from)
        n = len(energies) if n is None else n
        energies = np.resize(energies, max(n, 0))
    elif n is None:
        raise InputError(
            "expected the number of showers, found none; give -n N (or --energies-from FILE)"
        )
    elif request.energy_gev is not None:
        energies = np.full(max(n, 0), request.energy_gev * GeV, np.float32)
    else:
        energies = _log_uniform(request, trained_range_mev, max(n, 0))
    if n < 1:
        raise InputError(f"-n: expected at least 1 shower, found {n}")
    if not (np.isfinite(energies).all() and (energies > 0.0).all()):
        raise InputError(f"--energy: expected a positive number of GeV, found {request.energy_gev}")
    index, parts = request.shard
    if not 0 <= index < parts:
        raise InputError(f"--shard: expected I/N with I = 0 ... N-1, found {index}/{parts}")
    start, stop = index * n // parts, (index + 1) * n // parts
    if start == stop:
        raise InputError(f"--shard: expected at most {n} parts of {n} showers, found {parts}")
    return energies[start:stop], start


def _log_uniform(request: Request, trained_range_mev: tuple[float, float], n: int) -> np.ndarray:
    low, high = trained_range_mev
    if request.energy_range_gev is not None:
        low, high = (limit * GeV for limit in request.energy_range_gev)
    if not 0.0 < low <= high < np.inf:
        raise InputError(
            f"--energy-range: expected 0 < LO <= HI in GeV, found {low / GeV:g} {high / GeV:g}"
        )
    key, _ = jax.random.split(jax.random.key(request.seed))
    u = np.asarray(jax.random.uniform(key, (n,)), np.float64)
    return np.exp(np.log(low) + u * (np.log(high) - np.log(low))).astype(np.float32)


def _energies_of(path: Path) -> np.ndarray:
    with open_showers(path) as file:
        return np.concatenate([chunk.incident_energy_mev for chunk in file.chunks(4096)])
