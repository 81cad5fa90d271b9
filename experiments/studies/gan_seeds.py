"""Does a recipe collapse? Its coverage over the reference's own, trained on several seeds.

python experiments/studies/gan_seeds.py experiments/four_lepton/gan.py --data four_lepton.csv \
    --reference held_out.csv --out runs/gan_seeds

For recipes on four-lepton events and on showers of voxels. Runs and samples are kept: the same
command goes on where it was stopped.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

from jaxcalo.cli.recipes import load_recipe
from jaxcalo.cli.runtime import configure
from jaxcalo.cli.sample import sample_like
from jaxcalo.cli.train import run_training
from jaxcalo.data import read_four_lepton, read_showers
from jaxcalo.errors import InputError
from jaxcalo.experiment import AnyExperiment, CloudExperiment, LeptonExperiment
from jaxcalo.experiment.manifest import write_json
from jaxcalo.geometry import load_geometry
from jaxcalo.metrics import Overlap, apply_threshold, lepton_overlap, log_voxels, overlap


def overlaps(experiment: AnyExperiment, reference: Path, sample: Path) -> dict[str, Overlap]:
    """Precision, recall, density and coverage of a sample of a recipe's.

    Args:
        experiment: the recipe.
        reference: events that it is not trained on.
        sample: generated events.

    Raises:
        InputError: a file cannot be read, or the recipe is one on point clouds.
    """
    if isinstance(experiment, LeptonExperiment):
        return lepton_overlap(read_four_lepton(reference), read_four_lepton(sample))
    if isinstance(experiment, CloudExperiment):
        raise InputError(
            "expected a recipe on four-lepton events or showers of voxels, found one on point"
            " clouds; see `jaxcalo compare` for those"
        )
    detector = load_geometry(experiment.data.geometry, experiment.data.particle)
    found = (
        apply_threshold(read_showers(path, detector).voxel_energy_mev, detector.threshold_mev)
        for path in (reference, sample)
    )
    return overlap(*map(log_voxels, found))


def main() -> None:
    """Train, sample and measure each seed; print a table and write OUT/coverage.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe")
    parser.add_argument("--data", type=Path, required=True, help="what the recipe is trained on")
    parser.add_argument(
        "--reference", type=Path, required=True, help="events that it is not trained on"
    )
    parser.add_argument("--seeds", type=int, default=5, help="how many (default: 5)")
    parser.add_argument("--out", type=Path, required=True, help="folder of runs and samples")
    args = parser.parse_args()

    recipe = load_recipe(args.recipe)
    data = dataclasses.replace(recipe.data, path=str(args.data))
    overlaps(recipe, args.reference, args.reference)  # unusable files show before the training
    found = {}
    for seed in range(args.seeds):
        run = args.out / f"seed_{seed}"
        sample = args.out / "samples" / f"seed_{seed}{args.reference.suffix}"
        run_training(dataclasses.replace(recipe, data=data, seed=seed), run)
        if not sample.exists():
            sample_like(run, args.reference, sample)
        found[seed] = overlaps(recipe, args.reference, sample)
        shown = "  ".join(
            f"{name} {one.value.value:.3f} (floor {one.floor.value:.3f})"
            for name, one in found[seed].items()
        )
        print(f"seed {seed}: coverage over floor {found[seed]['coverage'].ratio:.3f}  {shown}")
    record = {
        str(seed): {name: one.to_json() for name, one in of_seed.items()}
        for seed, of_seed in found.items()
    }
    write_json(args.out / "coverage.json", {"recipe": args.recipe, "seeds": record})
    smallest = min(of_seed["coverage"].ratio for of_seed in found.values())
    print(f"smallest coverage over floor of {len(found)} seeds: {smallest:.3f}")


if __name__ == "__main__":
    configure()
    try:
        main()
    except InputError as error:
        sys.exit(f"gan_seeds: {error}")
