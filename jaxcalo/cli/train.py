"""`jaxcalo train RECIPE --out RUN`."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import jax
import tyro

from jaxcalo.cli.progress import training_bar
from jaxcalo.cli.recipes import load_recipe
from jaxcalo.experiment import AnyExperiment, Experiment, to_record, train_any
from jaxcalo.training import join_processes


@dataclasses.dataclass(frozen=True)
class _Options:
    """Options of `jaxcalo train`.

    Attributes:
        out: The run folder. An existing run of the same configuration goes on where it stopped.
        data_file: Train on this shower file instead of the recipe's (the same as --data.path).
        multi_process: Train together with the other processes that were started with this command,
            one for each node or GPU, as Slurm, Open MPI or $JAX_COORDINATOR_ADDRESS,
            $JAX_NUM_PROCESSES and $JAX_PROCESS_ID say.
        dry_run: Print the whole configuration and stop.
        experiment: The recipe's fields.
    """

    out: Path
    data_file: Annotated[Path | None, tyro.conf.arg(name="data")] = None
    multi_process: bool = False
    dry_run: bool = False
    experiment: Annotated[AnyExperiment, tyro.conf.arg(name=""), tyro.conf.FlagConversionOff] = (
        dataclasses.field(default_factory=Experiment)
    )


def train_main(arguments: list[str]) -> None:
    """Parse `RECIPE --out RUN [--data FILE] [--field.path value ...]` and train."""
    recipe = load_recipe(arguments[0])
    options = tyro.cli(
        _Options,
        args=arguments[1:],
        prog=f"jaxcalo train {arguments[0]}",
        description="Train the recipe, with any of its fields changed.",
        default=_Options(out=tyro.MISSING, experiment=recipe),
        config=(tyro.conf.AvoidSubcommands,),
    )
    experiment = options.experiment
    if options.data_file is not None:
        data = dataclasses.replace(experiment.data, path=str(options.data_file))
        experiment = dataclasses.replace(experiment, data=data)
    if options.dry_run:
        print(json.dumps(to_record(experiment), indent=2))
        return
    if options.multi_process:
        join_processes()
    run_training(experiment, options.out)


def run_training(experiment: AnyExperiment, out: Path) -> None:
    """Train with a progress bar, of several processes the first one's."""
    if jax.process_index():
        train_any(experiment, out)
        return
    with training_bar(experiment.training.n_steps) as observe:
        train_any(experiment, out, observe=observe)


def train_help(
    recipe: tyro.conf.Positional[str],
    /,
    out: Path,
    data: Path | None = None,
    multi_process: bool = False,
    dry_run: bool = False,
) -> None:
    """Train a recipe on Monte Carlo showers; an existing run resumes to the bit.

    Every field of the recipe is an option too: `jaxcalo train RECIPE --help` lists them with
    their defaults.

    Args:
        recipe: A Python file that defines `experiment`, or a shipped recipe's name (par04_lite).
        out: The run folder. A run of the same configuration resumes; another is refused.
        data: Train on this file instead of the recipe's: showers (CaloChallenge HDF5, MeV), clouds
            (CaloClouds HDF5, GeV) or four-lepton events (CSV, GeV), as the recipe needs.
        multi_process: Train together with the other processes that were started with this command,
            one for each node or GPU, as Slurm, Open MPI or $JAX_COORDINATOR_ADDRESS (host:port of
            process 0), $JAX_NUM_PROCESSES and $JAX_PROCESS_ID say. Together they do the same steps
            as one process with all their devices would.
        dry_run: Print the whole configuration and stop.
    """
    arguments = [recipe, "--out", str(out)]
    arguments += ["--data", str(data)] if data else []
    arguments += ["--multi-process"] * multi_process
    train_main(arguments + ["--dry-run"] * dry_run)
