"""`jaxcalo distill RUN --to consistency|progressive`."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Literal

import jax
import tyro

from jaxcalo.cli.train import run_training
from jaxcalo.errors import InputError
from jaxcalo.experiment import (
    CloudExperiment,
    Experiment,
    TrainedClouds,
    TrainedModel,
    cloud_student_of,
    load_trained,
    student_of,
    to_record,
)
from jaxcalo.families import ConsistencyDistillation, ProgressiveDistillation
from jaxcalo.training import join_processes

Student = Literal["consistency", "progressive"]


@dataclasses.dataclass(frozen=True)
class _Options:
    """Options of `jaxcalo distill`.

    Attributes:
        to: consistency: one evaluation, or a few; progressive: DDIM, its steps halved again and
            again.
        out: The student's run folder, by default RUN-consistency or RUN-progressive. An existing
            run of the same configuration goes on where it stopped.
        multi_process: Train together with the other processes that were started with this command,
            as `jaxcalo train` does.
        dry_run: Print the whole configuration and stop.
        experiment: The student's fields.
    """

    to: Student
    out: Path
    multi_process: bool = False
    dry_run: bool = False
    experiment: Annotated[
        Experiment | CloudExperiment, tyro.conf.arg(name=""), tyro.conf.FlagConversionOff
    ] = dataclasses.field(default_factory=Experiment)


def distill_main(arguments: list[str]) -> None:
    """Parse `RUN --to KIND [--out STUDENT] [--field.path value ...]` and train the student."""
    run = Path(arguments[0])
    to = _kind(arguments[1:])
    few_steps = {
        "consistency": ConsistencyDistillation(),
        "progressive": ProgressiveDistillation(),
    }[to]
    flags = {argument.replace("_", "-") for argument in arguments}
    if "--multi-process" in flags and not {"--dry-run", "-h", "--help"} & flags:
        join_processes()  # before the teacher is put on the devices
    trained = load_trained(run)
    if isinstance(trained, TrainedClouds):
        default = cloud_student_of(trained, run, few_steps)
    elif isinstance(trained, TrainedModel):
        default = student_of(trained, run, few_steps)
    else:
        raise InputError(
            f"{run}: expected a diffusion model of showers or point clouds, found a "
            f"{type(trained.experiment).__name__}, which has no student; give another run"
        )
    named = run if run.name else run.absolute()  # "." has no name
    default_out = named.with_name(f"{named.name}-{to}")
    options = tyro.cli(
        _Options,
        args=arguments[1:],
        prog=f"jaxcalo distill {run}",
        description="Distil a trained run into a student that samples in few steps.",
        default=_Options(to, default_out, experiment=default),
        config=(tyro.conf.AvoidSubcommands,),
    )
    experiment = options.experiment
    if isinstance(experiment, Experiment) and isinstance(
        experiment.few_steps, ProgressiveDistillation
    ):
        sampling = dataclasses.replace(experiment.sampling, n_steps=experiment.few_steps.last_steps)
        experiment = dataclasses.replace(experiment, sampling=sampling)
    if options.dry_run:
        print(json.dumps(to_record(experiment), indent=2))
        return
    run_training(experiment, options.out)
    if jax.process_index() == 0:
        print(
            f"student: {options.out}; sample it with: jaxcalo sample {options.out} -n 1000 -o FILE"
        )


def _kind(arguments: list[str]) -> Student:
    """The value of --to, which decides what the other options are."""
    kinds = ("consistency", "progressive")
    for i, argument in enumerate(arguments):
        value = argument.removeprefix("--to=") if argument.startswith("--to=") else None
        if argument == "--to":
            value = arguments[i + 1] if i + 1 < len(arguments) else ""
        if value in kinds:
            return value
        if value is not None:
            raise InputError(f"--to: expected {' or '.join(kinds)}, found {value!r}")
    if {"-h", "--help"} & set(arguments):
        return "consistency"
    raise InputError(f"jaxcalo distill: expected --to {' or --to '.join(kinds)}, found neither")


def distill_help(
    run: tyro.conf.Positional[Path],
    /,
    to: Student,
    out: Path | None = None,
    multi_process: bool = False,
    dry_run: bool = False,
) -> None:
    """Distil a trained run into a student that samples in one step, or in a few.

    Every field of the student is an option too: `jaxcalo distill RUN --to KIND --help` lists them
    with their defaults. The teacher's data file is needed again.

    Args:
        run: The run folder of the teacher.
        to: consistency: one evaluation, or a few; progressive: DDIM, its steps halved again and
            again.
        out: The student's run folder, by default RUN-consistency or RUN-progressive.
        multi_process: Train together with the other processes that were started with this command,
            one for each node or GPU, as `jaxcalo train --multi-process` does.
        dry_run: Print the whole configuration and stop.
    """
    arguments = [str(run), "--to", to]
    arguments += ["--out", str(out)] if out else []
    arguments += ["--multi-process"] * multi_process
    distill_main(arguments + ["--dry-run"] * dry_run)
