"""Variational autoencoders: plain, beta-weighted, and sampled from a density information buffer.

    loss = E_q(z | x, c) [-log p(x | z, c)] + beta KL(q(z | x, c) || N(0, 1))

in nats of a whole event; at beta = 1 it is no less than -log p(x | c). A small beta reconstructs
better, but leaves the encodings far from N(0, 1). The B-VAE therefore samples the latent from the
encodings of real events, kept in a buffer that is part of the parameters.

Sources: Kingma and Welling 2014 (arXiv:1312.6114), eq. 10; Higgins et al. 2017 (ICLR), eq. 4;
Otten et al. 2021 (arXiv:1901.00875), the buffer; Rybkin et al. 2021 (arXiv:2006.13202), the learned
width.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jaxcalo.diffusion import randn
from jaxcalo.errors import InputError
from jaxcalo.families.base import Encode, GenerativeModel, NoiseMap
from jaxcalo.families.density_buffer import BUFFER, DensityBuffer, draw_latent, with_buffer
from jaxcalo.families.latent_cloud import latent_divergence
from jaxcalo.families.map_events import map_events
from jaxcalo.families.physics import PhysicsTerm, physics_loss
from jaxcalo.families.process import event_keys
from jaxcalo.families.vector_net import VectorNet, start
from jaxcalo.training import Batch, Metrics, minimise
from jaxcalo.typing import Cond, Conds, Event, Events, Key, Params, Scalar

ENCODER, DECODER, LOG_STD = "encoder", "decoder", "log_std"

_EVALUATED_TOGETHER = 64  # chosen: a convolutional decoder's activations then take below 1 GB
_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


@dataclasses.dataclass(frozen=True)
class FixedWidth:
    """p(x | z, c) = N(decoder, std^2), sampled without its noise: the width is a weight only.

    With std^2 = 1/2 the loss is the squared error of the whole event and beta KL.

    Attributes:
        std: Standard deviation of every component.

    Raises:
        InputError: It is not above 0.
    """

    std: float = 1.0

    def __post_init__(self) -> None:
        _require_positive("std", self.std)


@dataclasses.dataclass(frozen=True)
class LearnedWidth:
    """p(x | z, c) = N(decoder, std^2) with a learned std, sampled with its noise.

    Attributes:
        of_event: The decoder returns a logarithm of the width of each component behind the means,
            (b, 2 n); False: each component has one width for all events.
        smallest: The width below which no component falls, in standardised units: a component that
            z tells exactly would have none, and an infinite density.

    Raises:
        InputError: The smallest width is not above 0.
    """

    of_event: bool = True
    smallest: float = 0.01

    def __post_init__(self) -> None:
        _require_positive("smallest", self.smallest)


@dataclasses.dataclass(frozen=True)
class Vae:
    """What is trained.

    On four-lepton events (12 numbers, 16 000 for training, 3000 steps of 256, two ResidualDense of
    64 x 2; the floor, training against test events, is W1 0.031 a column and 0.26 for the Frobenius
    norm of the difference of the correlations) a learned width gives 0.057 and 0.35, with a buffer
    0.054 and 0.28. A buffer with the fixed width 0.1 gives 0.029 and 0.30, but returns what it was
    trained on: half of its events are within 0.34 of a training event, of independent ones within
    1.33; at the width 0.2 within 0.68, with the learned width within 1.45.

    Attributes:
        n_latent: Components of z.
        beta: Weight of the divergence from N(0, 1). With a fixed width only std^2 beta matters.
        width: Of the decoder's normal distribution.
        buffer: Sample z from the encodings of real events; None: from N(0, 1).

    Raises:
        InputError: No component, a negative beta, or a learned width with beta below 1: the density
            of an ever narrower event then grows faster than the price of telling it by z.
    """

    n_latent: int = 12
    beta: float = 1.0
    width: FixedWidth | LearnedWidth = dataclasses.field(default_factory=LearnedWidth)
    buffer: DensityBuffer | None = None

    def __post_init__(self) -> None:
        if not (self.n_latent >= 1 and self.beta >= 0.0):
            raise InputError(
                f"VAE: expected n_latent >= 1 and beta >= 0, found {self.n_latent} and "
                f"{self.beta}; choose 12 and 1, say"
            )
        if self.beta < 1.0 and isinstance(self.width, LearnedWidth):
            raise InputError(
                f"VAE: expected a fixed width at beta {self.beta}: a learned width then falls to "
                "its smallest; choose beta 1 or FixedWidth"
            )


def vae(
    encoder: VectorNet,
    decoder: VectorNet,
    config: Vae,
    optimizer: optax.GradientTransformation,
    *,
    encode: Encode,
    n_components: int,
    ema_decay: float,
    terms: Sequence[PhysicsTerm] = (),
) -> GenerativeModel:
    """Make the generative model.

    Args:
        encoder: (event (b, n), cond (b, c)) -> mean and log variance of z, (b, 2 n_latent).
        decoder: (z (b, n_latent), cond (b, c)) -> means (b, n), or (b, 2 n) with widths of events.
        config: What is trained.
        optimizer: The optax transformation.
        encode: (key, datum) -> (event, condition).
        n_components: Length n of an event.
        ema_decay: Decay of the parameters' average per step.
        terms: Quantities whose distribution is made right, of events generated at the conditions of
            the batch: z ~ N(0, 1), with a buffer z ~ q(z | x, c).

    Returns:
        The model; its parameters are {"encoder": ..., "decoder": ...}, with "log_std" (n,) where
        each component has one width and "buffer" where there is one.
    """

    def init_params(key: Key, batch: Batch) -> Params:
        n_conditions = batch.data[1].shape[1]
        encoder_key, decoder_key = jax.random.split(key)
        params = {
            ENCODER: start(encoder, encoder_key, n_components, n_conditions),
            DECODER: start(decoder, decoder_key, config.n_latent, n_conditions),
        }
        if _has_common_width(config):
            params[LOG_STD] = jnp.zeros((n_components,))
        return params

    def loss_fn(key: Key, params: Params, batch: Batch) -> tuple[Scalar, Metrics]:
        latent_key, term_key = jax.random.split(key)
        keys, (events, conds) = event_keys(latent_key, batch), batch.data
        reconstruction, divergence, z = _parts(
            encoder, decoder, config, params, keys, events, conds
        )
        nats = jnp.mean(reconstruction), jnp.mean(divergence)
        loss = nats[0] + config.beta * nats[1]
        parts: Metrics = dict(zip(("reconstruction", "divergence"), nats, strict=True))
        if not terms:
            return loss, parts
        keys = event_keys(term_key, batch)
        if config.buffer is None:
            z = jax.vmap(lambda k: randn(jax.random.fold_in(k, 0), z.shape[1:]))(keys)
        generated = _observe(decoder, config, params, keys, z, conds)
        from_physics, measured = physics_loss(terms, events, generated, conds)
        return loss + from_physics, parts | measured

    def posterior(params: Params, events: Events, conds: Conds) -> tuple[Array, Array]:
        return _posterior(encoder, params, events, conds)

    def sample(key: Key, params: Params, cond: Cond) -> Event:
        latent_key, event_key = jax.random.split(key)
        if config.buffer is None:
            z = randn(latent_key, (config.n_latent,))
        else:
            z = draw_latent(latent_key, config.buffer, params[BUFFER], cond)
        return _observe(decoder, config, params, event_key[None], z[None], cond[None])[0]

    algorithm = minimise(init_params, loss_fn, optimizer, ema_decay)
    algorithm = with_buffer(algorithm, config.buffer, encode, posterior, config.n_latent)
    return GenerativeModel(algorithm, sample)


def vae_noise(decoder: VectorNet, config: Vae, n_components: int) -> NoiseMap | None:
    """Sampling as a function of z and the noise of the width, if it is learned.

    None with a buffer, from which z is drawn.
    """
    if config.buffer is not None:
        return None
    n_latent, has_noise = config.n_latent, isinstance(config.width, LearnedWidth)

    def event(noise: Array, params: Params, cond: Cond) -> Event:
        z = noise[None, :n_latent]
        centre, log_std = _decode(decoder, config, params, z, cond[None])
        eps = noise[None, n_latent:] if has_noise else 0.0
        return (centre + jnp.exp(log_std) * eps)[0]

    return NoiseMap(n_latent + has_noise * n_components, event)


def evaluate_vae(
    encoder: VectorNet, decoder: VectorNet, config: Vae, *, encode: Encode
) -> Callable[[Key, Params, Any], dict[str, Array]]:
    """The held-out loss and its parts, in nats of a standardised event.

    Returns:
        (key, averaged params, data with leading axis) -> {"validation_loss": with beta,
        "validation_reconstruction", "validation_divergence"}, means over the events. At beta = 1
        and with a learned width the loss is an upper bound of the mean of -log p(event | cond).
    """

    @jax.jit
    def evaluate(key: Key, params: Params, data: Any) -> dict[str, Array]:
        def of_event(row: tuple[Key, Any]) -> tuple[Array, Array]:
            encode_key, latent_key = jax.random.split(row[0])
            event, cond = encode(encode_key, row[1])
            one = latent_key[None], event[None], cond[None]
            reconstruction, divergence, _ = _parts(encoder, decoder, config, params, *one)
            return reconstruction[0], divergence[0]

        n = jax.tree.leaves(data)[0].shape[0]
        rows = (jax.random.split(key, n), data)
        found = map_events(of_event, rows, _EVALUATED_TOGETHER)
        reconstruction, divergence = (jnp.mean(part) for part in found)
        return {
            "validation_loss": reconstruction + config.beta * divergence,
            "validation_reconstruction": reconstruction,
            "validation_divergence": divergence,
        }

    return evaluate


def _parts(
    encoder: VectorNet,
    decoder: VectorNet,
    config: Vae,
    params: Params,
    keys: Key,
    events: Events,
    conds: Conds,
) -> tuple[Array, Array, Array]:
    """-log p(x | z, c) and the divergence, both (b,), in nats, and z (b, n_latent)."""
    mean, log_variance = _posterior(encoder, params, events, conds)
    eps = jax.vmap(lambda key: randn(key, mean.shape[1:]))(keys)
    z = mean + jnp.exp(0.5 * log_variance) * eps
    centre, log_std = _decode(decoder, config, params, z, conds)
    deviation = (events - centre) * jnp.exp(-log_std)
    nats = jnp.sum(0.5 * deviation**2 + log_std + _HALF_LOG_TWO_PI, axis=1)
    return nats, jax.vmap(latent_divergence)(mean, log_variance), z


def _posterior(
    encoder: VectorNet, params: Params, events: Events, conds: Conds
) -> tuple[Array, Array]:
    """Mean and log variance of q(z | x, c), (b, n_latent)."""
    mean, log_variance = jnp.split(encoder.apply(params[ENCODER], events, conds), 2, axis=1)
    return mean, log_variance


def _decode(
    decoder: VectorNet, config: Vae, params: Params, z: Array, conds: Conds
) -> tuple[Events, Array]:
    """Means and log standard deviations of p(x | z, c), of shapes that broadcast to (b, n)."""
    out = decoder.apply(params[DECODER], z, conds)
    width = config.width
    if isinstance(width, FixedWidth):
        return out, jnp.full((1, 1), math.log(width.std))
    centre, raw = jnp.split(out, 2, axis=1) if width.of_event else (out, params[LOG_STD][None])
    # The square root of the sum of two squares, by logarithms.
    return centre, 0.5 * jnp.logaddexp(2.0 * raw, 2.0 * math.log(width.smallest))


def _observe(
    decoder: VectorNet, config: Vae, params: Params, keys: Key, z: Array, conds: Conds
) -> Events:
    """Events (b, n) from p(x | z, c), each from its own key."""
    centre, log_std = _decode(decoder, config, params, z, conds)
    if isinstance(config.width, FixedWidth):
        return centre
    eps = jax.vmap(lambda key: randn(jax.random.fold_in(key, 1), centre.shape[1:]))(keys)
    return centre + jnp.exp(log_std) * eps


def _has_common_width(config: Vae) -> bool:
    return isinstance(config.width, LearnedWidth) and not config.width.of_event


def _require_positive(name: str, value: float) -> None:
    if not value > 0.0:
        raise InputError(f"VAE: expected {name} above 0, found {value}; choose 0.1, say")
