"""The thesis's mixture: 32 sparse numbers, 75 Gaussians of one covariance.

jaxcalo train experiments/four_lepton/thesis_mixture.py --out runs/thesis_mixture \
    --data four_lepton.csv
"""

from jaxcalo.experiment import LeptonData, LeptonExperiment, MixtureFamily
from jaxcalo.families import GaussianMixture
from jaxcalo.preprocess import SparseSlots
from jaxcalo.training import TrainingPlan

experiment = LeptonExperiment(
    data=LeptonData(validation_fraction=0.5),
    encoding=SparseSlots(),
    family=MixtureFamily(GaussianMixture(n_gaussians=75, covariance="tied")),
    training=TrainingPlan(n_steps=60, evaluate_every=20, log_every=10),
)
