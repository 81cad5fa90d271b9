"""Few-step showers without a teacher: mean flow from random parameters.

jaxcalo train experiments/par04_lite_mean_flow.py --out runs/mean_flow
jaxcalo sample runs/mean_flow --energies-from jaxcalo/data/samples/par04_lite_test.h5 -o a.h5

Compared with consistency training and with distillation in experiments/README.md.
"""

import dataclasses

from jaxcalo.diffusion import FlowVelocity, FlowWeight, MeanVelocity, RectifiedFlow
from jaxcalo.diffusion.time_grids import Uniform
from jaxcalo.families import Diffusion, MeanFlow, Sampling
from jaxcalo.recipes import RECIPES

quickstart = RECIPES["par04_lite"]
experiment = dataclasses.replace(
    quickstart,
    diffusion=Diffusion(
        schedule=RectifiedFlow(), parametrization=FlowVelocity(), weighting=FlowWeight()
    ),
    few_steps=MeanFlow(),
    training=dataclasses.replace(quickstart.training, n_steps=4000),
    sampling=Sampling(sampler=MeanVelocity(), n_steps=1, grid=Uniform()),
)
