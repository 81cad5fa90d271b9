"""Electrons in 15 x 8 x 6 voxels by the training shower of the nearest incident energy.

jaxcalo train experiments/par04_families/nearest.py --out runs/nearest
"""

from jaxcalo.experiment import Data, FamilyExperiment, NearestFamily
from jaxcalo.families import NearestNeighbour
from jaxcalo.training import TrainingPlan

experiment = FamilyExperiment(
    data=Data(path="par04_lite_train", geometry="par04_lite"),
    family=NearestFamily(NearestNeighbour()),
    training=TrainingPlan(n_steps=1),
)
