"""How a trained network samples: a sampler, a grid of times, guidance."""

import dataclasses

import jax
from jax import Array

from jaxcalo.diffusion import (
    Consistency,
    Ddim,
    Ddpm,
    DpmSolver,
    Euler,
    Heun,
    LearnedVarianceDdpm,
    ReverseSde,
    Sampler,
    UniPc,
    guided,
    make_variance_denoiser,
    randn,
    sample,
)
from jaxcalo.diffusion.schedules import prior_std
from jaxcalo.diffusion.time_grids import Karras, Quadratic, Searched, Uniform, UniformLogSnr
from jaxcalo.errors import InputError
from jaxcalo.families.base import Net, NoiseMap
from jaxcalo.families.cloud_mask import Mask, masked
from jaxcalo.families.process import Diffusion, plain_denoiser, with_flag
from jaxcalo.typing import Cond, Event, Key, Params

SamplerConfig = Ddpm | Ddim | Euler | Heun | DpmSolver | UniPc | ReverseSde | Consistency
GridConfig = Uniform | Quadratic | UniformLogSnr | Karras | Searched


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How a trained diffusion model samples.

    Attributes:
        sampler: The method. Consistency() is for models of that kind alone.
        n_steps: Steps from noise to shower.
        grid: Where the steps are.
        guidance: Classifier-free guidance scale; 1 is none. A guided chain has the sampler's own
            variance, for a learned one belongs to the unguided mean.
    """

    sampler: SamplerConfig = dataclasses.field(default_factory=DpmSolver)
    n_steps: int = 16
    grid: GridConfig = dataclasses.field(default_factory=UniformLogSnr)
    guidance: float = 1.0

    @property
    def n_evaluations(self) -> int:
        """Evaluations of the network for one shower."""
        return self.sampler.n_evaluations(self.n_steps) * (2 if self.guidance != 1.0 else 1)


def check_guidance(config: Diffusion, scale: float) -> None:
    """Raise InputError if guidance is asked of a network that knows no absent condition."""
    if scale != 1.0 and not config.presence_flag():
        raise InputError(
            f"guidance: expected 1 for a model trained without condition dropout, "
            f"found {scale}; train with --diffusion.condition-dropout 0.1"
        )


def check_student_guidance(config: Diffusion, sampling: Sampling, teacher_guidance: float) -> None:
    """Raise InputError if a student is sampled with guidance, or its teacher knows none."""
    check_guidance(config, teacher_guidance)
    if sampling.guidance != 1.0:
        raise InputError(
            f"guidance: expected 1 for a student, which has learned its teacher's, "
            f"found {sampling.guidance}; distil with --teacher.guidance {sampling.guidance}"
        )


def draw(
    key: Key,
    net: Net,
    config: Diffusion,
    sampling: Sampling,
    n_components: int,
    params: Params,
    cond: Cond,
    mask: Mask | None = None,
) -> Event:
    """Draw one event, standardised; with a mask, whose network is a `MaskedNet`, padded by zeros.

    Noise that a sampler adds on padding on its way reaches neither the network nor the event.
    """
    start_key, chain_key = jax.random.split(key)
    sampler = _sampler(net, params, config, sampling)
    x_T = prior_std(config.schedule) * masked(mask, cond, randn(start_key, (n_components,)))
    times = sampling.grid(config.schedule, sampling.n_steps)
    event = sample(chain_key, sampler, x_T, times, with_flag(config, cond))
    return masked(mask, cond, event)


def noise_map(
    net: Net, config: Diffusion, sampling: Sampling, n_components: int
) -> NoiseMap | None:
    """`draw` as a function of its noise; None for a sampler that draws more than one step needs.

    A consistency function takes n_components numbers a step, for it starts anew from each; the
    other samplers that draw nothing on their way take n_components in all. With the noise that
    `draw` starts from, the event is `draw`'s.
    """
    if _draws(sampling.sampler):
        return None
    is_consistency = isinstance(sampling.sampler, Consistency)
    n_noise = n_components * (sampling.n_steps if is_consistency else 1)

    def event(noise: Array, params: Params, cond: Cond) -> Event:
        first, *others = noise.reshape(-1, n_components)
        x_T = prior_std(config.schedule) * first
        with jax.ensure_compile_time_eval():  # numbers, where a file of the program is written
            times = sampling.grid(config.schedule, sampling.n_steps)
        given = with_flag(config, cond)
        if not is_consistency:
            return sample(None, _sampler(net, params, config, sampling), x_T, times, given)
        denoiser = plain_denoiser(net, params, config)
        x_0 = denoiser(x_T, times[0], given)
        for z, t in zip(others, times[1:-1], strict=True):
            x_t = config.schedule.alpha(t) * x_0 + config.schedule.sigma(t) * z
            x_0 = denoiser(x_t, t, given)
        return x_0

    return NoiseMap(n_noise, event)


def _draws(sampler: SamplerConfig) -> bool:
    """Whether a sampler needs noise on its way; consistency's is `noise_map`'s affair."""
    match sampler:
        case Ddpm() | ReverseSde():
            return True
        case Ddim(eta=share) | DpmSolver(eta=share) | Heun(churn=share):
            return share > 0.0
        case _:
            return False


def _sampler(net: Net, params: Params, config: Diffusion, sampling: Sampling) -> Sampler:
    is_guided = sampling.guidance != 1.0
    if config.learned_variance and isinstance(sampling.sampler, Ddpm) and not is_guided:
        denoiser = make_variance_denoiser(
            net.apply, params, config.schedule, config.parametrization
        )
        return LearnedVarianceDdpm()(config.schedule, denoiser)
    denoiser = plain_denoiser(net, params, config)
    if is_guided:
        denoiser = guided(denoiser, sampling.guidance)
    return sampling.sampler(config.schedule, denoiser)
