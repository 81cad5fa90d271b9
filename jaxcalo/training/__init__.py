"""One training loop for every family: pure steps on all devices, checkpoints exact to the bit."""

from jaxcalo.training.adversarial import (
    R1,
    Adversarial,
    Game,
    LeastSquares,
    NonSaturating,
    TwoSided,
    Wasserstein,
    adversarial,
)
from jaxcalo.training.algorithm import (
    Algorithm,
    Batch,
    LossFn,
    Metrics,
    Ratio,
    Target,
    TrainState,
    minimise,
    minimise_towards,
)
from jaxcalo.training.checkpoints import CheckpointPlan, Checkpoints
from jaxcalo.training.loop import Interrupted, NonFiniteLossError, TrainingPlan, fit
from jaxcalo.training.optimizers import AdamW
from jaxcalo.training.runlog import RunLog, read_metrics
from jaxcalo.training.sharding import (
    AXIS,
    data_mesh,
    init_state,
    join_processes,
    map_step,
    shard_batch,
)

__all__ = [
    "AXIS",
    "R1",
    "AdamW",
    "Adversarial",
    "Algorithm",
    "Batch",
    "CheckpointPlan",
    "Checkpoints",
    "Game",
    "Interrupted",
    "LeastSquares",
    "LossFn",
    "Metrics",
    "NonFiniteLossError",
    "NonSaturating",
    "Ratio",
    "RunLog",
    "Target",
    "TrainState",
    "TrainingPlan",
    "TwoSided",
    "Wasserstein",
    "adversarial",
    "data_mesh",
    "fit",
    "init_state",
    "join_processes",
    "map_step",
    "minimise",
    "minimise_towards",
    "read_metrics",
    "shard_batch",
]
