"""The networks: Flax Linen modules, used functionally.

A network on a grid maps x (b, *grid, channels), c_noise (b,), cond (b, c) to (b, *grid, channels);
the grid is (layer, azimuth, radius) or (y, x). `EventNet` makes it a network on flat events.
A network on points maps x (b, s, 4), mask (b, s), c_noise (b,), cond (b, c) to (b, s, 4);
`CloudNet` makes it a network on flat events. Permutations pass through, padding changes nothing.
A network on vectors maps x (b, k), cond (b, c) to (b, m): dense.py, voxel_conv.py.
Parameters are f32; `compute_dtype` chooses the type of the products.
"""

from jaxcalo.nets.autoregressive import MaskedAutoregressiveFlow
from jaxcalo.nets.classifier import MlpClassifier, ResNetClassifier
from jaxcalo.nets.cloud import POINT_SIZE, CloudNet, GroupedGenerator, row_mask
from jaxcalo.nets.conv import Conv, ConvTranspose, conv_transpose, cylindrical_conv, planar_conv
from jaxcalo.nets.coupling import ConditionalFlow, nice, real_nvp, spline_flow
from jaxcalo.nets.dense import (
    PlainDense,
    ResidualDense,
    thesis_critic,
    thesis_decoder,
    thesis_encoder,
    thesis_generator,
)
from jaxcalo.nets.dit import DiT
from jaxcalo.nets.embeddings import (
    ConditionEmbedding,
    ScalarEmbedding,
    cylindrical_encoding,
    fourier_features,
    planar_encoding,
)
from jaxcalo.nets.epic import EpicCritic, EpicDenoiser, EpicEncoder, EpicGenerator
from jaxcalo.nets.event import EventNet, n_event_channels
from jaxcalo.nets.glam import GlamDecoder, GlamEncoder
from jaxcalo.nets.linear import Dense, dense
from jaxcalo.nets.member_mlp import MemberMLP, member_masks, member_params
from jaxcalo.nets.message_passing import MessagePassingCritic, MessagePassingGenerator
from jaxcalo.nets.mlp import ResidualMLP
from jaxcalo.nets.norm import GroupNorm, layer_norm
from jaxcalo.nets.point_transformer import PointTransformer
from jaxcalo.nets.point_wise import PointWise
from jaxcalo.nets.unet import UNet
from jaxcalo.nets.voxel_conv import VoxelDecoder, VoxelEncoder

__all__ = [
    "POINT_SIZE",
    "CloudNet",
    "ConditionEmbedding",
    "ConditionalFlow",
    "Conv",
    "ConvTranspose",
    "Dense",
    "DiT",
    "EpicCritic",
    "EpicDenoiser",
    "EpicEncoder",
    "EpicGenerator",
    "EventNet",
    "GlamDecoder",
    "GlamEncoder",
    "GroupNorm",
    "GroupedGenerator",
    "MaskedAutoregressiveFlow",
    "MemberMLP",
    "MessagePassingCritic",
    "MessagePassingGenerator",
    "MlpClassifier",
    "PlainDense",
    "PointTransformer",
    "PointWise",
    "ResNetClassifier",
    "ResidualDense",
    "ResidualMLP",
    "ScalarEmbedding",
    "UNet",
    "VoxelDecoder",
    "VoxelEncoder",
    "conv_transpose",
    "cylindrical_conv",
    "cylindrical_encoding",
    "dense",
    "fourier_features",
    "layer_norm",
    "member_masks",
    "member_params",
    "n_event_channels",
    "nice",
    "planar_conv",
    "planar_encoding",
    "real_nvp",
    "row_mask",
    "spline_flow",
    "thesis_critic",
    "thesis_decoder",
    "thesis_encoder",
    "thesis_generator",
]
