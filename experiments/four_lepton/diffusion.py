"""Four-lepton events by diffusion on the numbers of an event.

jaxcalo train experiments/four_lepton/diffusion.py --out runs/diffusion --data four_lepton.csv
jaxcalo sample runs/diffusion -n 10000 -o diffusion.csv
"""

from jaxcalo.experiment import DiffusionFamily, LeptonData, LeptonExperiment
from jaxcalo.training import TrainingPlan

experiment = LeptonExperiment(
    data=LeptonData(batch_size=512, validation_fraction=0.5, turned=True),
    family=DiffusionFamily(width=128),
    training=TrainingPlan(n_steps=6000, evaluate_every=1000),
)
