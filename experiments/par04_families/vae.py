"""Electrons in 15 x 8 x 6 voxels by a convolutional variational autoencoder.

jaxcalo train experiments/par04_families/vae.py --out runs/vae
"""

from jaxcalo.experiment import ConvolutionalNet, Data, FamilyExperiment, VaeFamily
from jaxcalo.families import Vae
from jaxcalo.training import AdamW, TrainingPlan

experiment = FamilyExperiment(
    data=Data(path="par04_lite_train", geometry="par04_lite", batch_size=64),
    family=VaeFamily(
        net=ConvolutionalNet((8, 16, 32)), vae=Vae(n_latent=32), optimizer=AdamW(learning_rate=1e-3)
    ),
    training=TrainingPlan(n_steps=2500),
)
