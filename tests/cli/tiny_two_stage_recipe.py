"""The tiny recipe in two stages."""

import dataclasses
import runpy
from pathlib import Path

from jaxcalo.experiment import EnergyStage
from jaxcalo.families import Diffusion, Sampling
from jaxcalo.training import AdamW

tiny = runpy.run_path(str(Path(__file__).with_name("tiny_recipe.py")))["experiment"]
experiment = dataclasses.replace(
    tiny,
    energies=EnergyStage(
        width=32,
        depth=1,
        diffusion=Diffusion(noises_per_event=2),
        sampling=Sampling(n_steps=4),
        optimizer=AdamW(learning_rate=1e-2, warmup_steps=2),
    ),
)
