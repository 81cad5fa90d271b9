"""Normalisations, with f32 statistics whatever the type of their input."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array

EPSILON = 1e-5  # added to a variance, so that a constant input normalises to 0 and not to 0/0


def layer_norm(x: Array) -> Array:
    """Normalise the last axis to mean 0 and variance 1, without parameters, in f32.

    y = (x - mean(x)) / sqrt(var(x) + EPSILON)

    Args:
        x: any shape, features last.

    Returns:
        The shape of x, f32.

    Source: Ba, Kiros, Hinton, arXiv:1607.06450, eq. 3.
    """
    x = x.astype(jnp.float32)
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.mean(centred * centred, axis=-1, keepdims=True)
    return centred / jnp.sqrt(variance + EPSILON)


class GroupNorm(nn.Module):
    """Group normalisation with f32 statistics in one pass over x.

    y = scale (x - mean) / sqrt(mean(x^2) - mean^2 + EPSILON) + bias,
    the means over all positions and the channels of a group.

    Source: Wu & He, arXiv:1803.08494, eq. 7.

    Attributes:
        groups: number of groups; it divides the number of channels.
        compute_dtype: type of the result; the statistics are f32.
    """

    groups: int
    compute_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Normalise x (b, *grid, c), every event on its own."""
        channels = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        grouped = (x.shape[0], self.groups, channels // self.groups)
        positions = tuple(range(1, x.ndim - 1))
        wide = x.astype(jnp.float32)
        mean = jnp.mean(jnp.mean(wide, positions).reshape(grouped), -1)
        square = jnp.mean(jnp.mean(wide * wide, positions).reshape(grouped), -1)
        # The difference of two rounded means may fall below zero where the input is constant.
        inverse = 1 / jnp.sqrt(jnp.maximum(square - mean * mean, 0) + EPSILON)
        # One multiplication and one addition an element: y = factor x + offset.
        factor = jnp.repeat(inverse, grouped[2], axis=1) * scale
        offset = bias - jnp.repeat(mean, grouped[2], axis=1) * factor
        shape = (x.shape[0],) + (1,) * len(positions) + (channels,)
        return (wide * factor.reshape(shape) + offset.reshape(shape)).astype(self.compute_dtype)
