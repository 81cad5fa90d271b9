"""A set transformer as point network: attention between points, in full or by way of landmarks.

Points are tokens without an order: a point's features are all that is known of its place. The noise
level and the conditions modulate every block (adaLN-zero), as in the patch transformer of `dit`.

Source: Lee et al., arXiv:1810.00825 (attention by way of inducing points); Peebles & Xie,
arXiv:2212.09748 (modulation).
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array

from jaxcalo.errors import InputError
from jaxcalo.nets.attention import attention
from jaxcalo.nets.embeddings import ConditionEmbedding
from jaxcalo.nets.linear import Dense, scaled_uniform, zeros
from jaxcalo.nets.norm import layer_norm
from jaxcalo.typing import Conds


def coordinate_waves(x: Array, n_octaves: int) -> Array:
    """Expand every feature in sines and cosines: [sin(w_k x), cos(w_k x)], w_k = pi 2^(k - 2).

    The longest wave is 8 units, about the range of standardised numbers.

    Args:
        x: (..., f).
        n_octaves: number of frequencies; 0 gives none.

    Returns:
        (..., 2 f n_octaves) f32.
    """
    frequencies = math.pi * 2.0 ** (np.arange(n_octaves) - 2)
    phase = x.astype(jnp.float32)[..., None] * jnp.asarray(frequencies, jnp.float32)
    waves = jnp.concatenate([jnp.sin(phase), jnp.cos(phase)], axis=-1)
    return waves.reshape(*x.shape[:-1], -1)


def _modulated(x: Array, shift: Array, scale: Array) -> Array:
    return layer_norm(x) * (1 + scale[:, None]) + shift[:, None]


class SetBlock(nn.Module):
    """One block: x + gate attention(mod(x)), then x + gate MLP(mod(x)).

    With landmarks z, the attention is of z to the points, z + attention(norm(z), mod(x)) and
    z + MLP(norm(z)), then of the points to z: O(s m) for m landmarks. Without, it is of the points
    to the points, O(s^2). The gates of x start at zero, so that a new block leaves x as it is.

    Attributes:
        n_heads: heads of the attention; they divide the width.
        mlp_ratio: hidden width of the MLPs over the width.
        compute_dtype: type of the matrix products; x, z and the attention itself are f32.
    """

    n_heads: int
    mlp_ratio: float
    compute_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Array, mask: Array, condition: Array, landmarks: Array | None
    ) -> tuple[Array, Array | None]:
        """Advance points (b, s, width) and landmarks (b, m, width) under a condition (b, e)."""
        width = x.shape[-1]
        modulation = Dense(6 * width, kernel_init=zeros, name="modulation")(condition)
        shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = jnp.split(modulation, 6, axis=-1)

        h = _modulated(x, shift_1, scale_1)
        q, k, v = self._parts(h, 3, "qkv")
        if landmarks is None:
            h = attention(q, k, v, self.n_heads, mask)
        else:
            (asked,) = self._parts(layer_norm(landmarks), 1, "landmark_q")
            seen = attention(asked, k, v, self.n_heads, mask)
            landmarks = landmarks + self._dense(width, "landmark_out")(seen)
            landmarks = landmarks + self._mlp(layer_norm(landmarks), "landmark_mlp")
            k, v = self._parts(layer_norm(landmarks), 2, "landmark_kv")
            h = attention(q, k, v, self.n_heads)
        x = x + gate_1[:, None] * self._dense(width, "out")(h)
        h = self._mlp(_modulated(x, shift_2, scale_2), "mlp")
        return x + gate_2[:, None] * h, landmarks

    def _dense(self, features: int, name: str) -> Dense:
        return Dense(features, compute_dtype=self.compute_dtype, name=name)

    def _parts(self, h: Array, n: int, name: str) -> list[Array]:
        """Queries, keys or values of the attention, f32."""
        parts = self._dense(n * h.shape[-1], name)(h).astype(jnp.float32)
        return jnp.split(parts, n, axis=-1)

    def _mlp(self, h: Array, name: str) -> Array:
        inner = self._dense(int(self.mlp_ratio * h.shape[-1]), f"{name}_in")(h)
        return self._dense(h.shape[-1], f"{name}_out")(jax.nn.gelu(inner))


class PointTransformer(nn.Module):
    """Set transformer on points, a point network for the diffusion families.

    With landmarks, the default, time and memory are O(s m); with n_landmarks = None every point
    attends to every point: O(s^2) time and n_heads s^2 numbers of memory a shower and a block, to
    some hundred points. A new network returns zero everywhere.

    Attributes:
        width: size of a token.
        depth: number of blocks.
        n_heads: heads of the attention.
        mlp_ratio: hidden width of a block's MLPs over the width.
        n_landmarks: m above, or None.
        n_octaves: of `coordinate_waves`, given to the network beside the features themselves.
        embedding_size: size of the embedding of noise level and conditions.
        compute_dtype: type of the matrix products; parameters, statistics and attention are f32.
    """

    width: int = 64
    depth: int = 4
    n_heads: int = 4
    mlp_ratio: float = 2
    n_landmarks: int | None = 32
    n_octaves: int = 4
    embedding_size: int = 48
    compute_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, mask: Array, c_noise: Array, cond: Conds) -> Array:
        """Evaluate the network.

        Args:
            x: (b, s, f) points.
            mask: (b, s) bool, True for real points.
            c_noise: (b,) noise level, as the parametrization scales it.
            cond: (b, c) standardised conditions.

        Returns:
            (b, s, f) f32, zero on padding.

        Raises:
            InputError: the heads do not divide the width, or the landmarks are below one.
        """
        self._check()
        dtype = self.compute_dtype
        condition = ConditionEmbedding(self.embedding_size, name="condition")(c_noise, cond)
        features = jnp.concatenate([x, coordinate_waves(x, self.n_octaves)], axis=-1)
        tokens = Dense(self.width, compute_dtype=dtype, name="point")(features)
        tokens, landmarks = tokens.astype(jnp.float32), None
        if self.n_landmarks is not None:
            # With this gain they start with unit variance, whatever their number.
            init, shape = scaled_uniform(self.n_landmarks), (self.n_landmarks, self.width)
            start = Dense(self.width, name="landmark_condition")(condition)
            landmarks = self.param("landmarks", init, shape) + start[:, None]

        for i in range(self.depth):
            block = SetBlock(self.n_heads, self.mlp_ratio, dtype, name=f"block_{i}")
            tokens, landmarks = block(tokens, mask, condition, landmarks)

        modulation = Dense(2 * self.width, kernel_init=zeros, name="modulation")(condition)
        tokens = _modulated(tokens, *jnp.split(modulation, 2, axis=-1))
        out = Dense(x.shape[-1], kernel_init=zeros, compute_dtype=dtype, name="out")(tokens)
        return jnp.where(mask[..., None], out.astype(jnp.float32), 0)

    def _check(self) -> None:
        if self.width % self.n_heads:
            raise InputError(
                f"PointTransformer expected n_heads to divide width, found n_heads {self.n_heads} "
                f"and width {self.width}: change one of them."
            )
        if self.n_landmarks is not None and self.n_landmarks < 1:
            raise InputError(
                f"PointTransformer expected n_landmarks of 1 or more, found {self.n_landmarks}: "
                "give a positive number, or None for full attention."
            )
