"""Electrons in the full geometry of CaloChallenge data set 2 (45 x 16 x 9), 1-50 GeV.

jaxcalo train experiments/par04_electron_dit.py --out runs/dit --data par04_electron_train.h5
jaxcalo sample runs/dit --energies-from par04_electron_test.h5 -o dit.h5
jaxcalo evaluate --reference par04_electron_test.h5 --generated dit.h5 --geometry ds2 --out report
"""

from jaxcalo.experiment import Data, DiTNet, Experiment
from jaxcalo.training import AdamW, CheckpointPlan, TrainingPlan

experiment = Experiment(
    data=Data(path="par04_electron_train.h5", geometry="ds2", batch_size=64),
    net=DiTNet(patch=(3, 16, 3), width=128, depth=6),
    optimizer=AdamW(learning_rate=2e-3, warmup_steps=200),
    training=TrainingPlan(n_steps=3000, checkpoints=CheckpointPlan(every=250)),
)
