"""The families on vectors, as a recipe names them: four-lepton events, and showers of voxels.

Each config builds its model from the shape of a standardised event and its encoding.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jax import Array

from jaxcalo.errors import InputError
from jaxcalo.experiment.vector_nets import (
    AutoregressiveFlow,
    ConvolutionalNet,
    CouplingFlow,
    EventShape,
    PlainNet,
    ResidualNet,
)
from jaxcalo.families import (
    Diffusion,
    Encode,
    GaussianMixture,
    GenerativeModel,
    LearnedWidth,
    NearestNeighbour,
    Net,
    NoiseMap,
    PhysicsTerm,
    Sampling,
    Vae,
    VectorGan,
    diffusion,
    evaluate_diffusion,
    evaluate_flow,
    evaluate_mixture,
    evaluate_nearest,
    evaluate_vae,
    evaluate_vector_gan,
    flow,
    mixture,
    nearest,
    noise_map,
    vae,
    vae_noise,
    vector_gan,
    vector_gan_noise,
)
from jaxcalo.nets import MemberMLP, ResidualMLP
from jaxcalo.training import AdamW
from jaxcalo.typing import Key, Params

DenseNet = PlainNet | ResidualNet | ConvolutionalNet


class Family(NamedTuple):
    """What a config builds.

    Attributes:
        model: Of standardised events.
        evaluate: (key, averaged parameters, data) -> held-out numbers.
        noise_map: The model's sampling as a function of its noise, where it is one.
    """

    model: GenerativeModel
    evaluate: Callable[[Key, Params, Any], dict[str, Array]]
    noise_map: NoiseMap | None = None


@dataclasses.dataclass(frozen=True)
class DiffusionFamily:
    """Diffusion with a residual network on the numbers of an event.

    Attributes:
        width: Size of the network's layers.
        depth: Its blocks.
        diffusion: What it learns.
        sampling: How it samples.
        optimizer: How it learns.
    """

    width: int = 256
    depth: int = 4
    diffusion: Diffusion = dataclasses.field(default_factory=Diffusion)
    sampling: Sampling = dataclasses.field(default_factory=lambda: Sampling(n_steps=32))
    optimizer: AdamW = dataclasses.field(default_factory=lambda: AdamW(learning_rate=2e-3))

    def build(
        self, shape: EventShape, encode: Encode, n_steps: int, terms: Sequence[PhysicsTerm] = ()
    ) -> Family:
        """Build the model of events of a shape, trained for n_steps."""
        return self.build_with(self.net(shape), shape, encode, n_steps, terms)

    def net(self, shape: EventShape) -> Any:
        """The network of events of a shape."""
        return ResidualMLP(self.width, self.depth, self._out_size(shape))

    def member_net(self, shape: EventShape, n_members: int, drop: float) -> Any:
        """The network with fixed dropout masks, told its member by the last condition."""
        return MemberMLP(self.width, self.depth, self._out_size(shape), n_members, drop)

    def build_with(
        self,
        net: Net,
        shape: EventShape,
        encode: Encode,
        n_steps: int,
        terms: Sequence[PhysicsTerm],
    ) -> Family:
        """Build the model of a network."""
        model = diffusion(
            net,
            self.diffusion,
            self.sampling,
            self.optimizer.build(n_steps),
            encode=encode,
            n_components=shape.n_components,
            ema_decay=self.optimizer.ema_decay,
            terms=terms,
        )
        noise = noise_map(net, self.diffusion, self.sampling, shape.n_components)
        return Family(model, evaluate_diffusion(net, self.diffusion, encode=encode), noise)

    def _out_size(self, shape: EventShape) -> int:
        return shape.n_components * (2 if self.diffusion.learned_variance else 1)


@dataclasses.dataclass(frozen=True)
class VaeFamily:
    """A variational autoencoder; with a buffer a B-VAE.

    Attributes:
        net: Of the decoder; the encoder's is its mirror.
        vae: What it learns.
        optimizer: How it learns.
    """

    net: DenseNet = dataclasses.field(default_factory=ResidualNet)
    vae: Vae = dataclasses.field(default_factory=Vae)
    optimizer: AdamW = dataclasses.field(default_factory=AdamW)

    def build(
        self, shape: EventShape, encode: Encode, n_steps: int, terms: Sequence[PhysicsTerm] = ()
    ) -> Family:
        """Build the model of events of a shape, trained for n_steps."""
        width = self.vae.width
        n_numbers = 2 if isinstance(width, LearnedWidth) and width.of_event else 1
        nets = (
            self.net.inward(shape, 2 * self.vae.n_latent),
            self.net.outward(shape, n_numbers),
        )
        model = vae(
            *nets,
            self.vae,
            self.optimizer.build(n_steps),
            encode=encode,
            n_components=shape.n_components,
            ema_decay=self.optimizer.ema_decay,
            terms=terms,
        )
        noise = vae_noise(nets[1], self.vae, shape.n_components)
        return Family(model, evaluate_vae(*nets, self.vae, encode=encode), noise)


def _of_players() -> AdamW:
    """Chosen on the numbers of four leptons: without the gradients' memory, an average of 500."""
    return AdamW(learning_rate=2e-3, beta_1=0.0, ema_decay=0.998)


@dataclasses.dataclass(frozen=True)
class GanFamily:
    """A generative adversarial network.

    Attributes:
        net: Of the generator.
        critic: Of the critic.
        gan: What they learn.
        optimizer: How the generator learns.
        critic_optimizer: How the critic learns.
    """

    net: DenseNet = dataclasses.field(default_factory=PlainNet)
    critic: DenseNet = dataclasses.field(default_factory=PlainNet)
    gan: VectorGan = dataclasses.field(default_factory=VectorGan)
    optimizer: AdamW = dataclasses.field(default_factory=_of_players)
    critic_optimizer: AdamW = dataclasses.field(default_factory=_of_players)

    def build(
        self, shape: EventShape, encode: Encode, n_steps: int, terms: Sequence[PhysicsTerm] = ()
    ) -> Family:
        """Build the model of events of a shape, trained for n_steps."""
        players = self.net.outward(shape, 1), self.critic.inward(shape, 1)
        model = vector_gan(
            *players,
            self.gan,
            self.optimizer.build(n_steps),
            self.critic_optimizer.build(n_steps),
            encode=encode,
            n_components=shape.n_components,
            ema_decay=self.optimizer.ema_decay,
            terms=terms,
        )
        noise = vector_gan_noise(players[0], self.gan)
        return Family(model, evaluate_vector_gan(*players, self.gan, encode=encode), noise)


@dataclasses.dataclass(frozen=True)
class FlowFamily:
    """A normalizing flow.

    Attributes:
        net: Its layers.
        optimizer: How it learns.
    """

    net: CouplingFlow | AutoregressiveFlow = dataclasses.field(default_factory=CouplingFlow)
    optimizer: AdamW = dataclasses.field(default_factory=AdamW)

    def build(
        self, shape: EventShape, encode: Encode, n_steps: int, terms: Sequence[PhysicsTerm] = ()
    ) -> Family:
        """Build the model of events of a shape, trained for n_steps."""
        net = self.net.build(shape)
        model = flow(
            net,
            self.optimizer.build(n_steps),
            encode=encode,
            n_components=shape.n_components,
            ema_decay=self.optimizer.ema_decay,
            terms=terms,
        )
        return Family(model, evaluate_flow(net, encode))


@dataclasses.dataclass(frozen=True)
class MixtureFamily:
    """A Gaussian mixture; a step is an iteration of EM, the batch all training events.

    Attributes:
        mixture: What is fitted.
    """

    mixture: GaussianMixture = dataclasses.field(default_factory=GaussianMixture)

    def build(
        self, shape: EventShape, encode: Encode, n_steps: int, terms: Sequence[PhysicsTerm] = ()
    ) -> Family:
        """Build the model of events of a shape.

        Raises:
            InputError: Physics terms, which need gradients.
        """
        del n_steps  # every iteration is like the others
        _require_no_terms(terms, "a Gaussian mixture")
        model = mixture(self.mixture, encode=encode, n_components=shape.n_components)
        return Family(model, evaluate_mixture(self.mixture, encode))


@dataclasses.dataclass(frozen=True)
class NearestFamily:
    """The training event nearest in condition; one step, the batch all training events.

    Attributes:
        nearest: Which events may be returned.
    """

    nearest: NearestNeighbour = dataclasses.field(default_factory=NearestNeighbour)

    def build(
        self, shape: EventShape, encode: Encode, n_steps: int, terms: Sequence[PhysicsTerm] = ()
    ) -> Family:
        """Build the model of events of any shape.

        Raises:
            InputError: Physics terms, which need gradients.
        """
        del shape, n_steps  # nothing is learned
        _require_no_terms(terms, "the nearest neighbour")
        return Family(nearest(self.nearest, encode=encode), evaluate_nearest(encode))


VectorFamily = DiffusionFamily | VaeFamily | GanFamily | FlowFamily | MixtureFamily | NearestFamily
WholeDataFamily = MixtureFamily | NearestFamily


def _require_no_terms(terms: Sequence[PhysicsTerm], family: str) -> None:
    if terms:
        raise InputError(
            f"physics terms: expected none for {family}, which has no gradients, found "
            f"{len(terms)}; leave them out"
        )
