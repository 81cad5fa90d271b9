"""What a loss from physics gains: a recipe with a term against the same one without, in equal time.

python experiments/studies/prioritised.py experiments/four_lepton/gan_leptons.py --term pt \
    --data four_lepton.csv --reference held_out.csv --out runs/prioritised

A term makes a step slower; the recipe without it gets as many more steps. For recipes on
four-lepton events and, with --term e_ratio and the like, on showers of voxels. Runs and samples
are kept: the same command goes on where it was stopped.
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import jax
import numpy as np

from jaxcalo.cli.recipes import load_recipe
from jaxcalo.cli.runtime import configure
from jaxcalo.cli.sample import sample_like
from jaxcalo.cli.train import run_training
from jaxcalo.data import is_four_lepton_file, read_four_lepton, read_showers
from jaxcalo.errors import InputError
from jaxcalo.experiment import FamilyExperiment, LeptonExperiment
from jaxcalo.experiment.manifest import write_json
from jaxcalo.experiment.shower_terms import shower_observables
from jaxcalo.geometry import load_geometry
from jaxcalo.metrics import apply_threshold, lepton_observables, wasserstein_1

Recipe = LeptonExperiment | FamilyExperiment

_LEPTON_OBSERVABLE = {"mass": "mass", "pt": "pt_event"}


def prioritised(recipe: Recipe, term: str, weight: float) -> Recipe:
    """The recipe with one more term.

    Args:
        recipe: on four-lepton events or showers of voxels.
        term: a field of its terms.
        weight: of the term.

    Raises:
        InputError: the recipe has no such term.
    """
    known = [field.name for field in dataclasses.fields(recipe.terms)]
    if term not in known:
        raise InputError(f"--term: expected one of {', '.join(known)}, found {term}")
    return dataclasses.replace(recipe, terms=dataclasses.replace(recipe.terms, **{term: weight}))


def observed(recipe: Recipe, term: str, path: Path) -> np.ndarray:
    """The observable of a term, (n, k): what the term compares, of each event of a file.

    Args:
        recipe: says what the events are.
        term: a field of its terms.
        path: a file of events.

    Raises:
        InputError: the file cannot be read.
    """
    if isinstance(recipe, LeptonExperiment):
        values = lepton_observables(read_four_lepton(path))[_LEPTON_OBSERVABLE[term]]
        return np.nan_to_num(values)[:, None]
    detector = load_geometry(recipe.data.geometry, recipe.data.particle)
    showers = read_showers(path, detector)
    energy_mev = apply_threshold(showers.voxel_energy_mev, detector.threshold_mev)
    observable = shower_observables(detector)[term]
    return np.asarray(jax.jit(jax.vmap(observable))(energy_mev, showers.incident_energy_mev))


def distance(reference: np.ndarray, sample: np.ndarray) -> float:
    """The W1 distance of the columns of two arrays (n, k), their mean."""
    pairs = zip(reference.T, sample.T, strict=True)
    return float(np.mean([wasserstein_1(a, b) for a, b in pairs]))


def seconds_per_step(run: Path) -> float:
    """What a step of a run took, s: the median of its log, for the first lines hold compiling."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return float(np.median([x["seconds_per_step"] for x in lines if "seconds_per_step" in x]))


def _measure(recipe: Recipe, term: str, reference: Path, run: Path, seed: int) -> float:
    run_training(recipe, run)
    sample = run.with_name(f"{run.name}_sample{reference.suffix}")
    if not sample.exists():
        sample_like(run, reference, sample, seed=seed)
    return distance(observed(recipe, term, reference), observed(recipe, term, sample))


def _steps_in_time(recipe: Recipe, seconds: float, probe: Path) -> int:
    """Steps of a recipe that take so long; a short run measures them."""
    n_probe = min(200, recipe.training.n_steps)
    plan = dataclasses.replace(
        recipe.training, n_steps=n_probe, log_every=max(1, n_probe // 10), evaluate_every=n_probe
    )
    run_training(dataclasses.replace(recipe, training=plan), probe)
    return max(1, round(seconds / seconds_per_step(probe)))


def main() -> None:
    """Train both recipes of each seed; print a table and write OUT/prioritised.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe")
    parser.add_argument("--term", default="mass", help="a field of the recipe's terms (mass)")
    parser.add_argument("--weight", type=float, default=1.0, help="of the term (default: 1)")
    parser.add_argument("--data", type=Path, required=True, help="what the recipe is trained on")
    parser.add_argument(
        "--reference", type=Path, required=True, help="events that it is not trained on"
    )
    parser.add_argument("--seeds", type=int, default=3, help="how many (default: 3)")
    parser.add_argument("--out", type=Path, required=True, help="folder of runs and samples")
    args = parser.parse_args()

    recipe = load_recipe(args.recipe)
    is_lepton = isinstance(recipe, LeptonExperiment)
    if not isinstance(recipe, Recipe) or is_lepton != is_four_lepton_file(args.reference):
        raise InputError(
            f"expected a recipe of a family and a reference of its kind of events, found "
            f"{type(recipe).__name__} and {args.reference}"
        )
    plain = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, path=str(args.data)))
    with_term = prioritised(plain, args.term, args.weight)
    reference = observed(plain, args.term, args.reference)
    half = len(reference) // 2
    floor = distance(reference[:half], reference[half:])

    found, n_steps = [], None
    for seed in range(args.seeds):
        mine = dataclasses.replace(with_term, seed=seed)
        run = args.out / f"prioritised_{seed}"
        w1 = _measure(mine, args.term, args.reference, run, seed)
        if n_steps is None:  # equal for all seeds
            seconds = recipe.training.n_steps * seconds_per_step(run)
            n_steps = _steps_in_time(plain, seconds, args.out / "probe")
        plan = dataclasses.replace(plain.training, n_steps=n_steps)
        other = dataclasses.replace(plain, seed=seed, training=plan)
        without = _measure(other, args.term, args.reference, args.out / f"plain_{seed}", seed)
        found.append((without, w1))
        print(f"seed {seed}: W1({args.term}) {without:.4g} without, {w1:.4g} with the term")
    mean = np.mean(found, axis=0)
    lowered = 1.0 - mean[1] / mean[0]
    record = {
        "recipe": args.recipe,
        "term": args.term,
        "weight": args.weight,
        "n_steps": {"without": n_steps, "with": recipe.training.n_steps},
        "w1": {"without": [a for a, _ in found], "with": [b for _, b in found]},
        "floor_of_halves": floor,
        "lowered_by": lowered,
    }
    write_json(args.out / "prioritised.json", record)
    print(
        f"W1({args.term}) of {args.seeds} seeds: {mean[0]:.4g} after {n_steps} steps without, "
        f"{mean[1]:.4g} after {recipe.training.n_steps} with: {lowered:.0%} lower "
        f"(halves of the reference: {floor:.4g})"
    )


if __name__ == "__main__":
    configure()
    try:
        main()
    except InputError as error:
        sys.exit(f"prioritised: {error}")
