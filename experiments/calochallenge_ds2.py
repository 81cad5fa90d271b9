"""CaloChallenge data set 2, electrons in 45 x 16 x 9 voxels, in two stages with the transformer.

jaxcalo train experiments/calochallenge_ds2.py --out RUN --data dataset_2_1.hdf5
jaxcalo sample RUN --energies-from dataset_2_2.hdf5 -o ds2.h5

A patch is one ring of three layers. CaloDiffusion as published: par04_electron_unet.py. Not trained
here; the files: doi.org/10.5281/zenodo.6366270.
"""

from jaxcalo.experiment import Data, DiTNet, EnergyStage, Experiment
from jaxcalo.training import AdamW, CheckpointPlan, TrainingPlan

experiment = Experiment(
    data=Data(path="dataset_2_1.hdf5", geometry="ds2", batch_size=64),
    energies=EnergyStage(),
    net=DiTNet(patch=(3, 16, 1), width=256, depth=6, n_heads=4),
    optimizer=AdamW(learning_rate=1e-3, warmup_steps=1000),
    training=TrainingPlan(n_steps=200_000, checkpoints=CheckpointPlan(every=2000)),
)
