"""The networks: Flax Linen modules, used functionally.

A network on a grid maps x (b, *grid, channels), c_noise (b,), cond (b, c) to (b, *grid, channels);
the grid is (layer, azimuth, radius) or (y, x). `EventNet` makes it a network on flat events.
Parameters are f32; `compute_dtype` chooses the type of the products.
"""

from jaxcalo.nets.classifier import MlpClassifier, ResNetClassifier
from jaxcalo.nets.conv import Conv, ConvTranspose, conv_transpose, cylindrical_conv, planar_conv
from jaxcalo.nets.dit import DiT
from jaxcalo.nets.embeddings import (
    ConditionEmbedding,
    ScalarEmbedding,
    cylindrical_encoding,
    fourier_features,
    planar_encoding,
)
from jaxcalo.nets.event import EventNet, n_event_channels
from jaxcalo.nets.glam import GlamDecoder, GlamEncoder
from jaxcalo.nets.linear import Dense, dense
from jaxcalo.nets.mlp import ResidualMLP
from jaxcalo.nets.norm import GroupNorm, layer_norm
from jaxcalo.nets.unet import UNet

__all__ = [
    "ConditionEmbedding",
    "Conv",
    "ConvTranspose",
    "Dense",
    "DiT",
    "EventNet",
    "GlamDecoder",
    "GlamEncoder",
    "GroupNorm",
    "MlpClassifier",
    "ResNetClassifier",
    "ResidualMLP",
    "ScalarEmbedding",
    "UNet",
    "conv_transpose",
    "cylindrical_conv",
    "cylindrical_encoding",
    "dense",
    "fourier_features",
    "layer_norm",
    "n_event_channels",
    "planar_conv",
    "planar_encoding",
]
