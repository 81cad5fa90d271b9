"""One-step showers without a teacher: consistency training from random parameters.

jaxcalo train experiments/par04_lite_consistency.py --out runs/consistency
jaxcalo sample runs/consistency --energies-from jaxcalo/data/samples/par04_lite_test.h5 -o a.h5

Compared with distillation from a teacher in experiments/README.md.
"""

import dataclasses
import runpy
from pathlib import Path

from jaxcalo.diffusion import Consistency
from jaxcalo.diffusion.time_grids import Uniform
from jaxcalo.families import ConsistencyTraining, Sampling

one_stage = runpy.run_path(str(Path(__file__).with_name("par04_lite_one_stage.py")))["experiment"]
experiment = dataclasses.replace(
    one_stage,
    few_steps=ConsistencyTraining(),
    training=dataclasses.replace(one_stage.training, n_steps=6000),
    sampling=Sampling(sampler=Consistency(), n_steps=1, grid=Uniform()),
)
