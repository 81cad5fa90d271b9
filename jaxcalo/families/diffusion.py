"""Diffusion as a family: its mathematics, a network, and how both train and sample."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jaxcalo.diffusion import (
    EDM,
    Cosine,
    Ddim,
    Ddpm,
    DenoiserFn,
    EDMWeight,
    EpsPrediction,
    LearnedVarianceDdpm,
    Linear,
    LogitNormalTime,
    LogNormalSigma,
    MinSnr,
    Sampler,
    ScorePrediction,
    Shifted,
    Sigmoid,
    Snr,
    UniformTime,
    Unit,
    VPrediction,
    X0Prediction,
    denoising_loss,
    drop_condition,
    estimate_vlb,
    fix_variance,
    guided,
    hybrid_loss,
    make_denoiser,
    make_variance_denoiser,
    q_sample,
    randn,
    sample,
)
from jaxcalo.diffusion.time_grids import uniform
from jaxcalo.errors import InputError
from jaxcalo.families.base import Encode, GenerativeModel, Net
from jaxcalo.training import Batch, Metrics, Ratio, minimise
from jaxcalo.typing import Cond, Event, Key, Params, Scalar

# Multiples of the golden ratio fill [0, 1) evenly whatever their number (Weyl's sequence): the
# noise levels of a batch, and of the part of it that one device has, are spread without knowing
# the batch size.
_GOLDEN = 0.6180339887498949
N_LEVELS = 8
_EVALUATED_TOGETHER = 32  # chosen: a U-Net's activations for so many showers are below 1 GB
# beta: on Gaussian data its bound lies 0.1 nats above the likelihood, the posterior variance's
# 1 nat (T = 1000, std 0.5).
_BOUND_VARIANCE = 1.0


@dataclasses.dataclass(frozen=True)
class Diffusion:
    """What is trained.

    Attributes:
        schedule: The noise schedule.
        parametrization: What the network predicts.
        weighting: Weight of the squared error in x_0 space. EDMWeight(1) is
            plain |v - v_hat|^2, Snr is L_simple.
        noise_levels: Distribution of the noise levels in training.
        condition_dropout: Share of training events without condition, for
            classifier-free guidance (0: no guidance).
        learned_variance: Learn the reverse variance by the hybrid loss (weighting and noise_levels
            are then those of the improved DDPM: L_simple and uniform).
        vlb_steps: Length of the chain in the variational bound.
    """

    schedule: Cosine | Linear | Sigmoid | Shifted = dataclasses.field(default_factory=Cosine)
    parametrization: EpsPrediction | X0Prediction | VPrediction | ScorePrediction | EDM = (
        dataclasses.field(default_factory=EDM)
    )
    weighting: Unit | Snr | MinSnr | EDMWeight = dataclasses.field(default_factory=EDMWeight)
    noise_levels: UniformTime | LogitNormalTime | LogNormalSigma = dataclasses.field(
        default_factory=UniformTime
    )
    condition_dropout: float = 0.0
    learned_variance: bool = False
    vlb_steps: int = 100

    def presence_flag(self) -> bool:
        """Whether conditions end in a component 1, which is 0 where the condition is dropped."""
        return self.condition_dropout > 0.0


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How a trained diffusion model samples.

    Attributes:
        sampler: Ddpm(...) or Ddim(...).
        n_steps: Steps from noise to shower; each evaluates the network once.
        guidance: Classifier-free guidance scale; 1 is none. A guided chain has the sampler's own
            variance, for a learned one belongs to the unguided mean.
    """

    sampler: Ddpm | Ddim = dataclasses.field(default_factory=Ddim)
    n_steps: int = 50
    guidance: float = 1.0


def diffusion(
    net: Net,
    config: Diffusion,
    sampling: Sampling,
    optimizer: optax.GradientTransformation,
    *,
    encode: Encode,
    n_components: int,
    ema_decay: float,
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

    Raises:
        InputError: Guidance is asked of a model that was trained without condition_dropout.
    """
    if sampling.guidance != 1.0 and not config.presence_flag():
        raise InputError(
            f"guidance: expected 1 for a model trained without condition dropout, "
            f"found {sampling.guidance}; train with --diffusion.condition-dropout 0.1"
        )

    def init_params(key: Key, batch: Batch) -> Params:
        event, cond = jax.eval_shape(encode, key, jax.tree.map(lambda x: x[0], batch.data))
        cond = jnp.zeros((1, cond.shape[0] + config.presence_flag()))
        return net.init(key, jnp.zeros((1, *event.shape)), jnp.zeros(1), cond)

    def sample_event(key: Key, params: Params, cond: Cond) -> Event:
        start_key, chain_key = jax.random.split(key)
        sampler = _sampler(net, params, config, sampling)
        x_T = randn(start_key, (n_components,))
        return sample(chain_key, sampler, x_T, uniform(sampling.n_steps), with_flag(config, cond))

    algorithm = minimise(init_params, _loss(net, config, encode), optimizer, ema_decay)
    return GenerativeModel(algorithm, sample_event)


def with_flag(config: Diffusion, cond: Cond) -> Cond:
    """Append the presence flag that classifier-free guidance needs."""
    return jnp.append(cond, 1.0) if config.presence_flag() else cond


def _sampler(net: Net, params: Params, config: Diffusion, sampling: Sampling) -> Sampler:
    is_guided = sampling.guidance != 1.0
    if config.learned_variance and isinstance(sampling.sampler, Ddpm) and not is_guided:
        denoiser = make_variance_denoiser(
            net.apply, params, config.schedule, config.parametrization
        )
        return LearnedVarianceDdpm()(config.schedule, denoiser)
    denoiser = _plain_denoiser(net, params, config)
    if is_guided:
        denoiser = guided(denoiser, sampling.guidance)
    return sampling.sampler(config.schedule, denoiser)


def _plain_denoiser(net: Net, params: Params, config: Diffusion) -> DenoiserFn:
    if not config.learned_variance:
        return make_denoiser(net.apply, params, config.schedule, config.parametrization)
    denoiser = make_variance_denoiser(net.apply, params, config.schedule, config.parametrization)
    return lambda x_t, t, cond: denoiser(x_t, t, cond)[0]


def _loss(net: Net, config: Diffusion, encode: Encode) -> Callable[..., tuple[Scalar, Metrics]]:
    schedule, parametrization = config.schedule, config.parametrization

    def corrupt(key: Key, u: Scalar, datum: Any) -> tuple[Event, Event, Scalar, Cond]:
        encode_key, noise_key, drop_key = jax.random.split(key, 3)
        x_0, cond = encode(encode_key, datum)
        t = config.noise_levels(u, schedule)
        x_t, _ = q_sample(noise_key, schedule, x_0, t)
        cond = with_flag(config, cond)
        if config.presence_flag():
            cond = drop_condition(drop_key, cond, config.condition_dropout)
        return x_0, x_t, t, cond

    def event_loss(x_0: Event, x_t: Event, t: Scalar, output: Event) -> Scalar:
        if config.learned_variance:
            return hybrid_loss(
                parametrization, schedule, x_0, x_t, t, output, n_steps=config.vlb_steps
            )
        return denoising_loss(parametrization, config.weighting, schedule, x_0, x_t, t, output)

    def loss_fn(key: Key, params: Params, batch: Batch) -> tuple[Scalar, Metrics]:
        level_key, event_key = jax.random.split(key)
        u = (jax.random.uniform(level_key) + _GOLDEN * batch.index.astype(jnp.float32)) % 1.0
        keys = jax.vmap(lambda i: jax.random.fold_in(event_key, i))(batch.index)
        x_0, x_t, t, cond = jax.vmap(corrupt)(keys, u, batch.data)
        c = jax.vmap(lambda t: parametrization.coefficients(schedule.alpha(t), schedule.sigma(t)))(
            t
        )
        output = net.apply(params, c.c_in[:, None] * x_t, c.c_noise, cond)
        losses = jax.vmap(event_loss)(x_0, x_t, t, output)
        return jnp.mean(losses), {"loss_by_noise_level": _by_level(losses, t)}

    return loss_fn


def _by_level(losses: Array, t: Array) -> Ratio:
    """Means of the loss in N_LEVELS equal bins of t."""
    level = jnp.minimum((t * N_LEVELS).astype(jnp.int32), N_LEVELS - 1)
    member = jax.nn.one_hot(level, N_LEVELS)
    return Ratio(jnp.mean(losses[:, None] * member, axis=0), jnp.mean(member, axis=0))


def evaluate_diffusion(
    net: Net, config: Diffusion, *, encode: Encode, n_levels: int = 16
) -> Callable[[Key, Params, Any], dict[str, Array]]:
    """The held-out loss and the variational bound.

    Returns:
        (key, params, data with leading axis) -> {"validation_loss", "vlb_nats_per_voxel"}, means
        over the events. The bound is of the standardised event, with the variance beta unless one
        is learned, estimated from `n_levels` of its terms for each event.
    """
    loss = _loss(net, config, encode)

    def vlb(key: Key, params: Params, datum: Any) -> Scalar:
        encode_key, vlb_key = jax.random.split(key)
        x_0, cond = encode(encode_key, datum)
        if config.learned_variance:
            denoiser = make_variance_denoiser(
                net.apply, params, config.schedule, config.parametrization
            )
        else:
            denoiser = fix_variance(_plain_denoiser(net, params, config), _BOUND_VARIANCE)
        times, cond = uniform(config.vlb_steps), with_flag(config, cond)
        return estimate_vlb(
            vlb_key, config.schedule, denoiser, x_0, times, cond, n_samples=n_levels
        )

    @jax.jit
    def evaluate(key: Key, params: Params, data: Any) -> dict[str, Array]:
        def of_event(row: tuple[Key, Array, Any]) -> tuple[Scalar, Scalar]:
            event_key, index, datum = row
            one = Batch(index[None], jax.tree.map(lambda x: x[None], datum))
            return loss(key, params, one)[0], vlb(event_key, params, datum)

        n = jax.tree.leaves(data)[0].shape[0]
        rows = (jax.random.split(key, n), jnp.arange(n), data)
        losses, bounds = jax.lax.map(of_event, rows, batch_size=_EVALUATED_TOGETHER)
        return {"validation_loss": jnp.mean(losses), "vlb_nats_per_voxel": jnp.mean(bounds)}

    return evaluate
