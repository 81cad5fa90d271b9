"""CaloClouds at laptop size: an encoder's latent, its flow, and a chain of 100 evaluations.

jaxcalo train experiments/calo_clouds_1.py --out runs/i --data ild_photon_points_train.h5
jaxcalo sample runs/i --energies-from ild_photon_points_test.h5 -o i.h5
jaxcalo evaluate --reference ild_photon_points_test.h5 --generated i.h5 --geometry ild_ecal \
    --out report
"""

from jaxcalo.diffusion import EpsPrediction, Linear, Snr, UniformTime
from jaxcalo.experiment import (
    CloudData,
    CloudExperiment,
    LatentCloudDiffusion,
    PointWiseNet,
    ShowerFlow,
)
from jaxcalo.families import Diffusion, LatentCloud
from jaxcalo.preprocess import SummaryScales
from jaxcalo.training import AdamW, CheckpointPlan, TrainingPlan

experiment = CloudExperiment(
    data=CloudData(batch_size=16),
    flow=ShowerFlow(SummaryScales(symmetric=True)),
    model=LatentCloudDiffusion(
        net=PointWiseNet(),
        encoder_hidden=64,
        encoder_layers=2,
        prior_couplings=4,
        prior_hidden=(64, 64),
        latent=LatentCloud(n_latent=16),
        diffusion=Diffusion(
            schedule=Linear(),
            parametrization=EpsPrediction(),
            weighting=Snr(),
            noise_levels=UniformTime(),
        ),
        optimizer=AdamW(learning_rate=2e-3),
        prior_optimizer=AdamW(learning_rate=1e-3),
    ),
    training=TrainingPlan(n_steps=2000, evaluate_every=500, checkpoints=CheckpointPlan(every=250)),
)
