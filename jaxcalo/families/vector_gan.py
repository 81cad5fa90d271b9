"""GANs on vectors: four-lepton events, and showers as layer energies and voxels.

    event = G(noise, condition),    D(event, condition) -> number

What they are made of is the networks' affair: dense ones for numbers (nets/dense.py), convolutional
ones for voxels (nets/voxel_conv.py). Clouds have a family of their own (gan.py), whose players also
see a mask and the noise of each point; both play the same game (training/adversarial.py).

Sources: Mirza and Osindero 2014 (arXiv:1411.1784), a game with conditions; Arjovsky and Bottou 2017
(arXiv:1701.04862), section 3, a critic that sees blurred events.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jaxcalo.diffusion import randn
from jaxcalo.errors import InputError
from jaxcalo.families.base import Encode, GenerativeModel, NoiseMap
from jaxcalo.families.map_events import map_events
from jaxcalo.families.physics import PhysicsTerm, physics_loss
from jaxcalo.families.process import event_keys
from jaxcalo.families.vector_net import VectorNet, encoded_sizes, start
from jaxcalo.training import R1, Adversarial, Batch, Game, Metrics, adversarial
from jaxcalo.typing import Cond, Conds, Event, Events, Key, Params, Scalar

GENERATOR, CRITIC = "generator", "critic"

_BLUR = 1  # folded into a step's key for the noise that blurs
_EVALUATED_TOGETHER = 64  # chosen: a convolutional generator's activations then take below 1 GB

_Seen = tuple[Conds, Array]  # conditions, and the noise that blurs


@dataclasses.dataclass(frozen=True)
class VectorGan:
    """What is trained.

    The penalty was chosen on four-lepton events (12 numbers; both players PlainDense (128, 128)
    with LeakyReLU, Adam of 2e-3 and b1 = 0, 4000 steps of 256): W1 0.044 a column, Frobenius norm
    of the difference of the correlations 0.25; training against test events 0.031 and 0.26. The
    cross entropy gives 0.044 and 0.30, Wasserstein with `TwoSided` 0.15 and 1.6 at equal time.

    Attributes:
        adversarial: How the players learn.
        n_noise: Normal random numbers of an event. Fewer than the event's components give samples
            on a surface.
        blur: Width of the normal noise with which the critic sees all events, in standardised
            units. Where real events have one exact value (empty voxels), generated ones are told
            from them by nothing else, and the generator learns nothing; blurred alike, they are
            equal only if their distributions are.

    Raises:
        InputError: No noise, or a negative blur.
    """

    adversarial: Adversarial = dataclasses.field(
        default_factory=lambda: Adversarial(penalty=R1(weight=0.1, every=2))
    )
    n_noise: int = 32
    blur: float = 0.0

    def __post_init__(self) -> None:
        if self.n_noise < 1:
            raise InputError(f"n_noise: expected at least 1, found {self.n_noise}; choose 32, say")
        if not self.blur >= 0.0:
            raise InputError(f"blur: expected a width of at least 0, found {self.blur}; choose 0")


def vector_gan(
    generator: VectorNet,
    critic: VectorNet,
    config: VectorGan,
    optimizer_generator: optax.GradientTransformation,
    optimizer_critic: optax.GradientTransformation,
    *,
    encode: Encode,
    n_components: int,
    ema_decay: float,
    terms: Sequence[PhysicsTerm] = (),
) -> GenerativeModel:
    """Make the generative model.

    Args:
        generator: (noise (b, n_noise), cond (b, c)) -> events (b, n).
        critic: (events (b, n), cond (b, c)) -> (b, 1), large for real events.
        config: What is trained.
        optimizer_generator: The generator's optax transformation.
        optimizer_critic: The critic's.
        encode: (key, datum) -> (event, condition).
        n_components: Length n of an event.
        ema_decay: Decay of the players' averages per step.
        terms: Quantities whose distribution is made right, part of the generator's loss.

    Returns:
        The model; its parameters are {"generator": ..., "critic": ...}, of which the first sample.
    """

    def init(key: Key, batch: Batch) -> Params:
        _, n_conditions = encoded_sizes(encode, batch.data)
        generator_key, critic_key = jax.random.split(key)
        return {
            GENERATOR: start(generator, generator_key, config.n_noise, n_conditions),
            CRITIC: start(critic, critic_key, n_components, n_conditions),
        }

    def encode_batch(key: Key, batch: Batch) -> tuple[Events, _Seen]:
        events, conds = jax.vmap(encode)(event_keys(key, batch), batch.data)
        if config.blur == 0.0:
            return events, (conds, jnp.zeros(()))
        keys = event_keys(jax.random.fold_in(key, _BLUR), batch)
        noise = jax.vmap(lambda key: randn(key, (n_components,)))(keys)
        return events, (conds, config.blur * noise)

    def generate(key: Key, params: Params, index: Array, seen: _Seen) -> Events:
        return _generate(generator, config, params, event_keys(key, Batch(index, ())), seen[0])

    def criticise(params: Params, events: Events, seen: _Seen) -> Array:
        conds, noise = seen
        return critic.apply(params, events + noise, conds)[:, 0]

    def further(real: Events, generated: Events, seen: _Seen) -> tuple[Scalar, Metrics]:
        return physics_loss(terms, real, generated, seen[0])

    def sample(key: Key, params: Params, cond: Cond) -> Event:
        return _generate(generator, config, params[GENERATOR], key[None], cond[None])[0]

    game = Game(init, encode_batch, generate, criticise, further if terms else None)
    algorithm = adversarial(
        game, config.adversarial, optimizer_generator, optimizer_critic, ema_decay
    )
    return GenerativeModel(algorithm, sample)


def vector_gan_noise(generator: VectorNet, config: VectorGan) -> NoiseMap:
    """Sampling as a function of the generator's noise."""

    def event(noise: Array, params: Params, cond: Cond) -> Event:
        return generator.apply(params[GENERATOR], noise[None], cond[None])[0]

    return NoiseMap(config.n_noise, event)


def evaluate_vector_gan(
    generator: VectorNet, critic: VectorNet, config: VectorGan, *, encode: Encode
) -> Callable[[Key, Params, Any], dict[str, Array]]:
    """Generated events beside held-out ones, at the same conditions.

    Returns:
        (key, averaged params, data with leading axis) -> {"critic_gap", "mean_difference",
        "width_difference"}: the mean of D over the held-out less over the generated events; the
        largest difference of a component's mean, and of its standard deviation, in standardised
        units. A generator that makes one event only has lost the widths.
    """

    @jax.jit
    def evaluate(key: Key, params: Params, data: Any) -> dict[str, Array]:
        def of_event(row: tuple[Key, Any]) -> tuple[Event, Event, Scalar]:
            encode_key, noise_key = jax.random.split(row[0])
            event, cond = encode(encode_key, row[1])
            noise = noise_key[None], cond[None]
            made = _generate(generator, config, params[GENERATOR], *noise)[0]
            scores = [
                critic.apply(params[CRITIC], e[None], cond[None])[0, 0] for e in (event, made)
            ]
            return event, made, scores[0] - scores[1]

        n = jax.tree.leaves(data)[0].shape[0]
        rows = (jax.random.split(key, n), data)
        real, made, gap = map_events(of_event, rows, _EVALUATED_TOGETHER)
        differences = {
            f"{name}_difference": jnp.max(jnp.abs(of(made, axis=0) - of(real, axis=0)))
            for name, of in (("mean", jnp.mean), ("width", jnp.std))
        }
        return {"critic_gap": jnp.mean(gap)} | differences

    return evaluate


def _generate(
    generator: VectorNet, config: VectorGan, params: Params, keys: Key, conds: Conds
) -> Events:
    """Events (b, n), each from its own key."""
    noise = jax.vmap(lambda key: randn(key, (config.n_noise,)))(keys)
    return generator.apply(params, noise, conds)
