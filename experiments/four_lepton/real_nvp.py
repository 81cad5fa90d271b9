"""Four-lepton events by RealNVP: affine couplings.

jaxcalo train experiments/four_lepton/real_nvp.py --out runs/real_nvp --data four_lepton.csv
"""

from jaxcalo.experiment import CouplingFlow, FlowFamily, LeptonData, LeptonExperiment
from jaxcalo.training import AdamW, TrainingPlan

experiment = LeptonExperiment(
    data=LeptonData(batch_size=256, validation_fraction=0.5, turned=True),
    family=FlowFamily(CouplingFlow("real-nvp", 8, (64, 64)), AdamW(learning_rate=1e-3)),
    training=TrainingPlan(n_steps=2000, evaluate_every=500),
)
