"""Networks of the families on vectors, as a recipe names them."""

import dataclasses
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
from jax import Array

from jaxcalo.errors import InputError
from jaxcalo.families import Flow, VectorNet
from jaxcalo.nets import (
    MaskedAutoregressiveFlow,
    PlainDense,
    ResidualDense,
    VoxelDecoder,
    VoxelEncoder,
    nice,
    real_nvp,
    spline_flow,
)

_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "elu": jax.nn.elu,
    "leaky_relu": jax.nn.leaky_relu,
}


class EventShape(NamedTuple):
    """What the numbers of a standardised event are.

    Attributes:
        n_components: Their number.
        grid: Of a shower on a regular grid, (layers, azimuth, radius) or (y, x); else None.
        n_layer_energies: Of them that say the layers' energies, at the front.
    """

    n_components: int
    grid: tuple[int, ...] | None = None
    n_layer_energies: int = 0


@dataclasses.dataclass(frozen=True)
class PlainNet:
    """Layers of given widths, of the decoder or generator; encoders and critics reverse them.

    Attributes:
        hidden: Widths of the hidden layers, from the latent or the noise on.
        activation: After each.
    """

    hidden: tuple[int, ...] = (128, 128)
    activation: Literal["elu", "leaky_relu"] = "leaky_relu"

    def inward(self, shape: EventShape, out_size: int) -> VectorNet:
        """Encoder or critic: an event into `out_size` numbers."""
        del shape  # any vector
        return self._net(self.hidden[::-1], out_size)

    def outward(self, shape: EventShape, n_numbers: int) -> VectorNet:
        """Decoder or generator: a few numbers into `n_numbers` of each component."""
        return self._net(self.hidden, n_numbers * shape.n_components)

    def _net(self, hidden: tuple[int, ...], out_size: int) -> VectorNet:
        return PlainDense(hidden, out_size, _ACTIVATIONS[self.activation])


@dataclasses.dataclass(frozen=True)
class ResidualNet:
    """Residual blocks that are told the condition.

    Attributes:
        width: Of the layers.
        depth: Number of blocks.
    """

    width: int = 128
    depth: int = 3

    def inward(self, shape: EventShape, out_size: int) -> VectorNet:
        """Encoder or critic: an event into `out_size` numbers."""
        del shape  # any vector
        return ResidualDense(self.width, self.depth, out_size)

    def outward(self, shape: EventShape, n_numbers: int) -> VectorNet:
        """Decoder or generator: a few numbers into `n_numbers` of each component."""
        out_size = n_numbers * shape.n_components
        return ResidualDense(self.width, self.depth, out_size)


@dataclasses.dataclass(frozen=True)
class ConvolutionalNet:
    """Convolutions on the grid of a shower.

    Attributes:
        channels: Of each level, multiples of 4; between two levels the grid is halved.
        width: Of the layers without a grid.
        local_noise: A generator's last numbers are noise of the voxels, one each.
    """

    channels: tuple[int, ...] = (16, 32)
    width: int = 64
    local_noise: bool = False

    def inward(self, shape: EventShape, out_size: int) -> VectorNet:
        """Encoder or critic: an event into `out_size` numbers."""
        return VoxelEncoder(
            _grid(shape), out_size, shape.n_layer_energies, self.channels, self.width
        )

    def outward(self, shape: EventShape, n_numbers: int) -> VectorNet:
        """Decoder or generator: a few numbers into `n_numbers` of each component."""
        return VoxelDecoder(
            _grid(shape),
            shape.n_layer_energies,
            self.channels,
            self.width,
            n_numbers,
            self.local_noise,
        )


def _grid(shape: EventShape) -> tuple[int, ...]:
    if shape.grid is None:
        raise InputError(
            "ConvolutionalNet: expected showers on a regular grid, found vectors without one; "
            "choose ResidualNet"
        )
    return shape.grid


@dataclasses.dataclass(frozen=True)
class CouplingFlow:
    """Coupling layers.

    Attributes:
        kind: nice: additive; real-nvp: affine; spline: rational-quadratic splines.
        n_couplings: How many.
        hidden: Widths of the hidden layers of each coupling's network.
    """

    kind: Literal["nice", "real-nvp", "spline"] = "spline"
    n_couplings: int = 6
    hidden: tuple[int, ...] = (32, 32)

    def build(self, shape: EventShape) -> Flow:
        """The flow of an event's components."""
        make = {"nice": nice, "real-nvp": real_nvp, "spline": spline_flow}[self.kind]
        return make(shape.n_components, self.n_couplings, self.hidden)


@dataclasses.dataclass(frozen=True)
class AutoregressiveFlow:
    """Masked autoregressive layers.

    Attributes:
        n_layers: How many.
        hidden: Widths of the hidden layers of each layer's network.
        n_bins: Pieces of its splines; 0 is affine.
    """

    n_layers: int = 4
    hidden: tuple[int, ...] = (64, 64)
    n_bins: int = 8

    def build(self, shape: EventShape) -> Flow:
        """The flow of an event's components."""
        return MaskedAutoregressiveFlow(shape.n_components, self.n_layers, self.hidden, self.n_bins)
