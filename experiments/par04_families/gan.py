"""Electrons in 15 x 8 x 6 voxels by a convolutional least-squares GAN.

The blur is needed: without it the critic knows real showers by the exact value of empty voxels.

jaxcalo train experiments/par04_families/gan.py --out runs/gan
"""

from jaxcalo.experiment import ConvolutionalNet, Data, FamilyExperiment, GanFamily
from jaxcalo.families import VectorGan
from jaxcalo.training import R1, AdamW, Adversarial, TrainingPlan

_player = AdamW(learning_rate=5e-4, beta_1=0.0, ema_decay=0.998)
experiment = FamilyExperiment(
    data=Data(path="par04_lite_train", geometry="par04_lite", batch_size=32),
    family=GanFamily(
        net=ConvolutionalNet(channels=(8, 16, 32), local_noise=True),
        critic=ConvolutionalNet(channels=(8, 16, 32)),
        gan=VectorGan(Adversarial(penalty=R1(weight=1.0, every=4)), n_noise=32 + 720, blur=0.3),
        optimizer=_player,
        critic_optimizer=_player,
    ),
    training=TrainingPlan(n_steps=2500),
)
