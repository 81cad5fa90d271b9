"""Normalisations, with f32 statistics whatever the type of their input."""

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from jaxcalo.nets.each_event import each_event

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


def group_norm(x: Array, scale: Array, bias: Array, groups: int) -> Array:
    """Normalise groups of channels of one event, in f32 and in one pass over x.

    y = scale (x - mean) / sqrt(mean(x^2) - mean^2 + EPSILON) + bias,
    the means over all positions and the channels of a group.

    Args:
        x: (*grid, c).
        scale: (c,).
        bias: (c,).
        groups: number of groups; it divides c.

    Returns:
        The shape of x, f32.

    Source: Wu & He, arXiv:1803.08494, eq. 7.
    """
    x = x.astype(jnp.float32)
    grouped = (-1, groups, x.shape[-1] // groups)
    # The sums along the last row of cells come last: XLA:CPU sums into long rows twice as fast.
    rows = x.reshape(-1, math.prod(x.shape[-2:]))
    mean = jnp.mean(jnp.mean(rows, 0).reshape(grouped), (0, 2))
    square = jnp.mean(jnp.mean(rows * rows, 0).reshape(grouped), (0, 2))
    # The difference of two rounded means may fall below zero where the input is constant.
    inverse = 1 / jnp.sqrt(jnp.maximum(square - mean * mean, 0) + EPSILON)
    # One multiplication and one addition an element: y = factor x + offset.
    factor = jnp.repeat(inverse, grouped[2]) * scale
    return x * factor + (bias - jnp.repeat(mean, grouped[2]) * factor)


class GroupNorm(nn.Module):
    """`group_norm` with trainable scale and bias, an activation, and a term added at the end.

    Attributes:
        groups: number of groups; it divides the number of channels.
        activation: of what is normalised.
        compute_dtype: type of the result; the statistics are f32.
    """

    groups: int
    activation: Callable[[Array], Array] = lambda x: x
    compute_dtype: Any = jnp.float32

    def __call__(self, x: Array, term: Array | None = None) -> Array:
        """Normalise x (b, *grid, c), every event on its own; add a term (b, *grid or none, c)."""
        scale, bias = self.weights(x.shape[-1])

        def one(x: Array, *terms: Array) -> Array:
            y = self.activation(group_norm(x, scale, bias, self.groups))
            return sum(terms, start=y.astype(self.compute_dtype))

        return each_event(one, x, *(() if term is None else (term,)))

    @nn.compact
    def weights(self, channels: int) -> tuple[Array, Array]:
        """The scale and the bias of every channel, f32."""
        scale = self.param("scale", nn.initializers.ones, (channels,))
        return scale, self.param("bias", nn.initializers.zeros, (channels,))
