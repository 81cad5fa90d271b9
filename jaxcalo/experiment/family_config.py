"""The configuration of a run on showers of voxels by any family on vectors."""

import dataclasses

from jaxcalo.experiment.config import Data
from jaxcalo.experiment.vector_families import DiffusionFamily, VaeFamily, VectorFamily
from jaxcalo.families import Sampling
from jaxcalo.preprocess import IncidentFractions, LayerShapes
from jaxcalo.training import TrainingPlan


@dataclasses.dataclass(frozen=True)
class FamilyExperiment:
    """`Experiment` for the families beside diffusion: the same data, encoding and run folder.

    Attributes:
        data: Where the showers come from.
        preprocess: How they become vectors of order one.
        family: What learns them. Those that need all showers at once (mixture, nearest neighbour)
            take them all in a step, whatever the batch size.
        training: How long, and what is written on the way.
        seed: The seed of everything random.
    """

    data: Data = dataclasses.field(default_factory=Data)
    preprocess: LayerShapes | IncidentFractions = dataclasses.field(default_factory=LayerShapes)
    family: VectorFamily = dataclasses.field(default_factory=VaeFamily)
    training: TrainingPlan = dataclasses.field(default_factory=TrainingPlan)
    seed: int = 0

    @property
    def sampling(self) -> Sampling | None:
        """How a diffusion model samples; the other families have one way."""
        return self.family.sampling if isinstance(self.family, DiffusionFamily) else None
