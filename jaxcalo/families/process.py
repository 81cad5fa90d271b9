"""The forward process that diffusion and its few-step students share, and their network in it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxcalo.diffusion import (
    EDM,
    Cosine,
    DenoiserFn,
    EDMWeight,
    EpsPrediction,
    FlowVelocity,
    FlowWeight,
    Linear,
    LogitNormalTime,
    LogNormalSigma,
    MinSnr,
    RectifiedFlow,
    ScorePrediction,
    Shifted,
    Sigmoid,
    Snr,
    UniformTime,
    Unit,
    VarianceExploding,
    VPrediction,
    X0Prediction,
    make_denoiser,
    make_variance_denoiser,
    randn,
)
from jaxcalo.errors import InputError
from jaxcalo.families.base import Encode, Net
from jaxcalo.families.cloud_mask import Mask, masked
from jaxcalo.training import Batch
from jaxcalo.typing import Cond, Conds, Event, Events, Key, Params

# Multiples of the golden ratio fill [0, 1) evenly whatever their number (Weyl's sequence): the
# noise levels of a batch, and of the part of it that one device has, are spread without knowing
# the batch size.
_GOLDEN = 0.6180339887498949


@dataclasses.dataclass(frozen=True)
class TransportPairing:
    """Pair the events of a batch with its noises so that their paths cross less.

    Each device pairs its own events, so that a step depends on the number of devices.

    Attributes:
        condition_weight: Price of pairing across conditions, in squared standardised conditions;
            large keeps each event's noise independent of its condition.
        regularisation: Blur of the pairing, in mean squared distances per component.
        n_iterations: Of Sinkhorn's algorithm.
    """

    condition_weight: float = 3.0
    regularisation: float = 0.02
    n_iterations: int = 100


@dataclasses.dataclass(frozen=True)
class Diffusion:
    """What is trained.

    Attributes:
        schedule: The noise schedule.
        parametrization: What the network predicts.
        weighting: Weight of the squared error in x_0 space. EDMWeight(1) is
            plain |v - v_hat|^2, Snr is L_simple, FlowWeight is flow matching's.
        noise_levels: Distribution of the noise levels in training.
        pairing: Pair events and noises by optimal transport (for flow matching).
        condition_dropout: Share of training events without condition, for
            classifier-free guidance (0: no guidance).
        noises_per_event: Noise levels that each event of a batch is trained at in one step: more
            updates' worth from few events, for networks that cost less than their data.
        learned_variance: Learn the reverse variance by the hybrid loss (weighting and noise_levels
            are then those of the improved DDPM: L_simple and uniform).
        vlb_steps: Length of the chain in the variational bound.
    """

    schedule: Cosine | Linear | Sigmoid | Shifted | VarianceExploding | RectifiedFlow = (
        dataclasses.field(default_factory=Cosine)
    )
    parametrization: (
        EpsPrediction | X0Prediction | VPrediction | ScorePrediction | EDM | FlowVelocity
    ) = dataclasses.field(default_factory=EDM)
    weighting: Unit | Snr | MinSnr | EDMWeight | FlowWeight = dataclasses.field(
        default_factory=EDMWeight
    )
    noise_levels: UniformTime | LogitNormalTime | LogNormalSigma = dataclasses.field(
        default_factory=UniformTime
    )
    pairing: TransportPairing | None = None
    condition_dropout: float = 0.0
    noises_per_event: int = 1
    learned_variance: bool = False
    vlb_steps: int = 100

    def __post_init__(self) -> None:
        if self.noises_per_event < 1:
            raise InputError(
                f"noises_per_event: expected at least 1, found {self.noises_per_event}"
            )

    def presence_flag(self) -> bool:
        """Whether conditions end in a component 1, which is 0 where the condition is dropped."""
        return self.condition_dropout > 0.0


def with_flag(config: Diffusion, cond: Cond) -> Cond:
    """Append the presence flag that classifier-free guidance needs."""
    return jnp.append(cond, 1.0) if config.presence_flag() else cond


def initialiser(net: Net, config: Diffusion, encode: Encode) -> Callable[[Key, Batch], Params]:
    """(key, batch) -> random parameters of a network that fits the encoded events."""

    def init_params(key: Key, batch: Batch) -> Params:
        event, cond = jax.eval_shape(encode, key, jax.tree.map(lambda x: x[0], batch.data))
        n_conditions = cond.shape[0] + config.presence_flag()
        shapes = ((1, *event.shape), (1,), (1, n_conditions))
        return net.init(key, *(jnp.zeros(shape) for shape in shapes))

    return init_params


def plain_denoiser(net: Net, params: Params, config: Diffusion) -> DenoiserFn:
    """The denoiser of one event; a learned variance is left aside."""
    if not config.learned_variance:
        return make_denoiser(net.apply, params, config.schedule, config.parametrization)
    denoiser = make_variance_denoiser(net.apply, params, config.schedule, config.parametrization)
    return lambda x_t, t, cond: denoiser(x_t, t, cond)[0]


def denoise(
    net: Net, config: Diffusion, params: Params, x_t: Events, t: Array, cond: Conds
) -> Events:
    """x_0_hat of a batch by one batched evaluation, as gradients of the parameters need it.

    A vmapped `plain_denoiser` gives the same, but its matrix products have three axes, whose
    gradients are slow on CPU.
    """
    schedule, parametrization = config.schedule, config.parametrization
    c = jax.vmap(lambda t: parametrization.coefficients(schedule.alpha(t), schedule.sigma(t)))(t)
    output = net.apply(params, c.c_in[:, None] * x_t, c.c_noise, cond)
    output = output[:, : x_t.shape[1]]  # a learned variance is left aside
    return c.c_skip[:, None] * x_t + c.c_out[:, None] * output


def spread_levels(key: Key, batch: Batch) -> Array:
    """Numbers in [0, 1), one an event, evenly spread over the global batch."""
    return (jax.random.uniform(key) + _GOLDEN * batch.index.astype(jnp.float32)) % 1.0


def repeated(batch: Batch, times: int) -> Batch:
    """Each event several times, at places of their own in the global batch."""
    if times == 1:
        return batch
    index = times * batch.index[:, None] + jnp.arange(times, dtype=batch.index.dtype)
    return Batch(index.reshape(-1), jax.tree.map(lambda x: jnp.repeat(x, times, 0), batch.data))


def event_keys(key: Key, batch: Batch) -> Key:
    """One key an event, the same however many devices share the batch."""
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(batch.index)


def event_noise_pairs(
    key: Key, config: Diffusion, encode: Encode, batch: Batch, mask: Mask | None = None
) -> tuple[Events, Events, Conds]:
    """x_0, eps and the conditions of a batch, as students see them; eps is zero on padding."""

    def prepare(key: Key, datum: Any) -> tuple[Event, Event, Cond]:
        encode_key, noise_key = jax.random.split(key)
        x_0, cond = encode(encode_key, datum)
        eps = masked(mask, cond, randn(noise_key, x_0.shape, x_0.dtype))
        return x_0, eps, with_flag(config, cond)

    return jax.vmap(prepare)(event_keys(key, batch), batch.data)


def noised(config: Diffusion, x_0: Events, eps: Events, t: Array) -> Events:
    """x_t of a batch, each event at its own time."""
    alpha, sigma = config.schedule.alpha(t), config.schedule.sigma(t)
    return alpha[:, None] * x_0 + sigma[:, None] * eps


def starting_from(
    teacher: Params | None, net: Net, config: Diffusion, encode: Encode
) -> Callable[[Key, Batch], Params]:
    """(key, batch) -> the teacher's parameters, random ones if there is no teacher."""
    if teacher is None:
        return initialiser(net, config, encode)
    return lambda _key, _batch: jax.tree.map(jnp.asarray, teacher)


def check_maskable(config: Diffusion, mask: Mask | None) -> None:
    """Raise InputError for settings that padded events do not know.

    A dropped condition would hide the number of points, on which the mask depends, too; paired
    events would exchange noises of different numbers of points; a learned variance has two numbers
    a component.
    """
    settings = {
        "condition_dropout": (config.condition_dropout, 0.0),
        "pairing": (config.pairing, None),
        "learned_variance": (config.learned_variance, False),
    }
    for name, (found, expected) in settings.items():
        if mask is not None and found != expected:
            option = name.replace("_", "-")
            raise InputError(
                f"{name}: expected {expected} for point clouds, found {found}; "
                f"leave out --diffusion.{option}"
            )


def require_plain(config: Diffusion, method: str) -> None:
    """Raise InputError for a learned variance, which a student has no use for."""
    if config.learned_variance:
        raise InputError(
            f"{method}: expected a model without learned variance, found one with it; "
            "train it with --diffusion.learned-variance False"
        )
