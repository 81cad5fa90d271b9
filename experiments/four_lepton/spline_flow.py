"""Four-lepton events by rational-quadratic spline couplings.

jaxcalo train experiments/four_lepton/spline_flow.py --out runs/spline_flow --data four_lepton.csv
"""

from jaxcalo.experiment import CouplingFlow, FlowFamily, LeptonData, LeptonExperiment
from jaxcalo.training import AdamW, TrainingPlan

experiment = LeptonExperiment(
    data=LeptonData(batch_size=256, validation_fraction=0.5, turned=True),
    family=FlowFamily(CouplingFlow("spline"), AdamW(learning_rate=1e-3)),
    training=TrainingPlan(n_steps=1500, evaluate_every=500),
)
