"""The CaloChallenge's timing protocol: milliseconds per shower at several batch sizes.

The time of a batch is that from its conditions to its showers in MeV, both in the host's memory;
`timed_batch` says which program makes them.

Source: Krause et al. 2024 (arXiv:2410.21611), timing.
"""

import math
import resource
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from jaxcalo.data.memory import available_memory_bytes
from jaxcalo.errors import InputError
from jaxcalo.experiment.clock import Elapsed, elapsed
from jaxcalo.experiment.compiled import without_cache
from jaxcalo.experiment.flops import count_flops
from jaxcalo.experiment.run import TrainedModel
from jaxcalo.experiment.timed_batch import Layout, TimedBatch, conditions, layout, prepare_batch
from jaxcalo.families.two_stage import SHAPES
from jaxcalo.training import data_mesh
from jaxcalo.typing import Params

BATCH_SIZES = (1, 100, 10_000)


class BatchTiming(NamedTuple):
    """What one batch size took.

    Attributes:
        batch_size: Showers asked for and delivered.
        repeats_ms: ms per shower of each repeat.
        repeats_cpu_ms: CPU time of the process, of all its threads, in the same unit.
        note: Why there are fewer repeats than asked for; None if there are not.
        layout: How they are computed; None where nothing was compiled.
        compile_s: Time of tracing and compiling, apart from the repeats, s.
        planned_bytes: Memory of the program, see `TimedBatch.planned_bytes`.
        device_peak_bytes: Most that a device has held since the process began, where it says so.
        process_peak_bytes: Most that the process has held in the host's memory.
    """

    batch_size: int
    repeats_ms: tuple[float, ...] = ()
    repeats_cpu_ms: tuple[float, ...] = ()
    note: str | None = None
    layout: Layout | None = None
    compile_s: float | None = None
    planned_bytes: int | None = None
    device_peak_bytes: int | None = None
    process_peak_bytes: int | None = None

    @property
    def mean_ms(self) -> float | None:
        """Mean over the repeats, ms per shower."""
        return float(np.mean(self.repeats_ms)) if self.repeats_ms else None

    @property
    def std_ms(self) -> float | None:
        """Standard deviation of one repeat (n - 1 in the denominator), ms per shower."""
        return float(np.std(self.repeats_ms, ddof=1)) if len(self.repeats_ms) > 1 else None

    def to_json(self) -> dict[str, Any]:
        """As a record; null where there is no number."""
        means = {"ms_per_shower": self.mean_ms, "ms_per_shower_std": self.std_ms}
        how = self.layout and {**self.layout._asdict(), "n_computed": self.layout.n_computed}
        return {"batch_size": self.batch_size, **means, **self._asdict(), "layout": how}


class Cost(NamedTuple):
    """What sampling costs on any machine.

    Attributes:
        n_parameters: Trained numbers that sampling needs.
        n_parameters_training: Those that training needed: with the teacher's, for a student.
        n_evaluations: Evaluations of the network a shower; of two stages the shapes'.
        n_energy_evaluations: Of the first stage's network, if there are two.
        flops_per_shower: Of its matrix products and convolutions, see `count_flops`.
    """

    n_parameters: int
    n_parameters_training: int
    n_evaluations: int
    n_energy_evaluations: int
    flops_per_shower: int


class Timing(NamedTuple):
    """What sampling costs, and the time it takes here, by batch size."""

    cost: Cost
    batches: tuple[BatchTiming, ...]

    def to_json(self) -> dict[str, Any]:
        """As a record."""
        return {**self.cost._asdict(), "batches": [batch.to_json() for batch in self.batches]}


class _Plan(NamedTuple):
    """What all batch sizes share, see `time_sampling`."""

    trained: TrainedModel
    n_repeats: int
    limit_s: float
    seed: int
    mesh: Mesh
    available_bytes: int | None


def time_sampling(
    trained: TrainedModel,
    *,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    n_repeats: int = 10,
    limit_s: float = 600.0,
    seed: int = 0,
    mesh: Mesh | None = None,
    available_bytes: int | None = None,
    observe: Callable[[int, int], None] = lambda _done, _total: None,
) -> Timing:
    """Time a trained model's sampling, the smallest batch first.

    The first call of a compiled program is not counted. Compilation does not look into JAX's cache.
    A batch size that runs out of memory, or of time, is recorded with a note and is no failure.

    Args:
        trained: The model, sampled as its experiment says.
        batch_sizes: Showers of a batch.
        n_repeats: Of each batch size.
        limit_s: Time for the calls of one batch size, s: there are fewer repeats where they take
            longer, and none where the first call and one repeat would.
        seed: Of the sample.
        mesh: Devices; default all.
        available_bytes: Memory that a program may take on a CPU, where taking too much would end
            the process; default: what is free. An accelerator says itself when it has no more.
        observe: Called with (repeats done, repeats in all).

    Raises:
        InputError: A batch size or number of repeats below 1, or no time.
    """
    _check(batch_sizes, n_repeats, limit_s)
    plan = _Plan(trained, n_repeats, limit_s, seed, mesh or data_mesh(), available_bytes)
    sizes, batches = sorted(set(batch_sizes)), []
    total = len(sizes) * n_repeats
    observe(0, total)
    with without_cache():
        for size in sizes:
            done = len(batches) * n_repeats

            def observe_repeats(repeats: int, done: int = done) -> None:
                observe(done + repeats, total)

            known_ms = min((b.mean_ms for b in batches if b.mean_ms), default=math.inf)
            batches.append(_time_batch(plan, size, known_ms, observe_repeats))
            observe_repeats(n_repeats)
    return Timing(sampling_cost(trained), tuple(batches))


def sampling_cost(trained: TrainedModel) -> Cost:
    """Count parameters, network evaluations and operations; nothing is run."""
    experiment, params = trained.experiment, trained.params
    energies = experiment.energies
    teacher = None
    if experiment.teacher is not None:
        # A teacher has its student's network; of two stages only the shapes' is distilled.
        teacher = params if energies is None else params[SHAPES]
    key, cond = jax.random.key(0), conditions(trained, 1, 0)[0]
    return Cost(
        n_parameters=_size(params),
        n_parameters_training=_size(params) + _size(teacher),
        n_evaluations=experiment.sampling.n_evaluations,
        n_energy_evaluations=0 if energies is None else energies.sampling.n_evaluations,
        flops_per_shower=count_flops(trained.model.sample, key, params, cond),
    )


def _size(params: Params) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def _time_batch(
    plan: _Plan, size: int, known_ms: float, observe: Callable[[int], None]
) -> BatchTiming:
    """Time one batch size; the known time of a shower is that of smaller batches."""
    try:
        expected_s = _expected_s(plan, size, known_ms)
        if 2 * expected_s > plan.limit_s:
            return BatchTiming(
                size,
                note=f"not run: a call is expected to take {expected_s:.3g} s, and the limit for "
                f"the first call and one repeat is {plan.limit_s:g} s",
            )
        batch = prepare_batch(plan.trained, size, seed=plan.seed, mesh=plan.mesh)
        planned, free = batch.planned_bytes(), _free_bytes(plan)
        row = BatchTiming(
            size, layout=batch.layout, compile_s=batch.compile_s, planned_bytes=planned
        )
        if planned is not None and planned > free:
            found = f"{planned / 1e9:.3g} GB planned, {free / 1e9:.3g} GB free"
            return row._replace(note=f"out of memory: {found}")
        return _repeat(plan, batch, row, observe)
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return BatchTiming(size, note="out of memory")


def _repeat(
    plan: _Plan, batch: TimedBatch, row: BatchTiming, observe: Callable[[int], None]
) -> BatchTiming:
    """Call the program once, then as often as asked for and the time allows, at least once."""
    repeats: list[Elapsed] = []
    last = elapsed(batch.run).wall_s
    spent = last
    while len(repeats) < plan.n_repeats:
        if repeats and spent + last > plan.limit_s:
            break
        repeats.append(elapsed(batch.run))
        last = repeats[-1].wall_s
        spent += last
        observe(len(repeats))
    n = len(repeats)
    note = f"{n} of {plan.n_repeats} repeats: the limit is {plan.limit_s:g} s"
    return row._replace(
        repeats_ms=tuple(1e3 * repeat.wall_s / row.batch_size for repeat in repeats),
        repeats_cpu_ms=tuple(1e3 * repeat.cpu_s / row.batch_size for repeat in repeats),
        note=note if n < plan.n_repeats else None,
        device_peak_bytes=_device_peak_bytes(plan.mesh),
        process_peak_bytes=_process_peak_bytes(),
    )


def _expected_s(plan: _Plan, size: int, known_ms: float) -> float:
    """The time of a call, as long as it matters: 0 where one block tells too little.

    A shower of a larger batch takes no longer than one of a smaller. Where that does not say that
    there is time enough, one block on each device is timed: the others follow it.
    """
    most = 1e-3 * known_ms * size
    how = layout(plan.trained, size, plan.mesh)
    if how.n_blocks == 1 or 2 * most <= plan.limit_s:
        return 0.0
    n_together = how.n_devices * how.block
    one = prepare_batch(plan.trained, n_together, seed=plan.seed, mesh=plan.mesh)
    return how.n_blocks * elapsed(one.run).wall_s


def _free_bytes(plan: _Plan) -> float:
    if plan.available_bytes is not None:
        return plan.available_bytes
    on_cpu = plan.mesh.devices.flat[0].platform == "cpu"
    return available_memory_bytes() if on_cpu else math.inf


def _device_peak_bytes(mesh: Mesh) -> int | None:
    stats = [device.memory_stats() or {} for device in mesh.local_devices]
    return max((s["peak_bytes_in_use"] for s in stats if "peak_bytes_in_use" in s), default=None)


def _process_peak_bytes() -> int:
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage counts bytes there, elsewhere KiB
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _check(batch_sizes: Sequence[int], n_repeats: int, limit_s: float) -> None:
    if not batch_sizes or min(batch_sizes) < 1:
        found = " ".join(map(str, batch_sizes)) or "none"
        raise InputError(f"--batch-sizes: expected numbers of at least 1 shower, found {found}")
    if n_repeats < 1:
        raise InputError(f"--repeats: expected at least 1, found {n_repeats}")
    if not limit_s > 0.0:
        raise InputError(f"--limit: expected a time above 0 s, found {limit_s:g}")
