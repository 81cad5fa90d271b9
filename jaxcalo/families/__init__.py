"""Generative families, one a file.

Each gives a GenerativeModel that the same loop trains and the same `generate` runs.
"""

from jaxcalo.families.base import (
    Encode,
    GenerativeModel,
    Net,
    block_size,
    generate,
    generate_chunks,
    run_program,
    sampling_program,
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
from jaxcalo.families.two_stage import (
    evaluate_two_stage,
    frozen,
    shape_condition,
    split_encode,
    two_stage,
)

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
    "block_size",
    "consistency",
    "diffusion",
    "evaluate_diffusion",
    "evaluate_two_stage",
    "frozen",
    "generate",
    "generate_chunks",
    "progressive",
    "run_program",
    "sampling_program",
    "search_grid",
    "shape_condition",
    "split_encode",
    "two_stage",
    "whole_chunk",
]
