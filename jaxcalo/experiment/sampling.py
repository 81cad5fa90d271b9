"""Sample a run into a file: conditions by global index, chunk by chunk, atomically."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import Mesh

from jaxcalo.data import Showers, ShowerWriter, open_showers
from jaxcalo.data.merge import OUTSIDE, part_rows
from jaxcalo.errors import InputError
from jaxcalo.experiment.build import raw_condition
from jaxcalo.experiment.extrapolation import extrapolated
from jaxcalo.experiment.kept_programs import kept_programs
from jaxcalo.experiment.run import TrainedFamily, TrainedModel
from jaxcalo.experiment.sample_facts import sample_facts
from jaxcalo.families import GenerativeModel, generate_chunks
from jaxcalo.preprocess import Classes, Condition, check_conditions, draw_conditions
from jaxcalo.training import data_mesh
from jaxcalo.typing import Params
from jaxcalo.units import GeV


@dataclasses.dataclass(frozen=True)
class Request:
    """Which showers to make.

    Exactly one source of energies; default: log-uniform over the trained range. Further conditions,
    if the run has any, come from the file of `energies_from` or are the same for all showers.

    Attributes:
        n_showers: How many; None takes as many as `energies_from` has.
        energy_gev: One incident energy.
        energy_range_gev: Log-uniform between two energies.
        energies_from: The incident energies and further conditions of a shower file, in order,
            repeated if it has too few.
        conditions: The values of each further condition, by the name of its data set.
        seed: Decides every energy and every shower.
        shard: (i, n): the i-th of n parts of the sample, i = 0 ... n - 1.
    """

    n_showers: int | None = None
    energy_gev: float | None = None
    energy_range_gev: tuple[float, float] | None = None
    energies_from: Path | None = None
    conditions: Mapping[str, tuple[float, ...]] = dataclasses.field(default_factory=dict)
    seed: int = 0
    shard: tuple[int, int] = (0, 1)


def sample_to_file(
    trained: TrainedModel | TrainedFamily,
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
    whole, _ = requested_conditions(whole_of(request), trained)
    raw, first = part_of(request, whole)
    outside = extrapolated(raw, trained.energy_range_mev, trained.conditions, trained.domain)
    attributes = sample_facts(trained, request.seed, request.shard, whole) | {
        "geometry": trained.detector.name,
        OUTSIDE: int(outside.sum()),
        "energy_unit": "MeV",
        "threshold_mev": trained.detector.threshold_mev,
    }
    columns = {condition.name: condition.size for condition in trained.conditions}
    classes = {c.name for c in trained.conditions if isinstance(c, Classes)}

    def showers_of(raw: np.ndarray, voxels: np.ndarray) -> Showers:
        return Showers(raw[:, 0], voxels, raw[:, 1:] if columns else None)

    writer = ShowerWriter(path, trained.detector.n_voxels, attributes, columns, classes)
    return write_events(
        trained,
        request,
        (raw, first),
        writer,
        showers_of,
        batch_size=batch_size,
        mesh=mesh,
        observe=observe,
    )


class Sampled(Protocol):
    """What can be sampled: a trained model of showers of voxels, of point clouds, of leptons."""

    @property
    def model(self) -> GenerativeModel:
        """Of physical events."""
        ...

    @property
    def params(self) -> Params:
        """Its parameters."""
        ...


def whole_of(request: Request) -> Request:
    """The sample that a request asks a part of."""
    return dataclasses.replace(request, shard=(0, 1))


def write_events(
    trained: Sampled,
    request: Request,
    conditions: tuple[np.ndarray, int],
    writer: Any,
    showers_of: Callable[[np.ndarray, np.ndarray], Any],
    *,
    batch_size: int,
    mesh: Mesh | None,
    observe: Callable[[int, int], None],
) -> int:
    """Generate chunk by chunk into a writer.

    Args:
        trained: The model.
        request: Whose seed decides the showers.
        conditions: Raw conditions (n, c), and the global index of the first.
        writer: A context manager with `append`.
        showers_of: (raw conditions, events) -> what it takes.
        batch_size: Showers per call of the compiled program.
        mesh: Devices; default all.
        observe: Called with (showers done, showers in all) after each batch.

    Returns:
        The number of showers written.

    Raises:
        InputError: No shower a batch, or the file cannot be written.
    """
    if batch_size < 1:
        raise InputError(f"--batch-size: expected at least 1, found {batch_size}")
    raw, first = conditions
    _, key = jax.random.split(jax.random.key(request.seed))
    chunks = generate_chunks(
        key,
        trained.model,
        trained.params,
        raw,
        chunk=batch_size,
        mesh=mesh or data_mesh(),
        first_index=first,
        store=kept_programs(trained),
    )
    done = 0
    with writer:
        for events in chunks:
            writer.append(showers_of(raw[done : done + len(events)], events))
            done += len(events)
            observe(done, len(raw))
    return done


def requested_conditions(
    request: Request, trained: TrainedModel | TrainedFamily
) -> tuple[np.ndarray, int]:
    """What the showers of this shard are to be made for.

    Returns:
        [E_inc in MeV, further conditions], (n, 1 + k) float32, and the global index of the first.

    Raises:
        InputError: An impossible request.
    """
    n = n_requested(request)
    if request.energies_from is not None:
        raw = _conditions_of(request.energies_from, request, trained)
        raw = np.resize(raw, (len(raw) if n is None else n, raw.shape[1]))
    else:
        further = _fixed_conditions(request, trained)
        energies = drawn_energies(request, trained.energy_range_mev, n or 0)
        raw = np.column_stack([energies, np.tile(further, (len(energies), 1))])
    return part_of(request, raw)


def n_requested(request: Request) -> int | None:
    """How many showers in all; None means as many as `energies_from` has.

    Raises:
        InputError: More than one source of energies, or no number.
    """
    sources = [request.energy_gev, request.energy_range_gev, request.energies_from]
    if sum(source is not None for source in sources) > 1:
        raise InputError(
            "expected one of --energy, --energy-range and --energies-from, found several; give one"
        )
    n = request.n_showers
    if n is None and request.energies_from is None:
        raise InputError(
            "expected the number of showers, found none; give -n N (or --energies-from FILE)"
        )
    if n is not None and n < 1:
        raise InputError(f"-n: expected at least 1 shower, found {n}")
    return n


def part_of(request: Request, raw: np.ndarray) -> tuple[np.ndarray, int]:
    """The rows of a sample's conditions (n, 1 + k) that this shard makes, and the first's number.

    Raises:
        InputError: An impossible shard.
    """
    n, (index, parts) = len(raw), request.shard
    if not 0 <= index < parts:
        raise InputError(f"--shard: expected I/N with I = 0 ... N-1, found {index}/{parts}")
    rows = part_rows(n, request.shard)
    if not rows:
        raise InputError(f"--shard: expected at most {n} parts of {n} showers, found {parts}")
    return raw[rows.start : rows.stop], rows.start


def typical_conditions(trained: TrainedModel, n: int, seed: int) -> np.ndarray:
    """Raw conditions like those a run was trained with: energies log-uniform, others as measured.

    Returns:
        [E_inc in MeV, further conditions], (n, 1 + k) float32; the energies are those of a sample
        of n showers with this seed.
    """
    energies = _log_uniform(trained.energy_range_mev, n, seed)
    key, _ = jax.random.split(jax.random.key(seed))
    further = draw_conditions(jax.random.fold_in(key, 1), trained.conditions, n)
    return np.append(energies[:, None], np.asarray(further), axis=1)


def drawn_energies(request: Request, trained_range_mev: tuple[float, float], n: int) -> np.ndarray:
    """One energy, or log-uniform ones, MeV, (n,).

    Raises:
        InputError: Energies that are not positive.
    """
    if request.energy_gev is not None:
        if not 0.0 < request.energy_gev < np.inf:
            raise InputError(
                f"--energy: expected a positive number of GeV, found {request.energy_gev}"
            )
        return np.full(n, request.energy_gev * GeV, np.float32)
    low, high = trained_range_mev
    if request.energy_range_gev is not None:
        low, high = (limit * GeV for limit in request.energy_range_gev)
    if not 0.0 < low <= high < np.inf:
        raise InputError(
            f"--energy-range: expected 0 < LO <= HI in GeV, found {low / GeV:g} {high / GeV:g}"
        )
    return _log_uniform((low, high), n, request.seed)


def _log_uniform(range_mev: tuple[float, float], n: int, seed: int) -> np.ndarray:
    low, high = range_mev
    key, _ = jax.random.split(jax.random.key(seed))
    u = np.asarray(jax.random.uniform(key, (n,)), np.float64)
    return np.exp(np.log(low) + u * (np.log(high) - np.log(low))).astype(np.float32)


def _conditions_of(
    path: Path, request: Request, trained: TrainedModel | TrainedFamily
) -> np.ndarray:
    """Those of a shower file, (n, 1 + k)."""
    if request.conditions:
        raise InputError(
            f"--condition: expected none with --energies-from, since {path} has the conditions of "
            f"its showers, found {', '.join(request.conditions)}; give one of the two"
        )
    parts = []
    with open_showers(path, conditions=trained.experiment.data.conditions) as file:
        for chunk in file.chunks(4096):
            check_conditions(trained.conditions, chunk.conditions, str(path), sum(map(len, parts)))
            parts.append(np.asarray(raw_condition(chunk)))
    return np.concatenate(parts)


def _fixed_conditions(request: Request, trained: TrainedModel | TrainedFamily) -> np.ndarray:
    """The further conditions that all showers have, (k,)."""
    known, given = trained.conditions, request.conditions
    wanted = " ".join(_example(condition) for condition in known)
    unknown = [name for name in given if name not in {condition.name for condition in known}]
    if unknown:
        raise InputError(
            f"--condition: expected {wanted or 'none, for this run knows only the energy'}, "
            f"found {', '.join(unknown)}; give what the run was trained with"
        )
    missing = [condition.name for condition in known if condition.name not in given]
    if missing:
        raise InputError(
            f"expected values of what the run was trained with ({wanted}), found none of "
            f"{', '.join(missing)}; give --condition {wanted}, the same for all showers, "
            "or --energies-from FILE, a shower file with these data sets"
        )
    for condition in known:
        values = given[condition.name]
        is_known = not isinstance(condition, Classes) or set(values) <= set(condition.values)
        if len(values) != condition.size or not np.isfinite(values).all() or not is_known:
            raise InputError(
                f"--condition: expected {_example(condition)}, found {condition.name}="
                f"{','.join(f'{value:g}' for value in values)}; give what the run was trained with"
            )
    return np.asarray([value for c in known for value in given[c.name]], np.float32)


def _example(condition: Condition) -> str:
    """How the values of a condition are given."""
    if isinstance(condition, Classes):
        return f"{condition.name}={'|'.join(map(str, condition.values))}"
    return f"{condition.name}={','.join(['VALUE'] * condition.size)}"
