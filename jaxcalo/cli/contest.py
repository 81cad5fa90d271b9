"""`jaxcalo contest RECIPE ... --data FILE --out DIR`."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import tyro

from jaxcalo.errors import InputError

if TYPE_CHECKING:
    from jaxcalo.experiment import AnyExperiment

_COST = "cost.json"


class _Entry(NamedTuple):
    """One of those that take part."""

    name: str
    recipe: str
    experiment: "AnyExperiment"


def contest(
    recipes: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE ...")],
    /,
    data: Path,
    out: Path,
    reference: Path | None = None,
    seed: int = 0,
) -> None:
    """Train recipes on the same data, sample each, and compare them: one command, one table.

    Each is trained and sampled in processes of its own, one after the other, whose time and memory
    are measured. What is finished is kept: the same command goes on where it was stopped.

    Args:
        recipes: Recipe files of one kind: showers, point clouds or four-lepton events.
        data: What all are trained on.
        out: The folder of the runs (one each, named as its recipe), the samples and the report.
        reference: What they are judged by, as many events as it has. Showers need one; of
            four-lepton events it is what the recipes hold out of the data.
        seed: Of the samples and the comparison.
    """
    entries = _entries(recipes)
    out.mkdir(parents=True, exist_ok=True)
    known = reference or _held_out(entries, data, out)
    samples = {}
    for entry in entries:
        samples[entry.name] = out / "samples" / f"{entry.name}{known.suffix}"
        _run(entry, data, out / entry.name, known, samples[entry.name], seed)
    _compare(entries, known, samples, out, seed)


def _entries(recipes: tuple[str, ...]) -> list[_Entry]:
    from jaxcalo.cli.recipes import load_recipe

    entries = [_Entry(Path(recipe).stem, recipe, load_recipe(recipe)) for recipe in recipes]
    kinds = {_kind(entry.experiment) for entry in entries}
    names = {entry.name for entry in entries}
    if len(kinds) != 1 or len(names) < len(entries):
        raise InputError(
            "jaxcalo contest: expected recipes of different names for the same kind of data, found "
            f"{', '.join(recipes) or 'none'}"
            + (f" ({', '.join(sorted(kinds))})" if len(kinds) > 1 else "")
        )
    return entries


def _kind(experiment: "AnyExperiment") -> str:
    from jaxcalo.experiment import CloudExperiment, LeptonExperiment

    if isinstance(experiment, LeptonExperiment):
        return "four-lepton events"
    return "point clouds" if isinstance(experiment, CloudExperiment) else "showers of voxels"


def _held_out(entries: list[_Entry], data: Path, out: Path) -> Path:
    """The events of the data file that no recipe is trained on, as a file of their own."""
    from jaxcalo.data import read_four_lepton, write_four_lepton
    from jaxcalo.experiment import LeptonExperiment

    leptons = [e.experiment for e in entries if isinstance(e.experiment, LeptonExperiment)]
    if not leptons:
        raise InputError(
            "--reference: expected a file of showers that no model is trained on, found none; "
            "give one"
        )
    fractions = {experiment.data.validation_fraction for experiment in leptons}
    if len(fractions) > 1 or 0.0 in fractions:
        raise InputError(
            "jaxcalo contest: expected recipes that hold the same share of the data out, found "
            f"{', '.join(f'{fraction:g}' for fraction in sorted(fractions))}; give them one "
            "data.validation_fraction, or --reference"
        )
    path, events = out / "reference.csv", read_four_lepton(data)
    if not path.exists():
        n_train = events.n_events - int(fractions.pop() * events.n_events)
        write_four_lepton(path, events.rows(slice(n_train, None)))
    return path


def _run(entry: _Entry, data: Path, folder: Path, reference: Path, sample: Path, seed: int) -> None:
    """Train and sample one, unless that is done; keep what it took."""
    cost = _cost_of(folder)
    if "training_s" not in cost:
        print(f"{entry.name}: training", file=sys.stderr)
        seconds, memory = _process("train", entry.recipe, "--out", folder, "--data", data)
        cost = {"training_s": seconds, "memory_mb": memory}
        _keep(folder, cost)
    if "generation_s" not in cost or not sample.exists():
        print(f"{entry.name}: sampling", file=sys.stderr)
        sample.parent.mkdir(exist_ok=True)
        seconds, memory = _process(*_sampling(folder, reference, sample, seed))
        cost |= {"generation_s": seconds, "memory_mb": max(memory, cost["memory_mb"])}
        _keep(folder, cost)


def _sampling(folder: Path, reference: Path, sample: Path, seed: int) -> tuple[object, ...]:
    from jaxcalo.data import is_four_lepton_file, read_four_lepton

    common = ("sample", folder, "-o", sample, "--seed", seed)
    if is_four_lepton_file(reference):
        return (*common, "-n", read_four_lepton(reference).n_events)
    return (*common, "--energies-from", reference)


def _process(*arguments: object) -> tuple[float, float]:
    """Run one verb; returns its wall time in seconds and its largest memory in MB."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "jaxcalo", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise InputError(
            f"jaxcalo contest: {' '.join(command[3:])} ended with code {process.returncode}, for "
            "the reason above; mend it, and give the same command again"
        )
    return time.perf_counter() - start, usage.ru_maxrss / 1024.0


def _cost_of(folder: Path) -> dict[str, float]:
    path = folder / _COST
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _keep(folder: Path, cost: dict[str, float]) -> None:
    from jaxcalo.experiment.manifest import write_json

    write_json(folder / _COST, cost)


def _compare(
    entries: list[_Entry], reference: Path, samples: dict[str, Path], out: Path, seed: int
) -> None:
    from jaxcalo.cli.compare import compare
    from jaxcalo.cli.compare_leptons import compare_leptons
    from jaxcalo.experiment import LeptonExperiment
    from jaxcalo.metrics import LeptonCost

    first = entries[0].experiment
    folder = out / "comparison"
    if isinstance(first, LeptonExperiment):
        costs: dict[str, LeptonCost] = {
            entry.name: LeptonCost(**_cost_of(out / entry.name)) for entry in entries
        }
        files = {name: [path] for name, path in samples.items()}
        compare_leptons(reference, files, folder, costs=costs, seed=seed)
        return
    named = tuple(f"{name}={path}" for name, path in samples.items())
    compare(named, reference, first.data.geometry, folder, seed=seed)
    for entry in entries:
        cost = _cost_of(out / entry.name)
        print(
            f"{entry.name}: training {cost['training_s']:.0f} s, "
            f"sample {cost['generation_s']:.0f} s, {cost['memory_mb']:.0f} MB"
        )
