"""Five members in one network: diffusion on electrons in 15 x 8 x 6 voxels, with error bands.

jaxcalo train experiments/par04_lite_ensemble.py --out runs/ensemble
jaxcalo compare ensemble=runs/ensemble --reference par04_lite_test.h5 --geometry par04_lite \
    --out bands
"""

from jaxcalo.experiment import Data, DiffusionFamily, FamilyExperiment, MaskedEnsemble
from jaxcalo.training import AdamW, TrainingPlan

experiment = FamilyExperiment(
    data=Data(path="par04_lite_train", geometry="par04_lite", batch_size=64),
    family=DiffusionFamily(width=512, depth=4, optimizer=AdamW(learning_rate=1e-3)),
    ensemble=MaskedEnsemble(n_members=5),
    training=TrainingPlan(n_steps=4000),
)
