"""Generative families, one a file.

Each gives a GenerativeModel that the same loop trains and the same `generate` runs.
"""

from jaxcalo.families.base import (
    Encode,
    GenerativeModel,
    Net,
    NoiseMap,
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
from jaxcalo.families.density_buffer import DensityBuffer
from jaxcalo.families.diffusion import diffusion, evaluate_diffusion
from jaxcalo.families.ensemble import (
    Repulsion,
    Respond,
    draw_member,
    ensemble,
    fix_member,
    member,
    with_member,
)
from jaxcalo.families.flow import Flow, evaluate_flow, flow
from jaxcalo.families.gan import Critic, Gan, Generator, evaluate_gan, gan
from jaxcalo.families.grid_search import GridSearch, search_grid
from jaxcalo.families.latent_cloud import (
    Encoder,
    LatentCloud,
    evaluate_latent_cloud,
    latent_cloud,
)
from jaxcalo.families.mixture import GaussianMixture, evaluate_mixture, mixture
from jaxcalo.families.mixture_choice import MixtureChoice, MixtureFit, bic, choose_mixture
from jaxcalo.families.nearest import NearestNeighbour, evaluate_nearest, nearest
from jaxcalo.families.physics import Features, PhysicsTerm, energy_distance, physics_loss
from jaxcalo.families.point_cloud import evaluate_point_cloud, point_cloud
from jaxcalo.families.process import Diffusion, TransportPairing
from jaxcalo.families.program_store import ProgramStore
from jaxcalo.families.progressive import ProgressiveDistillation, progressive
from jaxcalo.families.responses import denoised_events, drawn_events
from jaxcalo.families.sampling import GridConfig, SamplerConfig, Sampling, noise_map
from jaxcalo.families.surrogate import surrogate_features, train_surrogate
from jaxcalo.families.two_stage import (
    evaluate_two_stage,
    frozen,
    shape_condition,
    split_encode,
    two_stage,
    two_stage_noise,
)
from jaxcalo.families.vae import FixedWidth, LearnedWidth, Vae, evaluate_vae, vae, vae_noise
from jaxcalo.families.vector_gan import (
    VectorGan,
    evaluate_vector_gan,
    vector_gan,
    vector_gan_noise,
)
from jaxcalo.families.vector_net import VectorNet

__all__ = [
    "ConsistencyDistillation",
    "ConsistencyTraining",
    "Critic",
    "DensityBuffer",
    "Diffusion",
    "Encode",
    "Encoder",
    "Features",
    "FixedWidth",
    "Flow",
    "Gan",
    "GaussianMixture",
    "GenerativeModel",
    "Generator",
    "GridConfig",
    "GridSearch",
    "LatentCloud",
    "LearnedWidth",
    "Mask",
    "MixtureChoice",
    "MixtureFit",
    "NearestNeighbour",
    "Net",
    "NoiseMap",
    "PhysicsTerm",
    "ProgramStore",
    "ProgressiveDistillation",
    "Repulsion",
    "Respond",
    "SamplerConfig",
    "Sampling",
    "TransportPairing",
    "Vae",
    "VectorGan",
    "VectorNet",
    "bic",
    "block_size",
    "choose_mixture",
    "cloud_mask",
    "consistency",
    "denoised_events",
    "diffusion",
    "draw_member",
    "drawn_events",
    "energy_distance",
    "ensemble",
    "evaluate_diffusion",
    "evaluate_flow",
    "evaluate_gan",
    "evaluate_latent_cloud",
    "evaluate_mixture",
    "evaluate_nearest",
    "evaluate_point_cloud",
    "evaluate_two_stage",
    "evaluate_vae",
    "evaluate_vector_gan",
    "fix_member",
    "flow",
    "frozen",
    "gan",
    "generate",
    "generate_chunks",
    "latent_cloud",
    "member",
    "mixture",
    "nearest",
    "noise_map",
    "physics_loss",
    "point_cloud",
    "progressive",
    "run_program",
    "sampling_program",
    "search_grid",
    "shape_condition",
    "split_encode",
    "surrogate_features",
    "train_surrogate",
    "two_stage",
    "two_stage_noise",
    "vae",
    "vae_noise",
    "vector_gan",
    "vector_gan_noise",
    "whole_chunk",
    "with_member",
]
