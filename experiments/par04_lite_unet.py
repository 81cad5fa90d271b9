"""The one-stage job with CaloDiffusion's cylindrical U-Net in place of the transformer.

jaxcalo train experiments/par04_lite_unet.py --out runs/par04_lite_unet

Trains for the CPU time that the transformer takes, in smaller batches, so that it gets
a comparable number of updates; results in experiments/README.md.
"""

import dataclasses
import runpy
from pathlib import Path

from jaxcalo.experiment import UNetNet

one_stage = runpy.run_path(str(Path(__file__).with_name("par04_lite_one_stage.py")))["experiment"]
experiment = dataclasses.replace(
    one_stage,
    data=dataclasses.replace(one_stage.data, batch_size=16),
    net=UNetNet(channels=(16, 32, 32)),
    optimizer=dataclasses.replace(one_stage.optimizer, learning_rate=1e-3),
    training=dataclasses.replace(one_stage.training, n_steps=900),
)
