"""Samplers: from noise to data down a grid of times, one small file a method."""

from jaxcalo.diffusion.samplers.base import EventState, Sampler, sample
from jaxcalo.diffusion.samplers.ddim import Ddim
from jaxcalo.diffusion.samplers.ddpm import Ddpm, LearnedVarianceDdpm

__all__ = ["Ddim", "Ddpm", "EventState", "LearnedVarianceDdpm", "Sampler", "sample"]
