"""Recipes shipped with the package; more are in the repository's experiments/."""

from jaxcalo.recipes import par04_lite

RECIPES = {"par04_lite": par04_lite.experiment}
