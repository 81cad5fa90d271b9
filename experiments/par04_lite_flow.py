"""The one-stage job by flow matching: straight paths, and a network that learns their velocity.

jaxcalo train experiments/par04_lite_flow.py --out runs/flow

Compared with diffusion in experiments/README.md.
"""

import dataclasses
import runpy
from pathlib import Path

from jaxcalo.diffusion import FlowVelocity, FlowWeight, LogitNormalTime, RectifiedFlow
from jaxcalo.families import Diffusion

one_stage = runpy.run_path(str(Path(__file__).with_name("par04_lite_one_stage.py")))["experiment"]
experiment = dataclasses.replace(
    one_stage,
    diffusion=Diffusion(
        schedule=RectifiedFlow(),
        parametrization=FlowVelocity(),
        weighting=FlowWeight(),
        noise_levels=LogitNormalTime(),
    ),
)
