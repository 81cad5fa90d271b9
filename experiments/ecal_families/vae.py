"""Photons in 11 x 11 crystals, told where they hit, by a convolutional variational autoencoder.

jaxcalo train experiments/ecal_families/vae.py --data ecal_photon_train.h5 --out runs/ecal_vae
"""

from jaxcalo.experiment import ConvolutionalNet, Data, FamilyExperiment, VaeFamily
from jaxcalo.families import Vae
from jaxcalo.training import AdamW, TrainingPlan

experiment = FamilyExperiment(
    data=Data(
        path="ecal_photon_train.h5",
        geometry="ecal_crystals",
        batch_size=64,
        conditions=("impact_mm",),
        augment=False,
    ),
    family=VaeFamily(
        net=ConvolutionalNet(), vae=Vae(n_latent=16), optimizer=AdamW(learning_rate=1e-3)
    ),
    training=TrainingPlan(n_steps=4000),
)
