"""The configuration of a run on showers of voxels by any family on vectors."""

import dataclasses

from jaxcalo.experiment.config import Data
from jaxcalo.experiment.ensemble_config import Ensemble
from jaxcalo.experiment.vector_families import DiffusionFamily, VaeFamily, VectorFamily
from jaxcalo.families import Sampling
from jaxcalo.preprocess import IncidentFractions, LayerShapes
from jaxcalo.training import TrainingPlan


@dataclasses.dataclass(frozen=True)
class ShowerTerms:
    """Losses from physics: weights of the distributions of observables; 0 leaves a term out.

    Attributes:
        e_ratio: Of visible over incident energy.
        centre_x: Of the centre of energy in x.
        centre_y: Of that in y.
        centre_z: Of that along the axis, in layers.
        width_r: Of the radial width of each layer, their mean.
        n_effective: Of the number of voxels that share the energy, (sum E)^2 / sum E^2.
    """

    e_ratio: float = 0.0
    centre_x: float = 0.0
    centre_y: float = 0.0
    centre_z: float = 0.0
    width_r: float = 0.0
    n_effective: float = 0.0


@dataclasses.dataclass(frozen=True)
class FamilyExperiment:
    """`Experiment` for the families beside diffusion: the same data, encoding and run folder.

    Attributes:
        data: Where the showers come from.
        preprocess: How they become vectors of order one.
        family: What learns them. Those that need all showers at once (mixture, nearest neighbour)
            take them all in a step, whatever the batch size.
        ensemble: Several models of the family, whose differences say how far to trust them.
        terms: Losses from physics beside the family's own.
        training: How long, and what is written on the way.
        seed: The seed of everything random.

    Raises:
        InputError: The family cannot be such an ensemble.
    """

    data: Data = dataclasses.field(default_factory=Data)
    preprocess: LayerShapes | IncidentFractions = dataclasses.field(default_factory=LayerShapes)
    family: VectorFamily = dataclasses.field(default_factory=VaeFamily)
    ensemble: Ensemble | None = None
    terms: ShowerTerms = dataclasses.field(default_factory=ShowerTerms)
    training: TrainingPlan = dataclasses.field(default_factory=TrainingPlan)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.ensemble is not None:
            self.ensemble.check(self.family)

    @property
    def sampling(self) -> Sampling | None:
        """How a diffusion model samples; the other families have one way."""
        return self.family.sampling if isinstance(self.family, DiffusionFamily) else None
