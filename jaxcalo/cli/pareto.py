"""`jaxcalo pareto RUN...`."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import tyro

from jaxcalo.cli.machine import machine_record
from jaxcalo.cli.progress import counting_bar
from jaxcalo.cli.samplers import (
    GRIDS,
    SAMPLERS,
    AnyGridName,
    SamplerName,
    changed_sampling,
    sampler_name,
)
from jaxcalo.errors import InputError
from jaxcalo.whole_files import write_all

if TYPE_CHECKING:
    import numpy as np

    from jaxcalo.experiment import TrainedModel
    from jaxcalo.families import Sampling
    from jaxcalo.plots import ParetoFloor, ParetoPoint

_POINTS = ("ddpm:50", "ddim:8,16", "heun:4,8", "dpmpp-2m:4,8,16", "unipc:4,8,16")


def pareto(
    runs: tyro.conf.Positional[tuple[Path, ...]],
    /,
    out: Path = Path("pareto"),
    samplers: tuple[str, ...] = _POINTS,
    student_steps: tuple[int, ...] = (1, 2, 4),
    reference: Path | None = None,
    n_showers: Annotated[int | None, tyro.conf.arg(aliases=["-n"])] = None,
    seed: int = 0,
    batch_size: int = 256,
) -> None:
    """Measure quality against cost: every sampler and step count on the same reference.

    Writes pareto.json (after every point; the same command goes on where it stopped), pareto.png
    and pareto.md into a folder. Quality is the mean W1 of the eight observables, the mean
    separation power and FPD, beside what the reference has against itself.

    Args:
        runs: Run folders: of models trained by `jaxcalo train`, or students of `jaxcalo distill`.
        out: The folder of the result.
        samplers: NAME[@GRID]:STEPS[,STEPS...] for the models; names as of `jaxcalo sample`'s
            --sampler and --grid.
        student_steps: Steps for consistency students; a progressive one has its own number.
        reference: Monte Carlo showers that no run has seen; default: the shipped test sample, for
            runs that were trained on the shipped sample.
        n_showers: Showers a point, at the reference's energies; default: as many as it has.
        seed: Of every sample.
        batch_size: Showers per call of the compiled program, which the time depends on.
    """
    from jaxcalo.data import open_showers
    from jaxcalo.experiment import floor_of, load_run, measure, reference_of
    from jaxcalo.metrics import extract

    if not runs:
        raise InputError("jaxcalo pareto: expected one run folder or more, found none")
    if len({run.name for run in runs}) < len(runs):
        raise InputError(
            "jaxcalo pareto: expected run folders of different names, which tell the points apart, "
            f"found {', '.join(str(run) for run in runs)}; rename one"
        )
    for option, number in (("-n", n_showers), ("--batch-size", batch_size)):
        if number is not None and number < 1:
            raise InputError(f"{option}: expected at least 1 shower, found {number}")
    models = [(run, load_run(run)) for run in runs]
    detector = models[0][1].detector
    for run, trained in models:
        if trained.detector.layers != detector.layers:
            raise InputError(
                f"jaxcalo pareto: expected runs of one geometry, found {detector.name} in "
                f"{runs[0]} and {trained.detector.name} in {run}; compare them apart"
            )
    asked = [
        (run.name, trained, sampling)
        for run, trained in models
        for sampling in _samplings(run, trained, samplers, student_steps)
    ]
    path = _reference(reference, models)
    further = _further_conditions(path, [trained for _, trained in models])
    with open_showers(path, detector) as file:
        sample = extract(file, detector)
    known = reference_of(sample)
    n = sample.n_showers if n_showers is None else n_showers
    settings = _settings(sample.source, n, seed, batch_size)
    done, floor = _read(out / "pareto.json", settings)
    floor = floor or floor_of(known, models[0][1], n)
    points = []
    with counting_bar(len(asked), "measuring", " point") as move:
        for name, trained, sampling in asked:
            names = (name, _title(sampling))
            key = _key(name, trained, sampling)
            if key not in done:
                done[key] = measure(
                    trained,
                    sampling,
                    names,
                    known,
                    n_showers=n,
                    seed=seed,
                    batch_size=batch_size,
                    conditions=further[trained.experiment.data.conditions],
                )
                _write(out, settings, done, floor)
            points.append(done[key])
            move(len(points), f"{names[1]} {points[-1].n_evaluations}")
    _report(out, points, floor)


def _report(out: Path, points: "list[ParetoPoint]", floor: "ParetoFloor") -> None:
    from jaxcalo.plots import pareto_figure, pareto_table

    table = pareto_table(points, floor)
    (out / "pareto.md").write_text(table + "\n", encoding="utf-8")
    pareto_figure(points, floor).savefig(out / "pareto.png")
    print(table)
    print(f"W1 in standard deviations of the reference. Figure: {out / 'pareto.png'}")


def _samplings(
    run: Path,
    trained: "TrainedModel",
    samplers: tuple[str, ...],
    student_steps: tuple[int, ...],
) -> "Iterator[Sampling]":
    """The ways to sample that suit a run."""
    from jaxcalo.families import ProgressiveDistillation

    own, method = trained.experiment.sampling, trained.experiment.few_steps
    if isinstance(method, ProgressiveDistillation):
        yield own
    elif method is not None:
        yield from (dataclasses.replace(own, n_steps=steps) for steps in student_steps)
    else:
        for sampler, grid, steps in map(_parse, samplers):
            for n_steps in steps:
                yield changed_sampling(run, trained, sampler, grid, n_steps, None)


def _title(sampling: "Sampling") -> str:
    """The sampler's name, and the grid's where it is not the usual one."""
    name = sampler_name(sampling.sampler)
    known = {grid: title for title, grid in GRIDS.items()}
    is_usual = name not in SAMPLERS or SAMPLERS[name][1] == sampling.grid
    return name if is_usual else f"{name}@{known.get(sampling.grid, 'searched')}"


def _parse(text: str) -> tuple[SamplerName, AnyGridName | None, list[int]]:
    method, _, steps = text.partition(":")
    name, at, grid = method.partition("@")
    grids, numbers = (*GRIDS, "searched"), steps.split(",")
    are_steps = all(number.isdecimal() and int(number) for number in numbers)
    if name not in SAMPLERS or not are_steps or (at and grid not in grids):
        raise InputError(
            f"--samplers: expected NAME[@GRID]:STEPS[,STEPS...] with NAME one of "
            f"{', '.join(SAMPLERS)} and GRID one of {', '.join(grids)}, "
            f"found {text!r}; for example dpmpp-2m:8,16"
        )
    asked = cast(AnyGridName, grid) if at else None
    return cast(SamplerName, name), asked, [int(number) for number in numbers]


def _reference(given: Path | None, models: "list[tuple[Path, TrainedModel]]") -> Path:
    from jaxcalo.data import sample_path

    if given is not None:
        return given
    trained_on = {trained.experiment.data.path for _, trained in models}
    if trained_on != {"par04_lite_train"}:
        raise InputError(
            f"--reference: expected a file of showers that no run has seen, found none given; "
            f"the runs were trained on {', '.join(sorted(trained_on))}"
        )
    return sample_path("par04_lite_test")


def _further_conditions(
    path: Path, models: "list[TrainedModel]"
) -> "dict[tuple[str, ...], np.ndarray | None]":
    """The columns of the reference that the models are conditioned on beside the energy."""
    from jaxcalo.data import open_showers

    found = {}
    for names in {trained.experiment.data.conditions for trained in models}:
        with open_showers(path, conditions=names) as file:
            found[names] = file.read_conditions(0, file.n_showers)
    return found


def _settings(source: str, n_showers: int, seed: int, batch_size: int) -> dict[str, Any]:
    return {
        "reference": Path(source).name,
        "n_showers": n_showers,
        "seed": seed,
        "batch_size": batch_size,
        **machine_record(),
    }


def _key(run: str, trained: "TrainedModel", sampling: "Sampling") -> str:
    from jaxcalo.experiment import to_record

    experiment = dataclasses.replace(trained.experiment, sampling=sampling)
    digest = hashlib.sha256(json.dumps(to_record(experiment), sort_keys=True).encode())
    measured = [run, trained.step, to_record(sampling), digest.hexdigest()[:16]]
    return json.dumps(measured, sort_keys=True)


def _write(
    out: Path, settings: dict[str, Any], done: "dict[str, ParetoPoint]", floor: "ParetoFloor"
) -> None:
    points = [
        {**point.to_json(), "measured": dict(zip(_MEASURED, json.loads(key), strict=True))}
        for key, point in done.items()
    ]
    record = {"settings": settings, "floor": floor.to_json(), "points": points}
    write_all(out, {"pareto.json": json.dumps(record, indent=1).encode()})


_MEASURED = ("run", "step", "sampling", "experiment_digest")


def _read(
    path: Path, settings: dict[str, Any]
) -> "tuple[dict[str, ParetoPoint], ParetoFloor | None]":
    """The points and the floor of an earlier call with the same settings."""
    from jaxcalo.metrics import Estimate
    from jaxcalo.plots import ParetoFloor, ParetoPoint

    if not path.exists():
        return {}, None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        is_same, n = record["settings"] == settings, settings["n_showers"]
        floor = ParetoFloor(**{k: Estimate(**v, n=n) for k, v in record["floor"].items()})
        found = {}
        for point in record["points"]:
            key = json.dumps([point["measured"][name] for name in _MEASURED], sort_keys=True)
            fields = {name: point[name] for name in ParetoPoint._fields}
            for name in ("w1_mean", "fpd"):
                fields[name] = Estimate(**fields[name], n=n)
            found[key] = ParetoPoint(**fields)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: expected a result of jaxcalo pareto, found something else; "
            "choose another --out"
        ) from error
    if not is_same:
        raise InputError(
            f"{path}: expected the result of the same settings, found others; choose another --out"
        )
    return found, floor
