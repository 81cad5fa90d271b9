"""The quickstart: electrons of 1-50 GeV in 15 x 8 x 6 voxels, trained in minutes on two cores.

Two stages: layer energies first, then the shapes that have them. A token of the transformer is a
layer; batches are small because updates, not showers, limit a short training. Compared with one
stage, other patches, sizes and objectives and the U-Net in experiments/README.md.
"""

from jaxcalo.experiment import Data, DiTNet, EnergyStage, Experiment
from jaxcalo.training import AdamW, TrainingPlan

experiment = Experiment(
    data=Data(path="par04_lite_train", geometry="par04_lite", batch_size=64),
    energies=EnergyStage(),
    net=DiTNet(patch=(1, 8, 6), width=96, depth=6),
    optimizer=AdamW(learning_rate=2e-3, warmup_steps=200),
    training=TrainingPlan(n_steps=3000),
)
