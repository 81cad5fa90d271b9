"""The thesis's autoencoder: 32 sparse numbers, 70-35-8 with ELU, a latent of 20.

Its batch normalisation is left out, see jaxcalo/nets/dense.py. 120 passes over 10,000 events.

jaxcalo train experiments/four_lepton/thesis_vae.py --out runs/thesis_vae --data four_lepton.csv
"""

from jaxcalo.experiment import LeptonData, LeptonExperiment, PlainNet, VaeFamily
from jaxcalo.families import FixedWidth, Vae
from jaxcalo.preprocess import SparseSlots
from jaxcalo.training import AdamW, TrainingPlan

experiment = LeptonExperiment(
    data=LeptonData(batch_size=256, validation_fraction=0.5),
    encoding=SparseSlots(),
    family=VaeFamily(
        PlainNet((8, 35, 70), "elu"),
        Vae(n_latent=20, width=FixedWidth(0.7071)),
        AdamW(learning_rate=1e-3),
    ),
    training=TrainingPlan(n_steps=4680, evaluate_every=1000),
)
