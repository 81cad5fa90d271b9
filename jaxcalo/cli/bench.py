"""`jaxcalo bench timing RUN`, and the choice of what to measure."""

from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from jaxcalo.cli.bench_record import check_file, write_json
from jaxcalo.cli.bench_speed import io, sampling, scaling, training
from jaxcalo.cli.machine import machine_record
from jaxcalo.cli.progress import counting_bar
from jaxcalo.cli.samplers import AnyGridName, SamplerName, changed_sampling, sampler_name

if TYPE_CHECKING:
    from jaxcalo.experiment import BatchTiming, Timing, TrainedModel

_GEANT4 = "geant4_cpu_ms_per_shower"


def timing(
    run: tyro.conf.Positional[Path],
    /,
    batch_sizes: tuple[int, ...] = (1, 100, 10_000),
    repeats: int = 10,
    limit: float = 600.0,
    seed: int = 0,
    sampler: SamplerName | None = None,
    steps: int | None = None,
    grid: AnyGridName | None = None,
    guidance: float | None = None,
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None,
) -> None:
    """Time sampling by the CaloChallenge's protocol: ms per shower at several batch sizes.

    The time is that of whole batches from incident energies to showers in MeV, in the host's
    memory. Compilation is timed apart, and the first call is not counted. A batch size that runs
    out of memory or time is no failure: it is noted in its row. Nothing else should run meanwhile.

    Args:
        run: The run folder.
        batch_sizes: Showers of a batch. Each is computed by a program of its own that makes next
            to no more: showers are those of `jaxcalo sample` to rounding, not to the bit.
        repeats: Of each batch size.
        limit: Seconds for the calls of one batch size: there are fewer repeats where they take
            longer, and none where the first call and one repeat would.
        seed: Of the showers.
        sampler: As of `jaxcalo sample`.
        steps: As of `jaxcalo sample`.
        grid: As of `jaxcalo sample`.
        guidance: As of `jaxcalo sample`.
        out: Write everything measured into this JSON file too.
    """
    from jaxcalo.experiment import load_run, time_sampling, with_sampling

    check_file(out)
    trained = load_run(run)
    sampling = changed_sampling(run, trained, sampler, grid, steps, guidance)
    trained = with_sampling(trained, sampling)
    geant4_ms = _geant4_ms(trained)
    with counting_bar(len(set(batch_sizes)) * repeats, "timing", " repeat") as move:
        measured = time_sampling(
            trained,
            batch_sizes=batch_sizes,
            n_repeats=repeats,
            limit_s=limit,
            seed=seed,
            observe=lambda done, _total: move(done, ""),
        )
    _print(run, trained, measured, geant4_ms)
    if out is not None:
        settings = {"repeats": repeats, "limit_s": limit, "seed": seed, **machine_record()}
        write_json(out, _record(run, trained, measured, geant4_ms, settings))
        print(f"written: {out}")


def bench(
    measurement: Annotated[
        Annotated[Any, tyro.conf.subcommand("timing", constructor=timing)]
        | Annotated[Any, tyro.conf.subcommand("sampling", constructor=sampling)]
        | Annotated[Any, tyro.conf.subcommand("training", constructor=training)]
        | Annotated[Any, tyro.conf.subcommand("io", constructor=io)]
        | Annotated[Any, tyro.conf.subcommand("scaling", constructor=scaling)],
        tyro.conf.arg(name=""),
    ],
) -> None:
    """Measure what a trained run, a recipe or a machine can do.

    Args:
        measurement: What to measure.
    """
    del measurement  # has been made


def _geant4_ms(trained: "TrainedModel") -> float | None:
    """CPU time of a shower in Geant4, ms on one core, where the training data tell it."""
    from jaxcalo.data import open_showers
    from jaxcalo.experiment.run import resolve_data

    path = resolve_data(trained.experiment.data.path)
    if not path.exists():
        return None
    with open_showers(path) as file:
        found = file.attributes.get(_GEANT4)
    return float(found) if isinstance(found, Real) else None


def _print(run: Path, trained: "TrainedModel", measured: "Timing", geant4_ms: float | None) -> None:
    sampling, cost = trained.experiment.sampling, measured.cost
    of_energies = cost.n_energy_evaluations
    first = f" (and {of_energies} of the layer energies')" if of_energies else ""
    print(
        f"{run}: {sampler_name(sampling.sampler)}, {sampling.n_steps} steps, "
        f"{cost.n_evaluations} network evaluations{first} and "
        f"{cost.flops_per_shower / 1e9:.4g} GFLOP a shower\n"
        f"{cost.n_parameters:,} parameters to sample, "
        f"{cost.n_parameters_training:,} to train\n"
        f"{'batch':>8}  {'ms per shower':>22}  {'compilation':>11}  {'planned':>9}  {'peak':>9}"
    )
    for batch in measured.batches:
        print(f"{batch.batch_size:>8}  {_row(batch)}")
    if geant4_ms is not None:
        print(f"  Geant4  {geant4_ms:>10.4g} of CPU time on one core, as the training data tell")


def _row(batch: "BatchTiming") -> str:
    if batch.mean_ms is None:
        return batch.note or ""
    spread = "" if batch.std_ms is None else f" +- {batch.std_ms:.2g}"
    peak = batch.device_peak_bytes or batch.process_peak_bytes
    cells = (
        f"{f'{batch.mean_ms:.4g}{spread}':>22}",
        f"{batch.compile_s:>9.2f} s",
        f"{_megabytes(batch.planned_bytes):>9}",
        f"{_megabytes(peak):>9}",
    )
    return "  ".join(cells) + (f"  ({batch.note})" if batch.note else "")


def _megabytes(size: int | None) -> str:
    return "-" if size is None else f"{size / 1e6:.0f} MB"


def _record(
    run: Path,
    trained: "TrainedModel",
    measured: "Timing",
    geant4_ms: float | None,
    settings: dict[str, Any],
) -> dict[str, Any]:
    from jaxcalo.experiment import to_record

    return {
        "run": run.absolute().name,
        "trained_steps": trained.step,
        "geometry": trained.detector.name,
        "n_voxels": trained.detector.n_voxels,
        "energy_range_mev": trained.energy_range_mev,
        "sampling": to_record(trained.experiment.sampling),
        _GEANT4: geant4_ms,
        **measured.to_json(),
        "settings": settings,
    }
