"""CaloClouds I: point clouds whose common features are in a latent z of the whole shower.

    training:    z = mean(cloud) + exp(log_variance(cloud) / 2) eps,  points denoised given z
    generation:  z ~ p(z | cond) of a normalizing flow,  points ~ the chain given z

    loss = |error of the points|^2 + kl_weight max(KL, kl_floor) + flow's negative log likelihood

The points' network may then look at each point alone: what they have in common it is told by z. The
flow is trained on z as it comes, without a say in it: its loss does not reach the encoder.

The paper's chain is T = 100 steps of `Ddpm` with beta_i = linspace(sqrt(1e-4), sqrt(0.02), T)^2, on
the noise that the network predicts (`EpsPrediction`, weighting `Snr`). Its product of 1 - beta_i is
0.48: at t = T, 48 % of the signal's variance is left, while generation starts from noise alone.
So take `Ddpm` with 100 steps on a schedule that ends in noise: `Linear` leaves 4e-5, `Cosine` as
much.

Source: Buhmann et al., CaloClouds, arXiv:2305.04847, section 3; the form is that of Luo and Hu,
arXiv:2103.01458, section 4.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jaxcalo.diffusion import randn
from jaxcalo.errors import InputError
from jaxcalo.families.base import Encode, GenerativeModel, Net
from jaxcalo.families.cloud_mask import Mask, cloud_mask, masked_net
from jaxcalo.families.diffusion import EVALUATED_TOGETHER, by_level, event_losses
from jaxcalo.families.map_events import map_events
from jaxcalo.families.process import Diffusion, check_maskable, event_keys
from jaxcalo.families.sampling import Sampling, check_guidance, draw
from jaxcalo.nets.cloud import POINT_SIZE
from jaxcalo.training import Batch, Metrics, minimise
from jaxcalo.typing import Cond, Conds, Event, Events, Key, Params, Scalar

DENOISER, ENCODER, PRIOR = "denoiser", "encoder", "prior"


class Encoder(Protocol):
    """From whole clouds to the distribution of their latents, batch first."""

    def init(self, key: Key, points: Array, mask: Array, cond: Conds, /) -> Params:
        """Random parameters."""
        ...

    def apply(
        self, params: Params, points: Array, mask: Array, cond: Conds, /
    ) -> tuple[Array, Array]:
        """Points (b, s, 4), mask (b, s), cond (b, c) -> mean and log variance, (b, n_latent)."""
        ...


class Prior(Protocol):
    """A conditional normalizing flow: a Linen module with these two methods, batch first.

    to_noise(z (b, n_latent), cond (b, c)) -> noise (b, n_latent) and log |d noise / dz| (b,);
    from_noise is its inverse and returns z alone.
    """

    def init(self, key: Key, z: Array, cond: Conds, /, *, method: str) -> Params:
        """Random parameters."""
        ...

    def apply(self, params: Params, z: Array, cond: Conds, /, *, method: str) -> Any:
        """Evaluate the method."""
        ...


@dataclasses.dataclass(frozen=True)
class LatentCloud:
    """The latent of a cloud.

    Attributes:
        n_latent: Its components.
        kl_weight: Weight of the divergence from the standard normal, in nats of a whole event,
            beside the points' mean square.
        kl_floor: The divergence below which an event is not pressed further. In nats, of each event
            rather than of the batch's mean as in the paper: an event's loss then depends on it
            alone.

    Raises:
        InputError: No component, or a negative weight or floor.
    """

    n_latent: int = 256
    kl_weight: float = 1e-3
    kl_floor: float = 1.0

    def __post_init__(self) -> None:
        if not (self.n_latent >= 1 and self.kl_weight >= 0.0 and self.kl_floor >= 0.0):
            raise InputError(
                "latent cloud: expected n_latent >= 1, kl_weight >= 0 and kl_floor >= 0, found "
                f"{self.n_latent}, {self.kl_weight} and {self.kl_floor}; choose 256, 1e-3, 1"
            )


def latent_cloud(
    net: Net,
    encoder: Encoder,
    prior: Prior,
    config: Diffusion,
    latent: LatentCloud,
    sampling: Sampling,
    optimizer: optax.GradientTransformation,
    prior_optimizer: optax.GradientTransformation,
    *,
    encode: Encode,
    n_components: int,
    ema_decay: float,
    mask: Mask = cloud_mask,
) -> GenerativeModel:
    """Make the generative model.

    Args:
        net: Denoises points; its conditions are [cond, z, n_points].
        encoder: Gives the latent's mean and log variance; its conditions are without n_points.
        prior: p(z | cond); its conditions are without n_points.
        config: What is trained; CaloClouds I has `EpsPrediction` and the weighting `Snr`.
        latent: The latent.
        sampling: How points are sampled; CaloClouds I has `Ddpm` with 100 steps.
        optimizer: Of net and encoder.
        prior_optimizer: Of the prior.
        encode: (key, datum) -> (event (4 s,), condition [cond, n_points]).
        n_components: Length of a sampled event; s of training may differ from batch to batch.
        ema_decay: Decay of the parameters' average per step.
        mask: Which components of an event are real.

    Returns:
        The model; its parameters are {"denoiser": ..., "encoder": ..., "prior": ...}.

    Raises:
        InputError: Settings that padded events do not know, or guidance.
    """
    check_maskable(config, mask)
    check_guidance(config, sampling.guidance)
    hidden = masked_net(net, mask)

    def init_params(key: Key, batch: Batch) -> Params:
        event, cond = jax.eval_shape(encode, key, jax.tree.map(lambda x: x[0], batch.data))
        keys = jax.random.split(key, 3)
        events, given = jnp.zeros((1, *event.shape)), jnp.zeros((1, cond.shape[0] - 1))
        z = jnp.zeros((1, latent.n_latent))
        told = jnp.zeros((1, cond.shape[0] + latent.n_latent))
        return {
            DENOISER: net.init(keys[0], events, jnp.zeros(1), told),
            ENCODER: encoder.init(keys[1], *_cloud(mask, events, jnp.zeros((1, *cond.shape)))),
            PRIOR: prior.init(keys[2], z, given, method="to_noise"),
        }

    def sample(key: Key, params: Params, cond: Cond) -> Event:
        latent_key, chain_key = jax.random.split(key)
        noise = randn(latent_key, (1, latent.n_latent))
        z = prior.apply(params[PRIOR], noise, cond[None, :-1], method="from_noise")[0]
        return draw(
            chain_key,
            hidden,
            config,
            sampling,
            n_components,
            params[DENOISER],
            latent_condition(cond, z),
            mask,
        )

    parts_of = _parts(hidden, encoder, prior, config, latent, mask)

    def loss_fn(key: Key, params: Params, batch: Batch) -> tuple[Scalar, Metrics]:
        parts, levels = parts_of(key, params, _encoded(key, encode, batch))
        return parts.pop("loss"), {f"loss_{name}": part for name, part in parts.items()} | levels

    both = optax.multi_transform(
        {"points": optimizer, PRIOR: prior_optimizer},
        {DENOISER: "points", ENCODER: "points", PRIOR: PRIOR},
    )
    return GenerativeModel(minimise(init_params, loss_fn, both, ema_decay), sample)


def evaluate_latent_cloud(
    net: Net,
    encoder: Encoder,
    prior: Prior,
    config: Diffusion,
    latent: LatentCloud,
    encode: Encode,
    mask: Mask = cloud_mask,
) -> Callable[[Key, Params, Any], dict[str, Array]]:
    """The held-out loss and its parts.

    Returns:
        (key, params, data with leading axis, all padded alike) -> "validation_loss", and its parts
        "validation_loss_mse" (of the points), "validation_loss_kl" (of the latent, nats an event,
        before floor and weight) and "validation_loss_flow" (negative log likelihood of the latent,
        nats a component); means over the events.
    """
    check_maskable(config, mask)
    parts_of = _parts(masked_net(net, mask), encoder, prior, config, latent, mask)

    @jax.jit
    def evaluate(key: Key, params: Params, data: Any) -> dict[str, Array]:
        def of_event(row: tuple[Array, Any]) -> dict[str, Scalar]:
            index, datum = row
            one = Batch(index[None], jax.tree.map(lambda x: x[None], datum))
            return parts_of(key, params, _encoded(key, encode, one))[0]

        rows = (jnp.arange(jax.tree.leaves(data)[0].shape[0]), data)
        found = map_events(of_event, rows, EVALUATED_TOGETHER)
        whole = "validation_loss"
        names = {name: whole if name == "loss" else f"{whole}_{name}" for name in found}
        return {names[name]: jnp.mean(part) for name, part in found.items()}

    return evaluate


def latent_condition(cond: Cond, z: Array) -> Cond:
    """[cond, z, n_points]: what the denoiser is told."""
    return jnp.concatenate([cond[:-1], z, cond[-1:]])


def latent_divergence(mean: Array, log_variance: Array) -> Scalar:
    """KL(N(mean, exp(log_variance)) || N(0, 1)) of one event in nats, summed over the latent.

    (1/2) sum (mean^2 + exp(log_variance) - 1 - log_variance)
    """
    return 0.5 * jnp.sum(mean**2 + jnp.expm1(log_variance) - log_variance)


def _cloud(mask: Mask, events: Events, conds: Conds) -> tuple[Array, Array, Conds]:
    """Points (b, s, 4), their mask (b, s) and the conditions without n_points, for an encoder."""
    real = jax.vmap(lambda cond: mask(cond, events.shape[1]))(conds) > 0
    points = events.reshape(len(events), -1, POINT_SIZE)
    return points, real.reshape(points.shape)[..., 0], conds[:, :-1]


def _encoded(key: Key, encode: Encode, batch: Batch) -> Batch:
    keys = event_keys(jax.random.fold_in(key, 1), batch)
    return Batch(batch.index, jax.vmap(encode)(keys, batch.data))


def _parts(
    net: Net, encoder: Encoder, prior: Prior, config: Diffusion, latent: LatentCloud, mask: Mask
) -> Callable[[Key, Params, Batch], tuple[dict[str, Scalar], Metrics]]:
    """(key, params, encoded batch) -> the loss and its parts, and the loss by noise level."""
    losses_of = event_losses(net, config, mask)

    def negative_log_likelihood(params: Params, z: Array, cond: Conds) -> Scalar:
        noise, log_det = prior.apply(params, z, cond, method="to_noise")
        nats = 0.5 * jnp.sum(noise**2, axis=1) - log_det
        return jnp.mean(nats) / z.shape[1] + 0.5 * math.log(2 * math.pi)

    def parts_of(key: Key, params: Params, batch: Batch) -> tuple[dict[str, Scalar], Metrics]:
        latent_key, points_key = jax.random.split(key)
        events, conds = batch.data
        mean, log_variance = encoder.apply(params[ENCODER], *_cloud(mask, events, conds))
        eps = jax.vmap(lambda k: randn(k, mean.shape[1:]))(event_keys(latent_key, batch))
        z = mean + jnp.exp(log_variance / 2) * eps
        told = jax.vmap(latent_condition)(conds, z)
        losses, t = losses_of(points_key, params[DENOISER], Batch(batch.index, (events, told)))
        divergences = jax.vmap(latent_divergence)(mean, log_variance)
        pressed = jnp.mean(jnp.maximum(divergences, latent.kl_floor))
        detached = jax.lax.stop_gradient(z)
        flow = negative_log_likelihood(params[PRIOR], detached, conds[:, :-1])
        mse, kl = jnp.mean(losses), jnp.mean(divergences)
        loss = mse + latent.kl_weight * pressed + flow
        parts = {"loss": loss, "mse": mse, "kl": kl, "flow": flow}
        return parts, {"loss_by_noise_level": by_level(losses, t)}

    return parts_of
