"""Diffusion as a family: how a network learns to denoise, samples, and is judged by its bound.

Losses from physics see events that are drawn as the model samples, the gradient passing through the
whole chain. A denoised event would cost no evaluation, but it is the mean of the events it may have
been: its observables are narrower than the data's, or elsewhere, at every noise level from which
they are not known anyway. No weighting by noise level helped: for six numbers whose radius has a
narrow peak, W1 of the radius rose by a third with weights (SNR / (1 + SNR))^4 and stayed the same
within 3 % with (SNR / (S + SNR))^4, S = 10, 100 and 1000. A term of drawn events halved it at equal
steps and lowered it by about a third at equal time (one or two trainings each).

Source: Clark et al. 2023 (arXiv:2309.17400), gradients through a chain of denoising.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jaxcalo.diffusion import (
    denoising_loss,
    drop_condition,
    estimate_vlb,
    fix_variance,
    hybrid_loss,
    log_likelihood,
    make_variance_denoiser,
    pair_by_transport,
    randn,
)
from jaxcalo.diffusion.time_grids import uniform, uniform_log_snr
from jaxcalo.families.base import Encode, GenerativeModel, Net
from jaxcalo.families.cloud_mask import Mask, masked, masked_net, mean_scale
from jaxcalo.families.map_events import map_events
from jaxcalo.families.physics import PhysicsTerm, physics_loss
from jaxcalo.families.process import (
    Diffusion,
    check_maskable,
    event_keys,
    initialiser,
    plain_denoiser,
    repeated,
    spread_levels,
    with_flag,
)
from jaxcalo.families.sampling import Sampling, check_guidance, draw
from jaxcalo.training import Batch, Metrics, Ratio, minimise
from jaxcalo.typing import Cond, Conds, Event, Events, Key, Params, Scalar

N_LEVELS = 8
EVALUATED_TOGETHER = 32  # chosen: a U-Net's activations for so many showers are below 1 GB
# beta: on Gaussian data its bound lies 0.1 nats above the likelihood, the posterior variance's
# 1 nat (T = 1000, std 0.5).
_BOUND_VARIANCE = 1.0
_LIKELIHOOD_STEPS = 50
# Chosen: a chain of 16 evaluations then costs two steps of denoising.
_EVENTS_PER_DRAW = 8
_DRAWS = 2  # folded into a step's key for the noise of drawn events


def diffusion(
    net: Net,
    config: Diffusion,
    sampling: Sampling,
    optimizer: optax.GradientTransformation,
    *,
    encode: Encode,
    n_components: int,
    ema_decay: float,
    mask: Mask | None = None,
    terms: Sequence[PhysicsTerm] = (),
) -> GenerativeModel:
    """Make the generative model.

    Args:
        net: The network; with a learned variance it returns (b, 2 n).
        config: What is trained.
        sampling: How it samples.
        optimizer: The optax transformation.
        encode: (key, datum) -> (event, condition): preprocessing, and augmentation if wanted.
        n_components: Length n of an event.
        ema_decay: Decay of the parameters' average per step.
        mask: Which components of an event are real; None: all. Padding, where events are zero, then
            has no influence, and samples are zero there. Such a model has no log_prob.
        terms: Losses from physics, of one event drawn by `sampling` for every 8 of the batch: a
            step then takes the time of about 1 + n_evaluations / 8. Weights around 0.2 left the
            other observables as they were.

    Raises:
        InputError: Guidance is asked of a model that was trained without condition_dropout, or
            settings that padded events do not know.
    """
    check_guidance(config, sampling.guidance)
    check_maskable(config, mask)
    net = masked_net(net, mask)

    def sample_event(key: Key, params: Params, cond: Cond) -> Event:
        return draw(key, net, config, sampling, n_components, params, cond, mask)

    def log_prob(key: Key, params: Params, event: Event, cond: Cond) -> Scalar:
        times = uniform_log_snr(config.schedule, _LIKELIHOOD_STEPS)
        denoiser = plain_denoiser(net, params, config)
        flagged = with_flag(config, cond)
        return log_likelihood(key, config.schedule, denoiser, event, flagged, times, n_probes=1)

    physics = _drawn_physics(tuple(terms), config, sample_event) if terms else None
    loss = _loss(net, config, encode, mask, physics)
    algorithm = minimise(initialiser(net, config, encode), loss, optimizer, ema_decay)
    return GenerativeModel(algorithm, sample_event, log_prob if mask is None else None)


# (key, params, batch, its events and conditions as encoded) -> loss, metrics.
_Physics = Callable[[Key, Params, Batch, Events, Conds], tuple[Scalar, Metrics]]


def _drawn_physics(
    terms: tuple[PhysicsTerm, ...],
    config: Diffusion,
    sample_event: Callable[[Key, Params, Cond], Event],
) -> _Physics:
    """The terms of events drawn at the conditions of every 8th event of the batch.

    They are the same events however many devices share the batch, if 8 divides each one's part.
    """

    def loss(
        key: Key, params: Params, batch: Batch, events: Events, conds: Conds
    ) -> tuple[Scalar, Metrics]:
        conds = conds[:, : conds.shape[1] - config.presence_flag()]
        # Two events at least: one has no distances to others.
        chosen = slice(None, None, max(1, min(_EVENTS_PER_DRAW, len(events) // 2)))
        keys = event_keys(key, batch)[chosen]
        drawn = jax.vmap(sample_event, (0, None, 0))(keys, params, conds[chosen])
        return physics_loss(terms, events, drawn, conds, generated_conds=conds[chosen])

    return loss


def _loss(
    net: Net,
    config: Diffusion,
    encode: Encode,
    mask: Mask | None,
    physics: _Physics | None = None,
) -> Callable[..., tuple[Scalar, Metrics]]:
    losses_of = event_losses(net, config, mask)

    def encoded(key: Key, datum: Any) -> tuple[Event, Cond]:
        encode_key, _, _ = jax.random.split(key, 3)
        x_0, cond = encode(encode_key, datum)
        return x_0, with_flag(config, cond)

    def loss_fn(key: Key, params: Params, batch: Batch) -> tuple[Scalar, Metrics]:
        _, event_key = jax.random.split(key)
        events = jax.vmap(encoded)(event_keys(event_key, batch), batch.data)
        losses, t = losses_of(key, params, Batch(batch.index, events))
        loss = jnp.mean(losses)
        metrics: Metrics = {"loss_by_noise_level": by_level(losses, t)}
        if physics is None:
            return loss, metrics
        draw_key = jax.random.fold_in(key, _DRAWS)
        further, measured = physics(draw_key, params, batch, *events)
        return loss + further, metrics | measured | {"loss_denoising": loss}

    return loss_fn


def event_losses(
    net: Net, config: Diffusion, mask: Mask | None
) -> Callable[[Key, Params, Batch], tuple[Array, Array]]:
    """The loss after encoding, by one batched evaluation of the network.

    Args:
        net: The network, behind its mask if there is one.
        config: What is trained.
        mask: Which components are real; each loss is a mean over these.

    Returns:
        (key, params, batch whose data are events (b, n) and conditions (b, c), which may depend on
        other parameters) -> losses and their times, both (b noises_per_event,).
    """
    schedule, parametrization = config.schedule, config.parametrization

    def noise(key: Key, u: Scalar, event: tuple[Event, Cond]) -> tuple[Event, Scalar, Cond]:
        x_0, cond = event
        _, noise_key, drop_key = jax.random.split(key, 3)
        eps = masked(mask, cond, randn(noise_key, x_0.shape, x_0.dtype))
        if config.presence_flag():
            cond = drop_condition(drop_key, cond, config.condition_dropout)
        return eps, config.noise_levels(u, schedule), cond

    def paired(key: Key, x_0: Events, eps: Events, cond: Conds) -> Events:
        pairing = config.pairing
        if pairing is None:
            return eps
        return eps[
            pair_by_transport(
                key,
                x_0,
                eps,
                cond,
                condition_weight=pairing.condition_weight,
                regularisation=pairing.regularisation,
                n_iterations=pairing.n_iterations,
            )
        ]

    def event_loss(x_0: Event, x_t: Event, t: Scalar, output: Event, cond: Cond) -> Scalar:
        if config.learned_variance:
            return hybrid_loss(
                parametrization, schedule, x_0, x_t, t, output, n_steps=config.vlb_steps
            )
        loss = denoising_loss(parametrization, config.weighting, schedule, x_0, x_t, t, output)
        return mean_scale(mask, cond, x_0.shape[0]) * loss

    def losses_of(key: Key, params: Params, batch: Batch) -> tuple[Array, Array]:
        level_key, event_key = jax.random.split(key)
        batch = repeated(batch, config.noises_per_event)
        keys, u = event_keys(event_key, batch), spread_levels(level_key, batch)
        x_0, _ = batch.data
        eps, t, cond = jax.vmap(noise)(keys, u, batch.data)
        eps = paired(jax.random.fold_in(level_key, 1), x_0, eps, cond)
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        x_t = alpha[:, None] * x_0 + sigma[:, None] * eps
        c = jax.vmap(parametrization.coefficients)(alpha, sigma)
        output = net.apply(params, c.c_in[:, None] * x_t, c.c_noise, cond)
        return jax.vmap(event_loss)(x_0, x_t, t, output, cond), t

    return losses_of


def by_level(losses: Array, t: Array) -> Ratio:
    """Means of the loss in N_LEVELS equal bins of t."""
    level = jnp.minimum((t * N_LEVELS).astype(jnp.int32), N_LEVELS - 1)
    member = jax.nn.one_hot(level, N_LEVELS)
    return Ratio(jnp.mean(losses[:, None] * member, axis=0), jnp.mean(member, axis=0))


def evaluate_diffusion(
    net: Net,
    config: Diffusion,
    *,
    encode: Encode,
    n_levels: int = 16,
    mask: Mask | None = None,
) -> Callable[[Key, Params, Any], dict[str, Array]]:
    """The held-out loss and the variational bound; with a mask, the loss alone.

    Returns:
        (key, params, data with leading axis) -> {"validation_loss", "vlb_nats_per_voxel"}, means
        over the events. The bound is of the standardised event, with the variance beta unless one
        is learned, estimated from `n_levels` of its terms for each event.
    """
    check_maskable(config, mask)
    net = masked_net(net, mask)
    loss = _loss(net, config, encode, mask)

    def vlb(key: Key, params: Params, datum: Any) -> Scalar:
        encode_key, vlb_key = jax.random.split(key)
        x_0, cond = encode(encode_key, datum)
        if config.learned_variance:
            denoiser = make_variance_denoiser(
                net.apply, params, config.schedule, config.parametrization
            )
        else:
            denoiser = fix_variance(plain_denoiser(net, params, config), _BOUND_VARIANCE)
        times, cond = uniform(config.vlb_steps), with_flag(config, cond)
        return estimate_vlb(
            vlb_key, config.schedule, denoiser, x_0, times, cond, n_samples=n_levels
        )

    @jax.jit
    def evaluate(key: Key, params: Params, data: Any) -> dict[str, Array]:
        def of_event(row: tuple[Key, Array, Any]) -> dict[str, Scalar]:
            event_key, index, datum = row
            one = Batch(index[None], jax.tree.map(lambda x: x[None], datum))
            found = {"validation_loss": loss(key, params, one)[0]}
            if mask is not None:
                return found
            return found | {"vlb_nats_per_voxel": vlb(event_key, params, datum)}

        n = jax.tree.leaves(data)[0].shape[0]
        rows = (jax.random.split(key, n), jnp.arange(n), data)
        found = map_events(of_event, rows, EVALUATED_TOGETHER)
        return jax.tree.map(jnp.mean, found)

    return evaluate
