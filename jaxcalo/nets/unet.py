"""CaloDiffusion's U-Net with cylindrical convolutions: the reference network of the field.

Grids are (layer, azimuth, radius), periodic in azimuth, or (y, x). Layers halve upwards (45, 23,
12), azimuth and radius downwards (9, 4, 2); the way up restores every size.

Source: Amram & Pedro, arXiv:2308.03876, section III.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array, lax

from jaxcalo.errors import InputError
from jaxcalo.nets.conv import Conv, ConvTranspose, Gradient, Implementation
from jaxcalo.nets.each_event import each_event
from jaxcalo.nets.embeddings import ScalarEmbedding
from jaxcalo.nets.linear import Dense, dense
from jaxcalo.nets.norm import GroupNorm, group_norm
from jaxcalo.typing import Conds

ATTENTION_WIDTH = 32  # one head of 32 features, as published


class ResnetBlock(nn.Module):
    """SiLU(GN(conv(SiLU(GN(conv(x))) + W SiLU(embedding)))) + x.

    Attributes:
        features: channels out; x goes through a 1x1 convolution where it has another number.
        groups: groups of the normalisation.
        implementation: as of `cylindrical_conv`.
        gradient: as of `cylindrical_conv`.
        compute_dtype: type of the products.
    """

    features: int
    groups: int
    implementation: Implementation = "auto"
    gradient: Gradient = "auto"
    compute_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, embedding: Array | None = None) -> Array:
        """Map x (b, *grid, c) to (b, *grid, features) under an embedding (b, e) or none."""
        given = None
        if embedding is not None:
            shift = Dense(self.features, compute_dtype=self.compute_dtype, name="cond")
            given = shift(jax.nn.silu(embedding))
        h = self._conv_norm(x, given, "0")
        if x.shape[-1] != self.features:
            x = Dense(self.features, compute_dtype=self.compute_dtype, name="skip")(x)
        return self._conv_norm(h, x, "1")

    def _conv_norm(self, x: Array, term: Array | None, name: str) -> Array:
        conv = Conv(
            self.features,
            implementation=self.implementation,
            gradient=self.gradient,
            compute_dtype=self.compute_dtype,
            name=f"conv_{name}",
        )
        norm = GroupNorm(self.groups, jax.nn.silu, self.compute_dtype, name=f"norm_{name}")
        return norm(conv(x), term)


class LinearAttention(nn.Module):
    """Residual attention at linear cost: x + GN(W_o (softmax(q) / sqrt(d)) (softmax(k)^T v)).

    q, k, v come from GN(x); softmax of q over its features, of k over the positions, in f32. Both
    divisions and W_o act on the small matrix softmax(k)^T v or on the result. That matrix is
    (softmax(k)^T GN(x)) W_v, so that v itself is never made.

    Source: Shen et al., arXiv:1812.01243, eq. 5.

    Attributes:
        compute_dtype: type of the products.
    """

    compute_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Attend over all positions of x (b, *grid, c)."""
        dtype, channels = self.compute_dtype, x.shape[-1]
        norm_in = GroupNorm(1, name="norm_in").weights(channels)
        norm_out = GroupNorm(1, name="norm_out").weights(channels)
        w_in, _ = Dense(3 * ATTENTION_WIDTH, use_bias=False, name="qkv").weights(channels)
        w_q, w_k, w_v = jnp.split(w_in.astype(dtype), 3, axis=-1)
        w_out, bias = Dense(channels, name="out").weights(ATTENTION_WIDTH)

        def attend(x: Array) -> Array:
            h = group_norm(x, *norm_in, 1).astype(dtype).reshape(-1, channels)
            q, k = (dense(h, w).astype(jnp.float32) for w in (w_q, w_k))
            q = jnp.exp(q - lax.stop_gradient(jnp.max(q, axis=1, keepdims=True)))
            k = jnp.exp(k - lax.stop_gradient(jnp.max(k, axis=0)))
            context = (k.astype(dtype).T @ h).astype(jnp.float32) / jnp.sum(k, axis=0)[:, None]
            context = (context.astype(dtype) @ w_v).astype(jnp.float32)
            context = context @ w_out * ATTENTION_WIDTH**-0.5
            h = (q.astype(dtype) @ context.astype(dtype)).astype(jnp.float32)
            h = h / jnp.sum(q, axis=1, keepdims=True) + bias
            return x + group_norm(h.reshape(x.shape), *norm_out, 1).astype(dtype)

        return each_event(attend, x)


class UNet(nn.Module):
    """CaloDiffusion's conditional U-Net on a grid (layer, azimuth, radius) or (y, x).

    Attributes:
        channels: of the first convolution and of every level, (16, 16, 16, 32) for CaloChallenge
            data set 2 and (32, 32, 32, 32) for 3: 517,969 and 1,221,153 parameters with three
            channels in (shower, radius, layer) and one condition.
        embedding_size: size of each of the two embeddings, noise level and conditions.
        groups: groups of the normalisations; they divide every number of channels.
        attention: attend at every level and in the middle.
        compress_layers: halve the layers too from level to level.
        out_channels: channels of the result.
        implementation: as of `cylindrical_conv`.
        gradient: as of `cylindrical_conv`.
        compute_dtype: type of the products; parameters and statistics are f32.
    """

    channels: Sequence[int] = (16, 16, 16, 32)
    embedding_size: int = 64
    groups: int = 8
    attention: bool = True
    compress_layers: bool = True
    out_channels: int = 1
    implementation: Implementation = "auto"
    gradient: Gradient = "auto"
    compute_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, c_noise: Array, cond: Conds) -> Array:
        """Evaluate the network.

        Args:
            x: (b, *grid, channels).
            c_noise: (b,) noise level, as the parametrization scales it.
            cond: (b, c) standardised conditions.

        Returns:
            (b, *grid, out_channels) f32.

        Raises:
            InputError: the grid has not 2 or 3 axes, or too few cells for the number of levels.
        """
        self._check(x.shape[1:-1])
        noise = ScalarEmbedding(self.embedding_size, name="noise")(c_noise[:, None])
        given = ScalarEmbedding(self.embedding_size, name="cond")(cond)
        embedding = jnp.concatenate([noise, given], axis=-1)
        # Inside, the azimuth stands next to the batch: see conv.py.
        h = jnp.swapaxes(x, 1, 2) if x.ndim == 5 else x
        h = self._conv(self.channels[0], name="in")(h)
        h, skips = self._down(h, embedding)
        h = self._block(self.channels[-1], "middle_0")(h, embedding)
        h = self._attend(h, "middle")
        h = self._block(self.channels[-1], "middle_1")(h, embedding)
        h = self._up(h, skips, embedding)
        h = self._block(self.channels[0], "final")(h)
        h = Dense(self.out_channels, compute_dtype=self.compute_dtype, name="out")(h)
        h = h.astype(jnp.float32)
        return jnp.swapaxes(h, 1, 2) if x.ndim == 5 else h

    def _down(self, h: Array, embedding: Array) -> tuple[Array, list[Array]]:
        skips = []
        levels = self.channels[1:]
        stride = self._stride(h.ndim - 2)
        kernel = (4, 3, 4) if h.ndim == 5 else (4, 4)
        for i, features in enumerate(levels):
            h = self._block(features, f"down_{i}_0")(h, embedding)
            h = self._block(features, f"down_{i}_1")(h, embedding)
            h = self._attend(h, f"down_{i}")
            skips.append(h)
            if i < len(levels) - 1:
                h = self._conv(features, kernel, stride, name=f"down_{i}_sample")(h)
        return h, skips

    def _up(self, h: Array, skips: Sequence[Array], embedding: Array) -> Array:
        stride = self._stride(h.ndim - 2)
        for i in reversed(range(len(skips))):
            features = self.channels[i]
            h = jnp.concatenate([h, skips[i]], axis=-1)
            h = self._block(features, f"up_{i}_0")(h, embedding)
            h = self._block(features, f"up_{i}_1")(h, embedding)
            h = self._attend(h, f"up_{i}")
            if i > 0:
                size = skips[i - 1].shape[1:-1]
                kernel = (4, 4)
                if h.ndim == 5:
                    # An odd number of layers was halved upwards: only 3 taps end where it ends.
                    kernel = (4, 4 if stride[1] == 2 and size[1] % 2 == 0 else 3, 4)
                h = ConvTranspose(
                    features, size, kernel, stride, self.compute_dtype, name=f"up_{i}_sample"
                )(h)
        return h

    def _stride(self, rank: int) -> tuple[int, ...]:
        return (2, 2) if rank == 2 else (2, 2 if self.compress_layers else 1, 2)

    def _conv(
        self,
        features: int,
        kernel: int | Sequence[int] = 3,
        stride: int | Sequence[int] = 1,
        *,
        name: str,
    ) -> Conv:
        dtype = self.compute_dtype
        return Conv(features, kernel, stride, self.implementation, self.gradient, dtype, name=name)

    def _block(self, features: int, name: str) -> ResnetBlock:
        dtype = self.compute_dtype
        return ResnetBlock(
            features, self.groups, self.implementation, self.gradient, dtype, name=name
        )

    def _attend(self, h: Array, name: str) -> Array:
        if not self.attention:
            return h
        return LinearAttention(self.compute_dtype, name=f"{name}_attention")(h)

    def _check(self, grid: Sequence[int]) -> None:
        smallest = 2 ** (len(self.channels) - 2)
        halved = grid[1:] if len(grid) == 3 else grid
        if len(grid) not in (2, 3) or min(halved) < smallest:
            raise InputError(
                f"UNet with {len(self.channels)} channels expected a grid of 2 or 3 axes with at "
                f"least {smallest} cells along each halved axis, found {tuple(grid)}: give fewer "
                "channels or a finer grid."
            )
        if any(c % self.groups for c in self.channels):
            raise InputError(
                f"UNet expected groups to divide every number of channels, found groups "
                f"{self.groups} and channels {tuple(self.channels)}: change one of them."
            )
