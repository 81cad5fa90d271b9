"""Generative families, one a file.

Each gives a GenerativeModel that the same loop trains and the same `generate` runs.
"""

from jaxcalo.families.base import Encode, GenerativeModel, Net, generate, generate_chunks
from jaxcalo.families.diffusion import Diffusion, Sampling, diffusion, evaluate_diffusion

__all__ = [
    "Diffusion",
    "Encode",
    "GenerativeModel",
    "Net",
    "Sampling",
    "diffusion",
    "evaluate_diffusion",
    "generate",
    "generate_chunks",
]
