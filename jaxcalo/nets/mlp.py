"""A small residual network on vectors: layer energies, four-momenta, latent variables."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from jaxcalo.nets.embeddings import ConditionEmbedding
from jaxcalo.nets.linear import Dense, zeros
from jaxcalo.nets.norm import layer_norm
from jaxcalo.typing import Conds, Events


class ResidualMLP(nn.Module):
    """Residual network on vectors, modulated by the noise level and the conditions.

    h <- h + W_2 SiLU(W_1 norm(h) + V embedding), `depth` times. A new network returns zero.

    Source: He et al., arXiv:1603.05027 (blocks that normalise first).

    Attributes:
        width: size of h and of the hidden layers.
        depth: number of blocks.
        out_size: size of the result.
        embedding_size: size of the embedding of noise level and conditions.
        compute_dtype: type of the matrix products; parameters and statistics are f32.
    """

    width: int
    depth: int
    out_size: int
    embedding_size: int = 64
    compute_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Events, c_noise: Array, cond: Conds) -> Array:
        """Evaluate the network.

        Args:
            x: (b, n).
            c_noise: (b,) noise level, as the parametrization scales it.
            cond: (b, c) standardised conditions.

        Returns:
            (b, out_size) f32.
        """
        dtype = self.compute_dtype
        condition = ConditionEmbedding(self.embedding_size, name="condition")(c_noise, cond)
        h = Dense(self.width, compute_dtype=dtype, name="in")(x).astype(jnp.float32)
        for i in range(self.depth):
            inner = Dense(self.width, compute_dtype=dtype, name=f"block_{i}_in")(layer_norm(h))
            given = Dense(self.width, use_bias=False, compute_dtype=dtype, name=f"block_{i}_cond")
            inner = jax.nn.silu(inner + given(condition))
            h = h + Dense(self.width, compute_dtype=dtype, name=f"block_{i}_out")(inner)
        out = Dense(self.out_size, kernel_init=zeros, compute_dtype=dtype, name="out")(
            layer_norm(h)
        )
        return out.astype(jnp.float32)
