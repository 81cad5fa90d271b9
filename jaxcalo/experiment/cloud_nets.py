"""The networks on point clouds, as what a recipe composes."""

import dataclasses

import jax.numpy as jnp

from jaxcalo.experiment.config import ComputeType
from jaxcalo.families import Critic, Generator, Net
from jaxcalo.nets import (
    CloudNet,
    EpicCritic,
    EpicDenoiser,
    EpicGenerator,
    GroupedGenerator,
    MessagePassingCritic,
    MessagePassingGenerator,
    PointTransformer,
    PointWise,
)


@dataclasses.dataclass(frozen=True)
class PointWiseNet:
    """CaloClouds' network: every point on its own, under the context of its shower.

    Attributes:
        widths: Sizes of the hidden layers.
        compute_dtype: Type of the products with the points.
    """

    widths: tuple[int, ...] = (128, 256, 512, 256, 128)
    compute_dtype: ComputeType = "float32"

    def build(self) -> Net:
        """The network of CaloClouds II and its consistency model, on flat events."""
        net = PointWise(self.widths, compute_dtype=jnp.dtype(self.compute_dtype))
        # Linen's stub of apply also allows a tuple, which only mutable collections give.
        return CloudNet(net)  # pyright: ignore[reportReturnType]

    def build_latent(self) -> Net:
        """That of CaloClouds I: conditioned on a latent vector, its result added to the points."""
        dtype = jnp.dtype(self.compute_dtype)
        net = PointWise(self.widths, n_frequencies=None, residual=True, compute_dtype=dtype)
        return CloudNet(net)  # pyright: ignore[reportReturnType]


@dataclasses.dataclass(frozen=True)
class EpicNet:
    """Points that exchange by way of one global vector.

    Attributes:
        hidden: Features of a point inside.
        global_width: Size of the global vector.
        n_layers: EPiC layers.
        compute_dtype: Type of the products with the points.
    """

    hidden: int = 64
    global_width: int = 16
    n_layers: int = 4
    compute_dtype: ComputeType = "float32"

    def build(self) -> Net:
        """The network on flat events."""
        dtype = jnp.dtype(self.compute_dtype)
        net = EpicDenoiser(self.hidden, self.global_width, self.n_layers, compute_dtype=dtype)
        return CloudNet(net)  # pyright: ignore[reportReturnType]


@dataclasses.dataclass(frozen=True)
class SetTransformerNet:
    """Attention between points, by way of landmarks.

    Attributes:
        width: Size of a token.
        depth: Number of blocks.
        n_heads: Attention heads.
        n_landmarks: What the points exchange through; None lets every point see every other.
        compute_dtype: Type of the matrix products.
    """

    width: int = 64
    depth: int = 4
    n_heads: int = 4
    n_landmarks: int | None = 32
    compute_dtype: ComputeType = "float32"

    def build(self) -> Net:
        """The network on flat events."""
        net = PointTransformer(
            self.width,
            self.depth,
            self.n_heads,
            n_landmarks=self.n_landmarks,
            compute_dtype=jnp.dtype(self.compute_dtype),
        )
        return CloudNet(net)  # pyright: ignore[reportReturnType]


@dataclasses.dataclass(frozen=True)
class EpicPlayers:
    """EPiC-GAN's generator and critic.

    Attributes:
        hidden: Features of a point inside.
        global_width: Size of the global vector.
        generator_layers: EPiC layers of the generator.
        critic_layers: Of the critic.
    """

    hidden: int = 128
    global_width: int = 10
    generator_layers: int = 6
    critic_layers: int = 3

    def build(self) -> tuple[Generator, Critic]:
        """The two networks."""
        generator = EpicGenerator(self.hidden, self.global_width, self.generator_layers)
        critic = EpicCritic(self.hidden, self.global_width, self.critic_layers)
        return generator, critic  # pyright: ignore[reportReturnType]


@dataclasses.dataclass(frozen=True)
class MessagePassingPlayers:
    """MP-GAN's generator and critic.

    The generator makes large clouds in groups: points of different groups know of each other only
    through the condition, which is that of the whole shower, and the global noise if there is any.

    Attributes:
        hidden: Features of a point after each layer but the generator's last.
        edge_widths: Sizes of the networks that make messages.
        node_widths: Sizes of those that take them.
        n_neighbours: Senders of a point; None: all points.
        message_scale: Factor of the summed messages.
        pool_scale: Factor of the critic's sum over points; about one over their number.
        gain: Variance of new weights times their number of inputs. Chosen: with 1.92 the points of
            an untrained generator are 0.8 wide, with 1 they are 0.06 wide (n_local 8, local_std 1).
        group: Most points of a group; None: all points of a shower hear of each other.
    """

    hidden: tuple[int, ...] = (32,)
    edge_widths: tuple[int, ...] = (96, 160, 192)
    node_widths: tuple[int, ...] = (256, 256)
    n_neighbours: int | None = 8
    message_scale: float = 0.1
    pool_scale: float = 4e-3
    gain: float = 1.92
    group: int | None = 256

    def build(self) -> tuple[Generator, Critic]:
        """The two networks."""
        edges = {
            "edge_widths": self.edge_widths,
            "node_widths": self.node_widths,
            "n_neighbours": self.n_neighbours,
            "message_scale": self.message_scale,
            "gain": self.gain,
        }
        generator = MessagePassingGenerator(self.hidden, **edges)
        critic = MessagePassingCritic(
            (*self.hidden, self.hidden[-1]), sigmoid=False, pool_scale=self.pool_scale, **edges
        )
        if self.group is not None:
            generator = GroupedGenerator(generator, self.group)
        return generator, critic  # pyright: ignore[reportReturnType]
