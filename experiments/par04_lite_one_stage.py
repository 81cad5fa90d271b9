"""The quickstart's job in one stage: one network for layer energies and shapes together.

jaxcalo train experiments/par04_lite_one_stage.py --out runs/one_stage

Compared with the quickstart's two stages in experiments/README.md; most recipes beside this one
were made from it.
"""

import dataclasses

from jaxcalo.preprocess import LayerShapes
from jaxcalo.recipes import RECIPES

experiment = dataclasses.replace(
    RECIPES["par04_lite"], energies=None, preprocess=LayerShapes(ratio_margin=1e-3)
)
