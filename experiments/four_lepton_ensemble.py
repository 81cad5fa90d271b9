"""Five members in one network: four-lepton events by diffusion, with error bands.

jaxcalo train experiments/four_lepton_ensemble.py --out runs/ensemble --data four_lepton.csv
jaxcalo compare ensemble=runs/ensemble --reference test.csv --out bands
"""

from jaxcalo.experiment import DiffusionFamily, LeptonData, LeptonExperiment, MaskedEnsemble
from jaxcalo.training import TrainingPlan

experiment = LeptonExperiment(
    data=LeptonData(batch_size=512, validation_fraction=0.5, turned=True),
    family=DiffusionFamily(width=128),
    ensemble=MaskedEnsemble(n_members=5, drop=0.2),
    training=TrainingPlan(n_steps=6000),
)
