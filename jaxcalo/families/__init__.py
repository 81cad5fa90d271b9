"""Generative families, one a file.

Each gives a GenerativeModel that the same loop trains and the same `generate` runs.
"""

from jaxcalo.families.base import (
    Encode,
    GenerativeModel,
    Net,
    generate,
    generate_chunks,
    whole_chunk,
)
from jaxcalo.families.consistency import (
    ConsistencyDistillation,
    ConsistencyTraining,
    consistency,
)
from jaxcalo.families.diffusion import diffusion, evaluate_diffusion
from jaxcalo.families.grid_search import GridSearch, search_grid
from jaxcalo.families.process import Diffusion, TransportPairing
from jaxcalo.families.progressive import ProgressiveDistillation, progressive
from jaxcalo.families.sampling import GridConfig, SamplerConfig, Sampling

__all__ = [
    "ConsistencyDistillation",
    "ConsistencyTraining",
    "Diffusion",
    "Encode",
    "GenerativeModel",
    "GridConfig",
    "GridSearch",
    "Net",
    "ProgressiveDistillation",
    "SamplerConfig",
    "Sampling",
    "TransportPairing",
    "consistency",
    "diffusion",
    "evaluate_diffusion",
    "generate",
    "generate_chunks",
    "progressive",
    "search_grid",
    "whole_chunk",
]
