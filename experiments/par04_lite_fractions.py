"""One stage on the voxels themselves: CaloDiffusion's preprocessing, layer energies not apart.

jaxcalo train experiments/par04_lite_fractions.py --out runs/fractions

Compared with the quickstart's two stages in experiments/README.md.
"""

import dataclasses

from jaxcalo.preprocess import IncidentFractions
from jaxcalo.recipes import RECIPES

experiment = dataclasses.replace(
    RECIPES["par04_lite"], energies=None, preprocess=IncidentFractions()
)
