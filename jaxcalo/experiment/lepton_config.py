"""The configuration of a run on four-lepton events."""

import dataclasses

from jaxcalo.errors import InputError
from jaxcalo.experiment.ensemble_config import Ensemble
from jaxcalo.experiment.vector_families import DiffusionFamily, VectorFamily
from jaxcalo.preprocess import BosonPairs, PhysicalLeptons, SparseSlots
from jaxcalo.training import TrainingPlan


@dataclasses.dataclass(frozen=True)
class LeptonData:
    """Where the events come from.

    Attributes:
        path: A file of four-lepton events.
        batch_size: Events a step, over all devices. Families that need all events at once (mixture,
            nearest neighbour) take them all.
        validation_fraction: Share of the file, at its end, that is never trained on.
        turned: Every event is turned about the beam, and the beams exchanged, at random and anew in
            every step: what beams without polarisation cannot tell apart need not be learned.
    """

    path: str = "four_lepton.csv"
    batch_size: int = 256
    validation_fraction: float = 0.1
    turned: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.validation_fraction < 1.0:
            raise InputError(
                "--data.validation-fraction: expected a number from 0 to below 1, "
                f"found {self.validation_fraction}"
            )


@dataclasses.dataclass(frozen=True)
class LeptonTerms:
    """Losses from physics; 0 leaves a term out.

    Attributes:
        mass: Weight of the distribution of the four leptons' invariant mass.
        pt: Weight of that of their transverse momentum.
    """

    mass: float = 0.0
    pt: float = 0.0


@dataclasses.dataclass(frozen=True)
class LeptonExperiment:
    """Everything that decides what a run on four-lepton events learns.

    Attributes:
        data: Where the events come from.
        encoding: How they become vectors of order one.
        family: What learns them.
        ensemble: Several models of the family, whose differences say how far to trust them.
        terms: Losses from physics beside the family's own.
        training: How long, and what is written on the way.
        seed: The seed of everything random.

    Raises:
        InputError: The family cannot be such an ensemble.
    """

    data: LeptonData = dataclasses.field(default_factory=LeptonData)
    encoding: PhysicalLeptons | BosonPairs | SparseSlots = dataclasses.field(
        default_factory=BosonPairs
    )
    family: VectorFamily = dataclasses.field(default_factory=DiffusionFamily)
    ensemble: Ensemble | None = None
    terms: LeptonTerms = dataclasses.field(default_factory=LeptonTerms)
    training: TrainingPlan = dataclasses.field(default_factory=TrainingPlan)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.ensemble is not None:
            self.ensemble.check(self.family)
