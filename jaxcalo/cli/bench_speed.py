"""`jaxcalo bench sampling|training|io|scaling`: how fast, and which share of what could be."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from jaxcalo.cli.bench_record import Record
from jaxcalo.cli.samplers import SamplerName, changed_sampling, sampler_name
from jaxcalo.errors import InputError

if TYPE_CHECKING:
    from jaxcalo.experiment import AnyExperiment

_Out = Annotated[Path | None, tyro.conf.arg(aliases=["-o"])]
_ComputeType = Literal["float32", "bfloat16"]


def sampling(
    run: tyro.conf.Positional[Path],
    /,
    batch_sizes: tuple[int, ...] = (1, 16, 256),
    samplers: tuple[SamplerName, ...] = (),
    steps: tuple[int, ...] = (),
    devices: tuple[int, ...] = (),
    repeats: int = 5,
    limit: float = 120.0,
    out: _Out = None,
) -> None:
    """Showers per second of a run against batch, evaluations, sampler and devices.

    Times are medians, of the clock and of the CPU; rates are held against the machine's own
    measured rate of matrix products. Nothing else should run meanwhile.

    Args:
        run: The run folder, of diffusion on voxels.
        batch_sizes: Showers of a batch, over all devices.
        samplers: Default: the run's.
        steps: Steps of each sampler. Default: the run's.
        devices: Numbers of devices. Default: all there are.
        repeats: Of each row.
        limit: Seconds for the calls of one row, as of `jaxcalo bench timing`.
        out: Write the rows into this JSON file as they come, and a figure beside it.
    """
    from jaxcalo.experiment import compute_type, load_run, sampling_throughput
    from jaxcalo.plots import rate_figure

    trained = load_run(run)
    ways = [
        changed_sampling(run, trained, sampler, None, n, None)
        for sampler in samplers or (None,)
        for n in steps or (None,)
    ]
    settings = {"run": run.absolute().name, "repeats": repeats, "limit_s": limit}
    record = Record(out, {**settings, "geometry": trained.detector.name})
    peak = record.peak(compute_type(trained.experiment) or "float32")
    lines: dict[str, tuple[list[float], list[float]]] = {}
    for way in ways:
        rows = sampling_throughput(
            trained,
            way,
            peak,
            batch_sizes=batch_sizes,
            devices=devices,
            n_repeats=repeats,
            limit_s=limit,
        )
        for row in rows:
            name = f"{sampler_name(way.sampler)}, {row['n_evaluations']} evaluations"
            name += f", {row['n_devices']} devices" if row["n_devices"] > 1 else ""
            text = f"{name:<36} batch {row['batch_size']:>6}"
            if "showers_per_s" not in row:
                record.add(row, f"{text}  {row['note']}")
                continue
            cpu = f"{row['cpu_ms_per_shower']:.4g} cpu-ms a shower"
            rate = f"{row['showers_per_s']:.4g} showers/s"
            record.add(row, f"{text}  {rate}, {cpu}, {_share(row)}")
            x, y = lines.setdefault(name, ([], []))
            x.append(row["batch_size"])
            y.append(row["showers_per_s"])
    record.draw(rate_figure(lines, "batch [showers]", "showers per second"))


def training(
    recipes: tyro.conf.Positional[tuple[str, ...]],
    /,
    batch_sizes: tuple[int, ...] = (16,),
    dtypes: tuple[_ComputeType, ...] = ("float32",),
    data: Path | None = None,
    repeats: int = 5,
    out: _Out = None,
) -> None:
    """The roofline: networks and training steps of recipes, as shares of the machine's peak.

    Of each diffusion network the forward pass and the forward pass with its gradients (on one
    device; of clouds with 1000 points), and of every recipe the whole training step on all devices.
    Compilation is timed apart.

    Args:
        recipes: Python files that define `experiment`, or shipped recipes' names.
        batch_sizes: Events of a call.
        dtypes: Types that the networks compute in, where they have a `compute_dtype`.
        data: Train on this file instead of the recipes' own.
        repeats: Of each row; the median is taken.
        out: Write the rows into this JSON file as they come, and a figure beside it.
    """
    from jaxcalo.experiment import (
        compute_type,
        network_roofline,
        training_throughput,
        with_compute_type,
    )
    from jaxcalo.plots import bar_figure

    check_positive("--batch-sizes", *batch_sizes)
    check_positive("--repeats", repeats)
    record = Record(out, {"repeats": repeats})
    bars: dict[str, float] = {}
    for recipe in recipes:
        experiment = _experiment(recipe, data)
        known = dtypes if compute_type(experiment) else ("float32",)
        for dtype in known:
            changed, peak = with_compute_type(experiment, dtype), record.peak(dtype)
            name = f"{Path(recipe).stem} {dtype}"
            options = {"batch_sizes": batch_sizes, "n_repeats": repeats}
            for measure in (network_roofline, training_throughput):
                for row in measure(changed, peak, **options):
                    which = f"{name}, {row['part']}, batch {row['batch_size']}"
                    row = {"recipe": Path(recipe).stem, "dtype": dtype, **row}
                    record.add(row, f"{which:<60} {_speed(row)}")
                    bars[which] = _fraction(row)
    record.draw(bar_figure(bars, "fraction of the measured peak of matrix products"))


def io(
    source: tyro.conf.Positional[str],
    /,
    data: Path | None = None,
    steps: int = 50,
    repeats: int = 5,
    out: _Out = None,
) -> None:
    """Reading, preprocessing and feeding in events per second, and how long training waits.

    The share of waiting is that of the real training, in a folder that is removed afterwards.

    Args:
        source: A recipe; or an HDF5 file of showers, which is then read and no more.
        data: Train on this file instead of the recipe's.
        steps: Of the training; the first fifth, with its compilation, does not count.
        repeats: Of the preprocessing.
        out: Write the rows into this JSON file as they come, and a figure beside it.
    """
    from jaxcalo.experiment import input_rates, reading_rate, training_wait
    from jaxcalo.plots import bar_figure

    check_positive("--repeats", repeats)
    if steps < 10:
        raise InputError(f"--steps: expected at least 10, found {steps}")
    is_file = Path(source).suffix in (".h5", ".hdf5")
    experiment = None if is_file else _experiment(source, data)
    record = Record(out, {"source": Path(source).name, "data": data and data.name})
    if experiment is None:
        rows = iter([reading_rate(Path(source))])
    else:
        rows = input_rates(experiment, n_repeats=repeats)
    for row in rows:
        cpu = f"{row['cpu_ms_per_event']:>9.4g} cpu-ms an event"
        record.add(row, f"{row['part']:<14} {row['events_per_s']:>10.4g} events/s  {cpu}")
    bars = {row["part"]: row["events_per_s"] for row in record.rows}
    if experiment is not None:
        row = training_wait(experiment, steps)
        wait = f"{row['data_wait']:.2%} of it waiting for data"
        record.add(row, f"{'training':<14} {row['seconds_per_step']:>10.4g} s a step, {wait}")
        bars["training"] = experiment.data.batch_size / row["seconds_per_step"]
    record.draw(bar_figure(bars, "events per second", logarithmic=True))


def scaling(
    recipe: tyro.conf.Positional[str],
    /,
    devices: tuple[int, ...] = (),
    batch_per_device: int | None = None,
    data: Path | None = None,
    repeats: int = 5,
    out: _Out = None,
) -> None:
    """Training on more and more devices of this machine, each with as many events.

    Efficiency is events per second over those of as many single devices. Devices that a CPU only
    pretends to be (XLA_FLAGS=--xla_force_host_platform_device_count=4) share its cores: there only
    the efficiency in CPU time says something, namely what sharing itself costs.

    Args:
        recipe: A Python file that defines `experiment`, or a shipped recipe's name.
        devices: Numbers of devices beside one. Default: all there are.
        batch_per_device: Events of a step on one device. Default: the recipe's batch.
        data: Train on this file instead of the recipe's.
        repeats: Of each row; the median is taken.
        out: Write the rows into this JSON file as they come, and a figure beside it.
    """
    from jaxcalo.experiment import compute_type, training_scaling
    from jaxcalo.plots import rate_figure

    check_positive("--repeats", repeats)
    check_positive("--batch-per-device", batch_per_device or 1)
    experiment = _experiment(recipe, data)
    record = Record(out, {"recipe": Path(recipe).stem, "repeats": repeats})
    rows = training_scaling(
        experiment,
        record.peak(compute_type(experiment) or "float32"),
        devices=devices,
        batch_per_device=batch_per_device,
        n_repeats=repeats,
    )
    for row in rows:
        efficiency = f"efficiency {row['efficiency']:.3f}"
        if row["cpu_efficiency"] is not None:
            efficiency += f", in CPU time {row['cpu_efficiency']:.3f}"
        record.add(row, f"{row['n_devices']:>4} devices  {_speed(row)}, {efficiency}")
    n, rate = ([row[name] for row in record.rows] for name in ("n_devices", "events_per_s"))
    ideal = n, [rate[0] * m for m in n]
    lines = {Path(recipe).stem: (n, rate)}
    record.draw(rate_figure(lines, "devices", "events per second", ideal))
    if len(n) > 1 and record.rows[0]["cpu_efficiency"] is not None:
        print("these devices are one CPU's and share its cores: only the CPU time says something")


def check_positive(option: str, *numbers: int) -> None:
    """Raise InputError unless there are numbers, all of them at least 1."""
    if not numbers or min(numbers) < 1:
        found = " ".join(map(str, numbers)) or "none"
        raise InputError(f"{option}: expected at least 1, found {found}")


def _experiment(recipe: str, data: Path | None) -> "AnyExperiment":
    from jaxcalo.cli.recipes import load_recipe

    experiment = load_recipe(recipe)
    if data is None:
        return experiment
    changed = dataclasses.replace(experiment.data, path=str(data))
    return dataclasses.replace(experiment, data=changed)


def _speed(row: dict[str, Any]) -> str:
    cpu = f"{row['cpu_ms_per_event']:.4g} cpu-ms an event"
    compiled = f"compiled in {row['compile_s']:.3g} s"
    return f"{row['events_per_s']:>9.4g} events/s, {cpu}, {_share(row)}, {compiled}"


def _share(row: dict[str, Any]) -> str:
    return f"{row['gflops_per_s']:.4g} GFLOP/s, {_fraction(row):.1%} of the peak"


def _fraction(row: dict[str, Any]) -> float:
    """Of the measured peak: on a CPU of that in CPU time, for other programs may run beside."""
    of_cpu = row["cpu_fraction_of_peak"]
    return row["fraction_of_peak"] if of_cpu is None else of_cpu
