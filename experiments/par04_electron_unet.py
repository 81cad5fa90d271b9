"""Electrons in the full geometry of CaloChallenge data set 2, with CaloDiffusion's network.

jaxcalo train experiments/par04_electron_unet.py --out runs/unet --data par04_electron_train.h5

Network, preprocessing, objective and 400-step sampler are those of arXiv:2308.03876 for data set 2
(517,969 parameters); a laptop needs days for its training, an accelerator hours.
"""

from jaxcalo.diffusion import Cosine, Ddpm, EpsPrediction, Snr
from jaxcalo.diffusion.time_grids import Uniform
from jaxcalo.experiment import Data, Experiment, UNetNet
from jaxcalo.families import Diffusion, Sampling
from jaxcalo.preprocess import IncidentFractions
from jaxcalo.training import AdamW, CheckpointPlan, TrainingPlan

experiment = Experiment(
    data=Data(path="par04_electron_train.h5", geometry="ds2", batch_size=128),
    preprocess=IncidentFractions(max_deposit=2.0, margin=1e-6),
    net=UNetNet(channels=(16, 16, 16, 32)),
    diffusion=Diffusion(schedule=Cosine(), parametrization=EpsPrediction(), weighting=Snr()),
    optimizer=AdamW(learning_rate=4e-4, weight_decay=0.0),
    training=TrainingPlan(n_steps=20000, checkpoints=CheckpointPlan(every=250)),
    sampling=Sampling(sampler=Ddpm(), n_steps=400, grid=Uniform()),
)
