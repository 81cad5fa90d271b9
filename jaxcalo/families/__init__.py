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
from jaxcalo.families.cloud_mask import Mask, cloud_mask
from jaxcalo.families.consistency import (
    ConsistencyDistillation,
    ConsistencyTraining,
    consistency,
)
from jaxcalo.families.diffusion import diffusion, evaluate_diffusion
from jaxcalo.families.flow import evaluate_flow, flow
from jaxcalo.families.gan import Critic, Gan, Generator, evaluate_gan, gan
from jaxcalo.families.grid_search import GridSearch, search_grid
from jaxcalo.families.latent_cloud import (
    Encoder,
    LatentCloud,
    evaluate_latent_cloud,
    latent_cloud,
)
from jaxcalo.families.point_cloud import evaluate_point_cloud, point_cloud
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
    "Critic",
    "Diffusion",
    "Encode",
    "Encoder",
    "Gan",
    "GenerativeModel",
    "Generator",
    "GridConfig",
    "GridSearch",
    "LatentCloud",
    "Mask",
    "Net",
    "ProgressiveDistillation",
    "SamplerConfig",
    "Sampling",
    "TransportPairing",
    "block_size",
    "cloud_mask",
    "consistency",
    "diffusion",
    "evaluate_diffusion",
    "evaluate_flow",
    "evaluate_gan",
    "evaluate_latent_cloud",
    "evaluate_point_cloud",
    "evaluate_two_stage",
    "flow",
    "frozen",
    "gan",
    "generate",
    "generate_chunks",
    "latent_cloud",
    "point_cloud",
    "progressive",
    "run_program",
    "sampling_program",
    "search_grid",
    "shape_condition",
    "split_encode",
    "two_stage",
    "whole_chunk",
]
