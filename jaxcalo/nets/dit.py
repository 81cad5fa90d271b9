"""A diffusion transformer on patches of the voxel grid: the flagship network.

A patch of cells is a token; the noise level and the conditions modulate every block (adaLN-zero).
On a CPU it evaluates and trains several times faster than a U-Net of its size, because everything
in it is a matrix product (experiments/benchmarks/network_profile.py). The axes of a grid are
(layer, azimuth, radius) or (y, x).

Source: Peebles & Xie, arXiv:2212.09748; patches of showers: Favaro et al., arXiv:2405.09629.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from jaxcalo.errors import InputError
from jaxcalo.nets.attention import attention
from jaxcalo.nets.embeddings import ConditionEmbedding, cylindrical_encoding, planar_encoding
from jaxcalo.nets.linear import Dense, zeros
from jaxcalo.nets.norm import layer_norm
from jaxcalo.typing import Conds


def to_patches(x: Array, patch: Sequence[int]) -> Array:
    """Cut a grid into patches, zero-padded at the far end of an axis that a patch does not divide.

    Args:
        x: (b, *grid, c).
        patch: cells of a patch along every axis.

    Returns:
        (b, n_patches, product of patch * c).
    """
    grid, rank = x.shape[1:-1], len(patch)
    missing = [(-n) % p for n, p in zip(grid, patch, strict=True)]
    x = jnp.pad(x, [(0, 0), *((0, m) for m in missing), (0, 0)])
    split = [size for n, p in zip(x.shape[1:-1], patch, strict=True) for size in (n // p, p)]
    x = x.reshape(x.shape[0], *split, x.shape[-1])
    order = [1 + 2 * axis for axis in range(rank)] + [2 + 2 * axis for axis in range(rank)]
    x = x.transpose(0, *order, 2 * rank + 1)
    return x.reshape(x.shape[0], math.prod(x.shape[1 : rank + 1]), -1)


def from_patches(tokens: Array, grid: Sequence[int], patch: Sequence[int]) -> Array:
    """Put patches back on their grid and cut the padding off: the inverse of `to_patches`.

    Args:
        tokens: (b, n_patches, product of patch * c).
        grid: cells along every axis, without the padding.
        patch: cells of a patch along every axis.

    Returns:
        (b, *grid, c).
    """
    rank, counts = len(patch), [-(-n // p) for n, p in zip(grid, patch, strict=True)]
    x = tokens.reshape(tokens.shape[0], *counts, *patch, -1)
    order = [axis + part for axis in range(1, rank + 1) for part in (0, rank)]
    x = x.transpose(0, *order, 2 * rank + 1)
    x = x.reshape(x.shape[0], *(n * p for n, p in zip(counts, patch, strict=True)), x.shape[-1])
    return x[(slice(None), *(slice(n) for n in grid))]


def _modulated(x: Array, shift: Array, scale: Array) -> Array:
    return layer_norm(x) * (1 + scale[:, None]) + shift[:, None]


class Block(nn.Module):
    """One transformer block: x + gate attention(mod(x)), then x + gate MLP(mod(x)).

    The gates start at zero, so that a new block is the identity.

    Attributes:
        n_heads: heads of the attention; they divide the width.
        mlp_ratio: hidden width of the MLP over the width.
        compute_dtype: type of the matrix products; x itself stays f32.
    """

    n_heads: int
    mlp_ratio: float
    compute_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, condition: Array) -> Array:
        """Advance the tokens x (b, t, width) f32 under a condition (b, embedding_size)."""
        width, dtype = x.shape[-1], self.compute_dtype
        modulation = Dense(6 * width, kernel_init=zeros, name="modulation")(condition)
        shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = jnp.split(modulation, 6, axis=-1)

        h = _modulated(x, shift_1, scale_1)
        qkv = Dense(3 * width, compute_dtype=dtype, name="qkv")(h)
        q, k, v = jnp.split(qkv, 3, axis=-1)
        h = attention(q, k, v, self.n_heads)
        x = x + gate_1[:, None] * Dense(width, compute_dtype=dtype, name="out")(h)

        h = _modulated(x, shift_2, scale_2)
        h = Dense(int(self.mlp_ratio * width), compute_dtype=dtype, name="mlp_in")(h)
        h = Dense(width, compute_dtype=dtype, name="mlp_out")(jax.nn.gelu(h))
        return x + gate_2[:, None] * h


class DiT(nn.Module):
    """Patch diffusion transformer on a grid (layer, azimuth, radius) or (y, x).

    A new network returns zero everywhere (adaLN-zero). Place enters by a fixed encoding, periodic
    in azimuth, through a trained projection, so that the parameters do not depend on the grid.

    Attributes:
        patch: cells of a patch along every axis of the grid; grids that it does not divide are
            zero-padded inside.
        width: size of a token.
        depth: number of blocks.
        n_heads: heads of the attention.
        mlp_ratio: hidden width of a block's MLP over the width.
        out_channels: channels of the result.
        bottleneck: if given, a patch is first projected to this few features: for large patches,
            see Li & He, arXiv:2511.13720.
        embedding_size: size of the embedding of noise level and conditions.
        compute_dtype: type of the matrix products; parameters and statistics are f32.
    """

    patch: Sequence[int] = (3, 2, 2)
    width: int = 128
    depth: int = 6
    n_heads: int = 4
    mlp_ratio: float = 4
    out_channels: int = 1
    bottleneck: int | None = None
    embedding_size: int = 48
    compute_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Array,
        c_noise: Array,
        cond: Conds,
    ) -> Array:
        """Evaluate the network.

        Args:
            x: (b, *grid, channels).
            c_noise: (b,) noise level, as the parametrization scales it.
            cond: (b, k) standardised conditions.

        Returns:
            (b, *grid, out_channels) f32.

        Raises:
            InputError: the patch has not one number for each axis of the grid, or the heads do not
                divide the width.
        """
        grid, patch, dtype = x.shape[1:-1], tuple(self.patch), self.compute_dtype
        self._check(grid)
        condition = ConditionEmbedding(self.embedding_size, name="condition")(c_noise, cond)

        tokens = to_patches(x, patch)
        if self.bottleneck is not None:
            tokens = Dense(self.bottleneck, compute_dtype=dtype, name="bottleneck")(tokens)
        tokens = Dense(self.width, compute_dtype=dtype, name="patch")(tokens)
        counts = [-(-n // p) for n, p in zip(grid, patch, strict=True)]
        encoding = cylindrical_encoding(counts) if len(grid) == 3 else planar_encoding(counts)
        place = Dense(self.width, use_bias=False, name="place")(jnp.asarray(encoding))
        tokens = tokens.astype(jnp.float32) + place

        for i in range(self.depth):
            block = Block(self.n_heads, self.mlp_ratio, dtype, name=f"block_{i}")
            tokens = block(tokens, condition)

        modulation = Dense(2 * self.width, kernel_init=zeros, name="modulation")(condition)
        tokens = _modulated(tokens, *jnp.split(modulation, 2, axis=-1))
        n_out = math.prod(patch) * self.out_channels
        tokens = Dense(n_out, kernel_init=zeros, compute_dtype=dtype, name="out")(tokens)
        return from_patches(tokens.astype(jnp.float32), grid, patch)

    def _check(self, grid: Sequence[int]) -> None:
        if len(grid) not in (2, 3) or len(self.patch) != len(grid):
            raise InputError(
                f"DiT expected a grid of 2 or 3 axes and a patch with one size an axis, found grid "
                f"{tuple(grid)} and patch {tuple(self.patch)}: change the patch."
            )
        if self.width % self.n_heads:
            raise InputError(
                f"DiT expected n_heads to divide width, found n_heads {self.n_heads} and width "
                f"{self.width}: change one of them."
            )
