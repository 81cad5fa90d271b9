"""The thesis's GAN: 32 sparse numbers, generator 20-40-32, critic of doubling widths up to 204.

jaxcalo train experiments/four_lepton/thesis_gan.py --out runs/thesis_gan --data four_lepton.csv
"""

from jaxcalo.experiment import GanFamily, LeptonData, LeptonExperiment, PlainNet
from jaxcalo.families import VectorGan
from jaxcalo.preprocess import SparseSlots
from jaxcalo.training import Adversarial, NonSaturating, TrainingPlan

experiment = LeptonExperiment(
    data=LeptonData(batch_size=256, validation_fraction=0.5),
    encoding=SparseSlots(),
    family=GanFamily(
        net=PlainNet((40,)),
        critic=PlainNet((204, 102, 51)),
        gan=VectorGan(Adversarial(NonSaturating(), penalty=None), n_noise=20),
    ),
    training=TrainingPlan(n_steps=4000, evaluate_every=1000),
)
