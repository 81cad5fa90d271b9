"""The quickstart's job by flow matching: straight paths, and a network that learns their velocity.

jaxcalo train experiments/par04_lite_flow.py --out runs/flow

Compared with the quickstart's diffusion in experiments/README.md.
"""

import dataclasses

from jaxcalo.diffusion import FlowVelocity, FlowWeight, LogitNormalTime, RectifiedFlow
from jaxcalo.families import Diffusion
from jaxcalo.recipes import RECIPES

experiment = dataclasses.replace(
    RECIPES["par04_lite"],
    diffusion=Diffusion(
        schedule=RectifiedFlow(),
        parametrization=FlowVelocity(),
        weighting=FlowWeight(),
        noise_levels=LogitNormalTime(),
    ),
)
