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
from jaxcalo.geometry import Detector, coordinate_channels
from jaxcalo.nets import DiT, EventNet, UNet, n_event_channels
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
    """

    path: str = "par04_lite_train"
    geometry: str = "par04_lite"
    particle: str | None = None
    batch_size: int = 128
    validation_fraction: float = 0.05
    augment: bool = True

    def __post_init__(self) -> None:
        if not 0.0 <= self.validation_fraction < 1.0:
            raise InputError(
                f"--data.validation-fraction: expected a number from 0 to below 1, "
                f"found {self.validation_fraction}"
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

    def build(self, detector: Detector, n_layer_energies: int, learned_variance: bool) -> Net:
        """The network on the flat events of a detector."""
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
        # Linen's stub of apply also allows a tuple, which only mutable collections give.
        return EventNet(  # pyright: ignore[reportReturnType]
            net, detector.grid_shape, n_layer_energies, None, learned_variance
        )


@dataclasses.dataclass(frozen=True)
class UNetNet:
    """The cylindrical U-Net of CaloDiffusion, in two dimensions for a crystal matrix.

    Attributes:
        channels: Channels of the first convolution and of each level.
        attention: Linear attention in each level.
        compress_layers: Halve the layers axis too on the way down.
        coordinates: Add the R and Z channels.
        compute_dtype: Type of the convolutions.
    """

    channels: tuple[int, ...] = (16, 16, 16, 32)
    attention: bool = True
    compress_layers: bool = True
    coordinates: bool = True
    compute_dtype: ComputeType = "float32"

    def build(self, detector: Detector, n_layer_energies: int, learned_variance: bool) -> Net:
        """The network on the flat events of a detector."""
        net = UNet(
            channels=self.channels,
            attention=self.attention,
            compress_layers=self.compress_layers,
            out_channels=n_event_channels(n_layer_energies, learned_variance),
            compute_dtype=jnp.dtype(self.compute_dtype),
        )
        coordinates = coordinate_channels(detector) if self.coordinates else None
        # Linen's stub of apply also allows a tuple, which only mutable collections give.
        return EventNet(  # pyright: ignore[reportReturnType]
            net, detector.grid_shape, n_layer_energies, coordinates, learned_variance
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
    net: DiTNet | UNetNet = dataclasses.field(default_factory=DiTNet)
    diffusion: Diffusion = dataclasses.field(default_factory=Diffusion)
    few_steps: FewSteps | None = None
    teacher: Teacher | None = None
    optimizer: AdamW = dataclasses.field(default_factory=AdamW)
    training: TrainingPlan = dataclasses.field(default_factory=TrainingPlan)
    sampling: Sampling = dataclasses.field(default_factory=Sampling)
    seed: int = 0
