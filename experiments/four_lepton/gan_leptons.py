"""Four-lepton events by a GAN in the coordinates of the leptons: all of them within the acceptance.

jaxcalo train experiments/four_lepton/gan_leptons.py --out runs/gan_leptons --data four_lepton.csv

The p_T of the four leptons together is a small difference of these coordinates, which the GAN
misses by far: experiments/studies/prioritised.py --term pt measures what a term of it gains.
"""

from jaxcalo.experiment import GanFamily, LeptonData, LeptonExperiment
from jaxcalo.preprocess import PhysicalLeptons
from jaxcalo.training import TrainingPlan

experiment = LeptonExperiment(
    data=LeptonData(batch_size=256, validation_fraction=0.5, turned=True),
    encoding=PhysicalLeptons(),
    family=GanFamily(),
    training=TrainingPlan(n_steps=4000, evaluate_every=1000),
)
