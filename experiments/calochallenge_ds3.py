"""CaloChallenge data set 3, electrons in 45 x 50 x 18 voxels, in two stages with the transformer.

jaxcalo train experiments/calochallenge_ds3.py --out RUN --data dataset_3_1.hdf5
jaxcalo sample RUN --energies-from dataset_3_3.hdf5 -o ds3.h5

Patches of 90 voxels leave 450 tokens. Not trained here; the files, of which the first two are for
training: doi.org/10.5281/zenodo.6366323.
"""

from jaxcalo.experiment import Data, DiTNet, EnergyStage, Experiment
from jaxcalo.training import AdamW, CheckpointPlan, TrainingPlan

experiment = Experiment(
    data=Data(path="dataset_3_1.hdf5", geometry="ds3", batch_size=64),
    energies=EnergyStage(),
    net=DiTNet(patch=(3, 10, 3), width=256, depth=6, n_heads=4),
    optimizer=AdamW(learning_rate=1e-3, warmup_steps=1000),
    training=TrainingPlan(n_steps=200_000, checkpoints=CheckpointPlan(every=2000)),
)
