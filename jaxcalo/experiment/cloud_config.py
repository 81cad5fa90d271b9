"""The configuration of a run on point clouds: what a recipe composes, and manifest.json records."""

import dataclasses

from jaxcalo.diffusion import Ddpm, DpmSolver, LogNormalSigma, VarianceExploding
from jaxcalo.diffusion.time_grids import Uniform, UniformLogSnr
from jaxcalo.errors import InputError
from jaxcalo.experiment.cloud_nets import (
    EpicNet,
    EpicPlayers,
    MessagePassingPlayers,
    PointWiseNet,
    SetTransformerNet,
)
from jaxcalo.experiment.config import Teacher
from jaxcalo.families import (
    ConsistencyDistillation,
    Diffusion,
    Encoder,
    Gan,
    LatentCloud,
    Sampling,
)
from jaxcalo.nets import ConditionalFlow, EpicEncoder
from jaxcalo.preprocess import CloudCalibration, PointScales, SummaryScales
from jaxcalo.training import AdamW, TrainingPlan


@dataclasses.dataclass(frozen=True)
class CloudData:
    """Where the clouds come from.

    Attributes:
        path: A file of point clouds, in the layout of CaloClouds or of CaloClouds 3.
        geometry: The readout whose layers the points have: a shipped geometry's name or a binning
            XML.
        batch_size: Showers a step, over all devices.
        validation_fraction: Share of the file, at its end, that is never trained on.
        augment: Turn and mirror each training shower at random (the square's symmetries).
        n_buckets: Sizes to which the showers of a batch are padded: the more, the less is padded,
            and the more programs are compiled.
    """

    path: str = "ild_photon_points_train.h5"
    geometry: str = "ild_ecal"
    batch_size: int = 32
    validation_fraction: float = 0.05
    augment: bool = True
    n_buckets: int = 4

    def __post_init__(self) -> None:
        if not 0.0 <= self.validation_fraction < 1.0:
            raise InputError(
                f"--data.validation-fraction: expected a number from 0 to below 1, "
                f"found {self.validation_fraction}"
            )


@dataclasses.dataclass(frozen=True)
class ShowerFlow:
    """The normalizing flow of a shower's summary: points and energy of each layer, centre.

    The summary's coordinates are nearly normal already; a larger flow, or less weight decay, learns
    some thousand showers by heart.

    Attributes:
        scales: How a summary becomes a vector.
        n_blocks: Blocks of the flow.
        n_affine: Affine couplings before and after each block's spline coupling.
        hidden: Sizes of the couplings' networks.
        n_bins: Bins of the splines.
        optimizer: How it learns, in the steps of the points' training.
    """

    scales: SummaryScales = dataclasses.field(default_factory=SummaryScales)
    n_blocks: int = 2
    n_affine: int = 1
    hidden: tuple[int, ...] = (8,)
    n_bins: int = 4
    optimizer: AdamW = dataclasses.field(
        default_factory=lambda: AdamW(learning_rate=5e-4, weight_decay=10.0)
    )

    def build(self, n_dims: int) -> ConditionalFlow:
        """The flow of vectors (n_dims,)."""
        return ConditionalFlow(n_dims, self.n_blocks, self.n_affine, self.hidden, self.n_bins)


def _edm() -> Diffusion:
    """Continuous noise levels in the published range, preconditioned for unit variance.

    The published distribution of the levels is -1.2, 1.2 at half the width, -0.5, 1.2 here; chosen:
    a little wider, for the noisy end, where sampling begins.
    """
    return Diffusion(
        schedule=VarianceExploding(0.002, 80.0), noise_levels=LogNormalSigma(-0.6, 1.4)
    )


@dataclasses.dataclass(frozen=True)
class CloudDiffusion:
    """CaloClouds II: continuous noise levels, 25 evaluations; its student needs one.

    The published 25 evaluations are 13 steps of Heun on the Karras grid. They have not converged on
    a distribution with a tail as long as that of the radius: of one model's clouds 0.72 % of the
    energy lay beyond 75 mm, with 40 steps of Heun or 24 of DPM-Solver++(2M) 0.45 %; Geant4, 0.35 %.

    Attributes:
        net: The network on points.
        diffusion: What it learns.
        few_steps: How it learns to sample in few steps; None is plain denoising.
        points_per_shower: Points of a shower that one step learns from, drawn at random; None: all.
            Only where points do not see each other, and so any of them teach the same.
        optimizer: How.
        sampling: How it samples.

    Raises:
        InputError: A share of the points for a network that needs all of them.
    """

    net: PointWiseNet | EpicNet | SetTransformerNet = dataclasses.field(
        default_factory=PointWiseNet
    )
    diffusion: Diffusion = dataclasses.field(default_factory=_edm)
    few_steps: ConsistencyDistillation | None = None
    points_per_shower: int | None = None
    optimizer: AdamW = dataclasses.field(default_factory=AdamW)
    sampling: Sampling = dataclasses.field(
        default_factory=lambda: Sampling(DpmSolver(), n_steps=25, grid=UniformLogSnr())
    )

    def __post_init__(self) -> None:
        if self.points_per_shower is None:
            return
        if self.points_per_shower < 1 or not isinstance(self.net, PointWiseNet):
            raise InputError(
                "--model.points-per-shower: expected a positive number, and a network whose points "
                f"do not see each other (PointWiseNet), found {self.points_per_shower} and "
                f"{type(self.net).__name__}; leave it out to learn from all points"
            )


@dataclasses.dataclass(frozen=True)
class LatentCloudDiffusion:
    """CaloClouds: an encoder's latent vector, its flow, and a chain of 100 evaluations.

    Attributes:
        net: The network on points.
        encoder_hidden: Features of a point inside the encoder.
        encoder_layers: Its EPiC layers.
        prior_couplings: Spline couplings of the latent's flow.
        prior_hidden: Sizes of their networks.
        latent: Size of the latent vector and weight of its divergence.
        diffusion: What the network learns.
        optimizer: How network and encoder learn.
        prior_optimizer: How the flow does.
        sampling: How the chain runs.
    """

    net: PointWiseNet = dataclasses.field(default_factory=PointWiseNet)
    encoder_hidden: int = 128
    encoder_layers: int = 3
    prior_couplings: int = 10
    prior_hidden: tuple[int, ...] = (128, 128)
    latent: LatentCloud = dataclasses.field(default_factory=LatentCloud)
    diffusion: Diffusion = dataclasses.field(default_factory=Diffusion)
    optimizer: AdamW = dataclasses.field(default_factory=AdamW)
    prior_optimizer: AdamW = dataclasses.field(default_factory=AdamW)
    sampling: Sampling = dataclasses.field(
        default_factory=lambda: Sampling(Ddpm(), n_steps=100, grid=Uniform())
    )

    def build_encoder(self) -> Encoder:
        """The encoder of clouds."""
        # Linen's stub of apply also allows a tuple, which only mutable collections give.
        return EpicEncoder(  # pyright: ignore[reportReturnType]
            self.latent.n_latent, self.encoder_hidden, n_layers=self.encoder_layers
        )

    def build_prior(self) -> ConditionalFlow:
        """The flow of latent vectors: spline couplings alone."""
        return ConditionalFlow(
            self.latent.n_latent, self.prior_couplings, 0, self.prior_hidden, 8, 10.0
        )


@dataclasses.dataclass(frozen=True)
class CloudGan:
    """EPiC-GAN or MP-GAN, by the players' networks.

    Attributes:
        players: The networks.
        gan: What is trained.
        optimizer: The generator's.
        critic_optimizer: The critic's.
        points_per_shower: Train on one group of a shower's points, drawn at random, as large as
            those in which the generator makes the shower; None: on whole showers. The same number
            as the players' group.

    Raises:
        InputError: Groups other than those in which the generator works.
    """

    players: EpicPlayers | MessagePassingPlayers = dataclasses.field(default_factory=EpicPlayers)
    gan: Gan = dataclasses.field(default_factory=Gan)
    optimizer: AdamW = dataclasses.field(default_factory=AdamW)
    critic_optimizer: AdamW = dataclasses.field(default_factory=AdamW)
    points_per_shower: int | None = None

    def __post_init__(self) -> None:
        players = self.players
        group = players.group if isinstance(players, MessagePassingPlayers) else None
        if self.points_per_shower not in (None, group):
            raise InputError(
                "--model.points-per-shower: expected the group in which the generator makes points "
                f"(MessagePassingPlayers.group, {group} here), found {self.points_per_shower}; "
                "give both the same number, or leave it out to train on whole showers"
            )


CloudModel = CloudDiffusion | LatentCloudDiffusion | CloudGan


@dataclasses.dataclass(frozen=True)
class CloudExperiment:
    """Everything that decides what a run on point clouds learns.

    Two runs of one CloudExperiment on one machine are equal to the bit.

    Attributes:
        data: Where the clouds come from.
        points: How points become numbers of order one.
        flow: The normalizing flow of the whole showers.
        model: The family of the points.
        calibration: How the points are made to agree with their shower.
        teacher: Whom a student learns from.
        training: How long, and what is written on the way.
        seed: The seed of everything random.

    Raises:
        InputError: The parts do not agree about what a point is.
    """

    data: CloudData = dataclasses.field(default_factory=CloudData)
    points: PointScales = dataclasses.field(default_factory=PointScales)
    flow: ShowerFlow = dataclasses.field(default_factory=ShowerFlow)
    model: CloudModel = dataclasses.field(default_factory=CloudDiffusion)
    calibration: CloudCalibration = dataclasses.field(default_factory=CloudCalibration)
    teacher: Teacher | None = None
    training: TrainingPlan = dataclasses.field(default_factory=TrainingPlan)
    seed: int = 0

    def __post_init__(self) -> None:
        points, calibration = self.points, self.calibration
        thresholds = {
            points.threshold_mev,
            calibration.threshold_mev,
            self.flow.scales.threshold_mev,
        }
        if len(thresholds) > 1:
            raise InputError(
                "threshold_mev: expected one smallest energy of a point in points, flow.scales and "
                f"calibration, found {', '.join(f'{t:g}' for t in sorted(thresholds))} MeV; give "
                "all three the same"
            )
        grids = {(p.cell_mm, p.half_width_mm) for p in (points, calibration)}
        if calibration.distinct_cells and len(grids) > 1:
            raise InputError(
                "distinct cells: expected one cell_mm and half_width_mm in points and calibration, "
                f"found {sorted(grids)}; give both the same"
            )

    @property
    def sampling(self) -> Sampling | None:
        """How the points are sampled; None for a GAN, which has one way."""
        return None if isinstance(self.model, CloudGan) else self.model.sampling
