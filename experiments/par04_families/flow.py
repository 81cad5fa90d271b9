"""Electrons in 15 x 8 x 6 voxels by a flow of rational-quadratic spline couplings.

jaxcalo train experiments/par04_families/flow.py --out runs/flow
"""

from jaxcalo.experiment import CouplingFlow, Data, FamilyExperiment, FlowFamily
from jaxcalo.training import AdamW, TrainingPlan

experiment = FamilyExperiment(
    data=Data(path="par04_lite_train", geometry="par04_lite", batch_size=64),
    family=FlowFamily(
        net=CouplingFlow(n_couplings=6, hidden=(128, 128)), optimizer=AdamW(learning_rate=1e-3)
    ),
    training=TrainingPlan(n_steps=1500),
)
