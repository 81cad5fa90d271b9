"""One-step showers without a teacher: consistency training from random parameters.

jaxcalo train experiments/par04_lite_consistency.py --out runs/consistency
jaxcalo sample runs/consistency --energies-from jaxcalo/data/samples/par04_lite_test.h5 -o a.h5

Compared with distillation from a teacher in experiments/README.md.
"""

import dataclasses

from jaxcalo.diffusion import Consistency
from jaxcalo.diffusion.time_grids import Uniform
from jaxcalo.families import ConsistencyTraining, Sampling
from jaxcalo.recipes import RECIPES

quickstart = RECIPES["par04_lite"]
experiment = dataclasses.replace(
    quickstart,
    few_steps=ConsistencyTraining(),
    training=dataclasses.replace(quickstart.training, n_steps=6000),
    sampling=Sampling(sampler=Consistency(), n_steps=1, grid=Uniform()),
)
