"""Four-lepton events by a variational autoencoder with the width of each number learned.

jaxcalo train experiments/four_lepton/vae.py --out runs/vae --data four_lepton.csv
"""

from jaxcalo.experiment import LeptonData, LeptonExperiment, ResidualNet, VaeFamily
from jaxcalo.families import Vae
from jaxcalo.training import AdamW, TrainingPlan

experiment = LeptonExperiment(
    data=LeptonData(batch_size=256, validation_fraction=0.5, turned=True),
    family=VaeFamily(ResidualNet(), Vae(), AdamW(learning_rate=1e-3)),
    training=TrainingPlan(n_steps=3000, evaluate_every=500),
)
