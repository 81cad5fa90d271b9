"""The real main job at the smallest size: shipped Geant4 showers, a net of 26,000 parameters."""

from jaxcalo.diffusion import Ddim
from jaxcalo.experiment import Data, DiTNet, Experiment
from jaxcalo.families import Sampling
from jaxcalo.training import AdamW, CheckpointPlan, TrainingPlan

experiment = Experiment(
    data=Data(batch_size=32),
    net=DiTNet(patch=(3, 8, 6), width=24, depth=1, n_heads=2, mlp_ratio=2.0),
    optimizer=AdamW(warmup_steps=4),
    training=TrainingPlan(n_steps=24, log_every=4, checkpoints=CheckpointPlan(every=4)),
    sampling=Sampling(sampler=Ddim(), n_steps=4),
)
