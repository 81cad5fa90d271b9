"""The quickstart's model, two stages of diffusion, for the comparison of the families.

jaxcalo train experiments/par04_families/diffusion.py --out runs/diffusion
"""

from jaxcalo.recipes.par04_lite import experiment

__all__ = ["experiment"]
