"""Recipes: Python files that define `experiment`."""

import runpy
from pathlib import Path

from jaxcalo import recipes
from jaxcalo.errors import InputError
from jaxcalo.experiment import AnyExperiment


def load_recipe(name_or_path: str) -> AnyExperiment:
    """The `experiment` of a recipe file, or a shipped recipe by its name.

    Raises:
        InputError: No such recipe, or the file does not define an experiment.
    """
    if name_or_path in recipes.RECIPES:
        return recipes.RECIPES[name_or_path]
    path = Path(name_or_path)
    if not path.is_file():
        raise InputError(
            f"{name_or_path}: expected a recipe file or one of "
            f"{', '.join(recipes.RECIPES)}, found neither"
        )
    try:
        experiment = runpy.run_path(str(path)).get("experiment")
    except Exception as error:
        raise InputError(
            f"{path}: the recipe does not run ({type(error).__name__}: {error})"
        ) from error
    if not isinstance(experiment, AnyExperiment):
        raise InputError(
            f"{path}: expected a recipe that defines "
            "`experiment = jaxcalo.experiment.Experiment(...)`, or CloudExperiment, "
            "FamilyExperiment or LeptonExperiment, "
            f"found {type(experiment).__name__}"
        )
    return experiment
