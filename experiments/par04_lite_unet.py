"""The quickstart's job with CaloDiffusion's cylindrical U-Net in place of the transformer.

jaxcalo train experiments/par04_lite_unet.py --out runs/par04_lite_unet

Trains for the CPU time that the quickstart's transformer takes, in smaller batches, so that it gets
a comparable number of updates; results in experiments/README.md.
"""

import dataclasses

from jaxcalo.experiment import UNetNet
from jaxcalo.recipes import RECIPES

quickstart = RECIPES["par04_lite"]
experiment = dataclasses.replace(
    quickstart,
    data=dataclasses.replace(quickstart.data, batch_size=16),
    net=UNetNet(channels=(16, 32, 32)),
    optimizer=dataclasses.replace(quickstart.optimizer, learning_rate=1e-3),
    training=dataclasses.replace(quickstart.training, n_steps=900),
)
