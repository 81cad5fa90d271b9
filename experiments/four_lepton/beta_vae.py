"""Four-lepton events by a B-VAE: its latent is drawn from the encodings of real events.

jaxcalo train experiments/four_lepton/beta_vae.py --out runs/beta_vae --data four_lepton.csv
"""

from jaxcalo.experiment import LeptonData, LeptonExperiment, ResidualNet, VaeFamily
from jaxcalo.families import DensityBuffer, Vae
from jaxcalo.training import AdamW, TrainingPlan

experiment = LeptonExperiment(
    data=LeptonData(batch_size=256, validation_fraction=0.5, turned=True),
    family=VaeFamily(
        ResidualNet(),
        Vae(buffer=DensityBuffer(n=10_000)),
        AdamW(learning_rate=1e-3),
    ),
    training=TrainingPlan(n_steps=3000, evaluate_every=500),
)
