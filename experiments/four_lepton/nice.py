"""Four-lepton events by NICE: additive couplings, and one scale for each number at the end.

jaxcalo train experiments/four_lepton/nice.py --out runs/nice --data four_lepton.csv
"""

from jaxcalo.experiment import CouplingFlow, FlowFamily, LeptonData, LeptonExperiment
from jaxcalo.training import AdamW, TrainingPlan

experiment = LeptonExperiment(
    data=LeptonData(batch_size=256, validation_fraction=0.5, turned=True),
    family=FlowFamily(CouplingFlow("nice", 8, (64, 64)), AdamW(learning_rate=1e-3)),
    training=TrainingPlan(n_steps=2000, evaluate_every=500),
)
