"""Four-lepton events by a Gaussian mixture: each step is an iteration of EM on all of them.

jaxcalo train experiments/four_lepton/mixture.py --out runs/mixture --data four_lepton.csv
"""

from jaxcalo.experiment import LeptonData, LeptonExperiment, MixtureFamily
from jaxcalo.families import GaussianMixture
from jaxcalo.training import TrainingPlan

experiment = LeptonExperiment(
    data=LeptonData(validation_fraction=0.5),
    family=MixtureFamily(GaussianMixture(n_gaussians=32)),
    training=TrainingPlan(n_steps=60, evaluate_every=20, log_every=10),
)
