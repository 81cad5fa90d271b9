"""Four-lepton events by a least-squares GAN with a penalty on the critic's slope.

jaxcalo train experiments/four_lepton/gan.py --out runs/gan --data four_lepton.csv
"""

from jaxcalo.experiment import GanFamily, LeptonData, LeptonExperiment
from jaxcalo.training import TrainingPlan

experiment = LeptonExperiment(
    data=LeptonData(batch_size=256, validation_fraction=0.5, turned=True),
    family=GanFamily(),
    training=TrainingPlan(n_steps=4000, evaluate_every=1000),
)
