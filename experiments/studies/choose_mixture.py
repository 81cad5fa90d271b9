"""How many Gaussians do four-lepton events need, and of what form? By BIC, and held-out events.

python experiments/studies/choose_mixture.py four_lepton.csv --out choose_mixture.json

Fits every candidate by EM to the events that experiments/four_lepton/mixture.py is trained on, in
its encoding.
"""

import argparse
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import jax
import jax.numpy as jnp

from jaxcalo.cli.recipes import load_recipe
from jaxcalo.cli.runtime import configure
from jaxcalo.data import read_four_lepton
from jaxcalo.errors import InputError
from jaxcalo.experiment import LeptonExperiment
from jaxcalo.experiment.manifest import write_json
from jaxcalo.families import GaussianMixture, choose_mixture, evaluate_mixture
from jaxcalo.preprocess import fit_leptons, lepton_transform
from jaxcalo.training import data_mesh

RECIPE = Path(__file__).parents[1] / "four_lepton" / "mixture.py"
FORMS = get_args(get_type_hints(GaussianMixture)["covariance"])


def main() -> None:
    """Fit all candidates; print their table and write it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="four-lepton events (CSV)")
    parser.add_argument(
        "--gaussians",
        type=int,
        nargs="+",
        default=[8, 16, 32, 64, 128],
        help="numbers of Gaussians (default: %(default)s)",
    )
    parser.add_argument("--out", type=Path, default=Path("choose_mixture.json"))
    args = parser.parse_args()

    recipe = load_recipe(str(RECIPE))
    assert isinstance(recipe, LeptonExperiment)
    events = read_four_lepton(args.data)
    n_train = events.n_events - int(recipe.data.validation_fraction * events.n_events)
    training, held_out = events.rows(slice(n_train)), events.rows(slice(n_train, None))
    transform = lepton_transform(recipe.encoding, fit_leptons(recipe.encoding, training))

    def encode(key, event):
        momentum = jnp.asarray(event.momentum_gev, jnp.float32)
        return transform.forward(key, jnp.asarray(event.pdg), momentum)

    key = jax.random.key(recipe.seed)
    choice = choose_mixture(
        key,
        [GaussianMixture(n, form) for form in FORMS for n in args.gaussians],
        training,
        encode=encode,
        n_components=transform.n_components,
        mesh=data_mesh(jax.devices()[:1]),
    )
    rows = []
    print("covariance  Gaussians  parameters         BIC  log p, training  log p, held out [nats]")
    for fit in choice.fits:
        config, n_dims = fit.config, fit.params["means"].shape[1]
        found = evaluate_mixture(config, encode)(key, fit.params, held_out)
        row = {
            "covariance": config.covariance,
            "n_gaussians": config.n_gaussians,
            "n_parameters": config.n_parameters(n_dims),
            "bic": fit.bic,
            "log_density_training": -fit.loss,
            "log_density_held_out": -float(found["validation_loss_joint"]),
        }
        rows.append(row)
        print("{:<10}  {:>9}  {:>10}  {:>10.0f}  {:>15.3f}  {:>22.3f}".format(*row.values()))
    best = {
        "bic": min(rows, key=lambda row: row["bic"]),
        "held_out": max(rows, key=lambda row: row["log_density_held_out"]),
    }
    for name, row in best.items():
        print(f"best by {name}: {row['n_gaussians']} Gaussians, {row['covariance']}")
    sizes = {"n_training": n_train, "n_held_out": held_out.n_events}
    write_json(args.out, {**sizes, "best": best, "fits": rows})


if __name__ == "__main__":
    configure()
    try:
        main()
    except InputError as error:
        sys.exit(f"choose_mixture: {error}")
