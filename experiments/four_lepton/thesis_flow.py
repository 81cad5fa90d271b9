"""The thesis's flow: 32 sparse numbers, 32 masked affine layers of width 36.

jaxcalo train experiments/four_lepton/thesis_flow.py --out runs/thesis_flow --data four_lepton.csv
"""

from jaxcalo.experiment import AutoregressiveFlow, FlowFamily, LeptonData, LeptonExperiment
from jaxcalo.preprocess import SparseSlots
from jaxcalo.training import AdamW, TrainingPlan

experiment = LeptonExperiment(
    data=LeptonData(batch_size=256, validation_fraction=0.5),
    encoding=SparseSlots(),
    family=FlowFamily(
        AutoregressiveFlow(n_layers=32, hidden=(36,), n_bins=0), AdamW(learning_rate=1e-3)
    ),
    training=TrainingPlan(n_steps=2000, evaluate_every=500),
)
