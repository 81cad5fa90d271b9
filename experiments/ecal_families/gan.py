"""Photons in 11 x 11 crystals, told where they hit, by a convolutional least-squares GAN.

jaxcalo train experiments/ecal_families/gan.py --data ecal_photon_train.h5 --out runs/ecal_gan
"""

from jaxcalo.experiment import ConvolutionalNet, Data, FamilyExperiment, GanFamily
from jaxcalo.families import VectorGan
from jaxcalo.training import R1, AdamW, Adversarial, TrainingPlan

_player = AdamW(learning_rate=5e-4, beta_1=0.0, ema_decay=0.998)
experiment = FamilyExperiment(
    data=Data(
        path="ecal_photon_train.h5",
        geometry="ecal_crystals",
        batch_size=64,
        conditions=("impact_mm",),
        augment=False,
    ),
    family=GanFamily(
        net=ConvolutionalNet(local_noise=True),
        critic=ConvolutionalNet(),
        gan=VectorGan(Adversarial(penalty=R1(weight=1.0, every=4)), n_noise=16 + 121, blur=0.3),
        optimizer=_player,
        critic_optimizer=_player,
    ),
    training=TrainingPlan(n_steps=4000),
)
