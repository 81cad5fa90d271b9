"""The configuration of a run: what a recipe file composes, and what manifest.json records."""

import dataclasses
from typing import Literal

import jax.numpy as jnp

from jaxcalo.errors import InputError
from jaxcalo.families import (
    ConsistencyDistillation,
    ConsistencyTraining,
    Diffusion,
    Net,
    ProgressiveDistillation,
    Sampling,
)
from jaxcalo.geometry import Detector, GlamMaps, coordinate_channels, glam_maps
from jaxcalo.nets import DiT, EventNet, ResidualMLP, UNet, n_event_channels
from jaxcalo.preprocess import IncidentFractions, LayerShapes
from jaxcalo.training import AdamW, TrainingPlan

ComputeType = Literal["float32", "bfloat16"]
FewSteps = ConsistencyDistillation | ConsistencyTraining | ProgressiveDistillation


@dataclasses.dataclass(frozen=True)
class Data:
    """Where the showers come from.

    Attributes:
        path: A shower file in the CaloChallenge format, or the name of a shipped sample.
        geometry: A shipped geometry's name or a binning XML.
        particle: Which Bin of the XML, if it has several.
        batch_size: Showers a step, over all devices.
        validation_fraction: Share of the file, at its end, that is never trained on.
        augment: Apply a random symmetry of the detector to each training shower.
        conditions: Further data sets of the file that the model is conditioned on: angles,
            positions, particle numbers. Whole numbers are classes.
    """

    path: str = "par04_lite_train"
    geometry: str = "par04_lite"
    particle: str | None = None
    batch_size: int = 128
    validation_fraction: float = 0.05
    augment: bool = True
    conditions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0.0 <= self.validation_fraction < 1.0:
            raise InputError(
                f"--data.validation-fraction: expected a number from 0 to below 1, "
                f"found {self.validation_fraction}"
            )
        if self.conditions and self.augment:
            raise InputError(
                "--data.augment: expected False with further conditions "
                f"({', '.join(self.conditions)}), since a symmetry would move the shower but not "
                "its angle or position, found True; pass --data.augment False"
            )


@dataclasses.dataclass(frozen=True)
class DiTNet:
    """The patch diffusion transformer.

    Attributes:
        patch: Voxels of a patch along (layer, azimuth, radius), or (y, x).
        width: Size of a token.
        depth: Number of blocks.
        n_heads: Attention heads.
        mlp_ratio: Hidden width of a block's MLP, in widths.
        bottleneck: If given, patches are first projected to this size.
        compute_dtype: Type of the matrix products.
    """

    patch: tuple[int, ...] = (3, 2, 2)
    width: int = 128
    depth: int = 6
    n_heads: int = 4
    mlp_ratio: float = 4.0
    bottleneck: int | None = None
    compute_dtype: ComputeType = "float32"

    def build(
        self,
        detector: Detector,
        n_layer_energies: int,
        learned_variance: bool,
        n_layer_conditions: int = 0,
    ) -> Net:
        """The network on the flat events of a detector; see `EventNet` for the numbers."""
        net = DiT(
            patch=self.patch,
            width=self.width,
            depth=self.depth,
            n_heads=self.n_heads,
            mlp_ratio=self.mlp_ratio,
            bottleneck=self.bottleneck,
            out_channels=n_event_channels(n_layer_energies, learned_variance),
            compute_dtype=jnp.dtype(self.compute_dtype),
        )
        grid, maps = _grid(detector)
        # Linen's stub of apply also allows a tuple, which only mutable collections give.
        return EventNet(  # pyright: ignore[reportReturnType]
            net, grid, n_layer_energies, None, learned_variance, n_layer_conditions, maps
        )


@dataclasses.dataclass(frozen=True)
class UNetNet:
    """The cylindrical U-Net of CaloDiffusion, in two dimensions for a crystal matrix.

    Attributes:
        channels: Channels of the first convolution and of each level.
        attention: Linear attention in each level.
        compress_layers: Halve the layers axis too on the way down.
        coordinates: Add the R and Z channels.
        azimuth_channel: Add the azimuth to them, as CaloDiffusion does for data set 1.
        compute_dtype: Type of the convolutions.
    """

    channels: tuple[int, ...] = (16, 16, 16, 32)
    attention: bool = True
    compress_layers: bool = True
    coordinates: bool = True
    azimuth_channel: bool = False
    compute_dtype: ComputeType = "float32"

    def __post_init__(self) -> None:
        if self.azimuth_channel and not self.coordinates:
            raise InputError(
                "--net.azimuth-channel: expected it beside --net.coordinates, found it alone; "
                "switch the coordinates on, or the azimuth off"
            )

    def build(
        self,
        detector: Detector,
        n_layer_energies: int,
        learned_variance: bool,
        n_layer_conditions: int = 0,
    ) -> Net:
        """The network on the flat events of a detector; see `EventNet` for the numbers."""
        net = UNet(
            channels=self.channels,
            attention=self.attention,
            compress_layers=self.compress_layers,
            out_channels=n_event_channels(n_layer_energies, learned_variance),
            compute_dtype=jnp.dtype(self.compute_dtype),
        )
        coordinates = None
        if self.coordinates:
            coordinates = coordinate_channels(detector, self.azimuth_channel)
        grid, maps = _grid(detector)
        # Linen's stub of apply also allows a tuple, which only mutable collections give.
        return EventNet(  # pyright: ignore[reportReturnType]
            net, grid, n_layer_energies, coordinates, learned_variance, n_layer_conditions, maps
        )


def _grid(detector: Detector) -> tuple[tuple[int, ...], GlamMaps | None]:
    """The grid that a network sees, and the maps to it where the layers differ."""
    if detector.is_regular:
        return detector.grid_shape, None
    maps = glam_maps(detector)
    return maps.grid_shape, maps


@dataclasses.dataclass(frozen=True)
class EnergyStage:
    """The layer energies as a stage of their own, before the shapes that have them.

    Attributes:
        width: Size of the residual network's layers.
        depth: Its blocks.
        diffusion: What it learns.
        sampling: How it samples; students do it in half of these default steps.
        optimizer: How it learns, in the steps of the shapes' training.
    """

    width: int = 256
    depth: int = 4
    diffusion: Diffusion = dataclasses.field(default_factory=lambda: Diffusion(noises_per_event=4))
    sampling: Sampling = dataclasses.field(default_factory=lambda: Sampling(n_steps=32))
    optimizer: AdamW = dataclasses.field(default_factory=lambda: AdamW(learning_rate=2e-3))

    def build(self, n_layers: int) -> Net:
        """The network on the components that say the layer energies."""
        n_out = n_layers * (2 if self.diffusion.learned_variance else 1)
        # As above.
        return ResidualMLP(  # pyright: ignore[reportReturnType]
            width=self.width, depth=self.depth, out_size=n_out
        )


@dataclasses.dataclass(frozen=True)
class Teacher:
    """A trained run that another learns from.

    Attributes:
        run: Its folder.
        step: The steps it was trained for.
        guidance: The guidance scale of its denoiser, which the student learns.
    """

    run: str
    step: int
    guidance: float = 1.0


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Everything that decides what a run learns.

    Two runs of one Experiment on one machine are equal to the bit.

    Attributes:
        data: Where the showers come from.
        preprocess: How they become vectors of order one.
        energies: The layer energies' own stage; None generates them together with the voxels. The
            fields below are then those of the shapes' stage.
        net: The network.
        diffusion: What it learns.
        few_steps: How it learns to sample in few steps; None is plain denoising.
        teacher: Whom it learns that from.
        optimizer: How.
        training: How long, and what is written on the way.
        sampling: How the trained model samples, unless `jaxcalo sample` says otherwise.
        seed: The seed of everything random.
    """

    data: Data = dataclasses.field(default_factory=Data)
    preprocess: LayerShapes | IncidentFractions = dataclasses.field(default_factory=LayerShapes)
    energies: EnergyStage | None = None
    net: DiTNet | UNetNet = dataclasses.field(default_factory=DiTNet)
    diffusion: Diffusion = dataclasses.field(default_factory=Diffusion)
    few_steps: FewSteps | None = None
    teacher: Teacher | None = None
    optimizer: AdamW = dataclasses.field(default_factory=AdamW)
    training: TrainingPlan = dataclasses.field(default_factory=TrainingPlan)
    sampling: Sampling = dataclasses.field(default_factory=Sampling)
    seed: int = 0
