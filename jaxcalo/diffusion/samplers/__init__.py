"""Samplers: from noise to data down a grid of times, one small file a method."""

from jaxcalo.diffusion.samplers.base import EventState, Sampler, sample
from jaxcalo.diffusion.samplers.consistency import Consistency
from jaxcalo.diffusion.samplers.ddim import Ddim
from jaxcalo.diffusion.samplers.ddpm import Ddpm, LearnedVarianceDdpm
from jaxcalo.diffusion.samplers.dpm_solver import DpmSolver
from jaxcalo.diffusion.samplers.euler import Euler
from jaxcalo.diffusion.samplers.heun import Heun
from jaxcalo.diffusion.samplers.reverse_sde import ReverseSde
from jaxcalo.diffusion.samplers.unipc import UniPc

__all__ = [
    "Consistency",
    "Ddim",
    "Ddpm",
    "DpmSolver",
    "Euler",
    "EventState",
    "Heun",
    "LearnedVarianceDdpm",
    "ReverseSde",
    "Sampler",
    "UniPc",
    "sample",
]
