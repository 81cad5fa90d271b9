"""Electrons in 15 x 8 x 6 voxels by Gaussians of one covariance.

jaxcalo train experiments/par04_families/mixture.py --out runs/mixture
"""

from jaxcalo.experiment import Data, FamilyExperiment, MixtureFamily
from jaxcalo.families import GaussianMixture
from jaxcalo.training import TrainingPlan

experiment = FamilyExperiment(
    data=Data(path="par04_lite_train", geometry="par04_lite"),
    family=MixtureFamily(GaussianMixture(n_gaussians=16, covariance="tied")),
    training=TrainingPlan(n_steps=30, evaluate_every=10, log_every=10),
)
