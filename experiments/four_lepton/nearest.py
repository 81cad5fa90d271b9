"""Four-lepton events by the nearest neighbour: an event of the training sample, whole.

jaxcalo train experiments/four_lepton/nearest.py --out runs/nearest --data four_lepton.csv
"""

from jaxcalo.experiment import LeptonData, LeptonExperiment, NearestFamily
from jaxcalo.families import NearestNeighbour
from jaxcalo.training import TrainingPlan

experiment = LeptonExperiment(
    data=LeptonData(validation_fraction=0.5),
    family=NearestFamily(NearestNeighbour()),
    training=TrainingPlan(n_steps=1),
)
