"""Four-lepton events by a masked autoregressive flow of rational-quadratic splines.

jaxcalo train experiments/four_lepton/maf.py --out runs/maf --data four_lepton.csv
"""

from jaxcalo.experiment import AutoregressiveFlow, FlowFamily, LeptonData, LeptonExperiment
from jaxcalo.training import AdamW, TrainingPlan

experiment = LeptonExperiment(
    data=LeptonData(batch_size=256, validation_fraction=0.5, turned=True),
    family=FlowFamily(AutoregressiveFlow(), AdamW(learning_rate=1e-3)),
    training=TrainingPlan(n_steps=1500, evaluate_every=500),
)
