"""CaloClouds II at the smallest size, on toy clouds."""

from jaxcalo.diffusion import Ddim
from jaxcalo.diffusion.time_grids import UniformLogSnr
from jaxcalo.experiment import CloudData, CloudDiffusion, CloudExperiment, PointWiseNet, ShowerFlow
from jaxcalo.families import Sampling
from jaxcalo.training import AdamW, CheckpointPlan, TrainingPlan

experiment = CloudExperiment(
    data=CloudData(path="clouds.h5", batch_size=8, validation_fraction=0.1, n_buckets=2),
    flow=ShowerFlow(n_blocks=1, n_affine=0, hidden=(16,)),
    model=CloudDiffusion(
        net=PointWiseNet(widths=(16, 16)),
        optimizer=AdamW(warmup_steps=4),
        sampling=Sampling(Ddim(), n_steps=2, grid=UniformLogSnr()),
    ),
    training=TrainingPlan(n_steps=12, log_every=4, checkpoints=CheckpointPlan(every=4)),
)
