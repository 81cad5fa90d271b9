"""CaloClouds' PointWise network: every point on its own, under a context of its shower.

Points do not see each other; what makes them one shower is the context: noise level, conditions,
and the latent vector of CaloClouds I. The products of the context are made once a shower.

Source: Buhmann et al., arXiv:2305.04847 (CaloClouds), arXiv:2309.05704 (CaloClouds II); the layer:
Grathwohl et al., arXiv:1810.01367.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array

from jaxcalo.nets.linear import Dense, Initializer, dense, scaled_uniform, zeros
from jaxcalo.typing import Conds

NEGATIVE_SLOPE = 0.01
# Standard deviation of the random frequencies. Published: 16, of which c_noise, some 2.5 wide, is
# 250 turns: what is learned at one noise level says nothing about the next. Chosen: with 1 the loss
# falls faster at every noise level (calo_clouds_2.py with widths 64 to 256, one seed: 0.958 against
# 0.960 in the third hundred of batches, from 1).
FREQUENCY_WIDTH = 1.0

# A gate near sigmoid(0) leaves a quarter of the variance and LeakyReLU a half: with this gain what
# tells one point from another neither fades nor grows through the layers of a new network. (With
# gain 1 it arrives a hundred times smaller.)
_HIDDEN_INIT = scaled_uniform(8.0)


def point_dense(x: Array, shared: Array, kernel: Array, bias: Array | None = None) -> Array:
    """Multiply [x, shared] by a matrix without repeating over points what a shower's points share.

    y_i = W_x x_i + (W_shared shared + b), (W_x, W_shared) the rows of W

    Args:
        x: (b, s, f) points.
        shared: (b, c), c = 0 allowed.
        kernel: (f + c, features out), of the type of x and shared.
        bias: (features out,) or None.

    Returns:
        (b, s, features out).
    """
    n_features = x.shape[-1]
    return dense(x, kernel[:n_features]) + dense(shared, kernel[n_features:], bias)[:, None]


@functools.cache
def random_frequencies(n: int) -> np.ndarray:
    """Draw n fixed frequencies from N(0, FREQUENCY_WIDTH^2): always the same, (n,) f32."""
    with jax.ensure_compile_time_eval():
        draws = jax.random.normal(jax.random.key(0, impl="threefry2x32"), (n,), jnp.float32)
        return FREQUENCY_WIDTH * np.asarray(draws)


class NoiseEmbedding(nn.Module):
    """CaloClouds II's embedding of the noise level: LeakyReLU(W [cos, sin](2 pi f_k c_noise) + b).

    Source: Tancik et al., arXiv:2006.10739; Buhmann et al., arXiv:2309.05704.

    Attributes:
        n_frequencies: number of the fixed frequencies; the embedding has twice this size.
    """

    n_frequencies: int = 32

    @nn.compact
    def __call__(self, c_noise: Array) -> Array:
        """Embed noise levels (b,) into (b, 2 n_frequencies)."""
        frequencies = jnp.asarray(random_frequencies(self.n_frequencies))
        phase = 2 * math.pi * c_noise.astype(jnp.float32)[:, None] * frequencies
        waves = jnp.concatenate([jnp.cos(phase), jnp.sin(phase)], axis=-1)
        return jax.nn.leaky_relu(Dense(2 * self.n_frequencies, name="out")(waves), NEGATIVE_SLOPE)


class ConcatSquash(nn.Module):
    """y_i = (W x_i + b) sigmoid(W_gate context + b_gate) + W_shift context.

    Parameters: f o + o of the points, (2 c + 1) o of the context.

    Source: Grathwohl et al., arXiv:1810.01367.

    Attributes:
        features: o, size of the output.
        point_init: initializer of W.
        shift_init: initializer of W_shift.
        compute_dtype: type of the product with the points and of the result.
    """

    features: int
    point_init: Initializer = scaled_uniform()
    shift_init: Initializer = scaled_uniform()
    compute_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, context: Array) -> Array:
        """Map points (b, s, f) under contexts (b, c) f32 to (b, s, features)."""
        dtype = self.compute_dtype
        gate = jax.nn.sigmoid(Dense(self.features, name="gate")(context)).astype(dtype)
        shift = Dense(self.features, False, self.shift_init, name="shift")(context).astype(dtype)
        y = Dense(self.features, True, self.point_init, dtype, name="point")(x)
        return y * gate[:, None] + shift[:, None]


class PointWise(nn.Module):
    """Point network of ConcatSquash layers with LeakyReLU(0.01) between them.

    A new network returns zero (x, where the result is added to x): in a short training on photon
    showers it so reached the same loss in a quarter of the steps of a random last layer.

    CaloClouds II and its consistency model, the defaults: context [embedding of c_noise, cond];
    with two conditions 504,920 parameters, of which 4,160 are the embedding's. Their number of the
    noise level is ln(sigma) / 4, which is our c_noise = ln(sigma / alpha) / 4 as alpha = 1.

    CaloClouds I: `PointWise(n_frequencies=None, residual=True)`: context [b, sin b, cos b, cond],
    cond = [latent vector (256), conditions (2)], the result added to x; 1,001,520 parameters. There
    b was the step's beta in [1e-4, 0.02], here it is c_noise, which is of order one and tells the
    levels apart.

    The cost is 2 sum_l f_l f_(l+1) operations a point (0.66 million by default), at a CPU's rate of
    matrix products.

    Source: Buhmann et al., arXiv:2305.04847; arXiv:2309.05704.

    Attributes:
        widths: sizes of the hidden layers.
        n_frequencies: of the embedding of c_noise; None: c_noise itself, its sine and its cosine.
        residual: add the result to x.
        compute_dtype: type of the products with the points; parameters and context are f32.
    """

    widths: Sequence[int] = (128, 256, 512, 256, 128)
    n_frequencies: int | None = 32
    residual: bool = False
    compute_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, mask: Array, c_noise: Array, cond: Conds) -> Array:
        """Evaluate the network.

        Args:
            x: (b, s, f) points.
            mask: (b, s) bool, True for real points.
            c_noise: (b,) noise level, as the parametrization scales it.
            cond: (b, c) standardised conditions, after a latent vector if there is one.

        Returns:
            (b, s, f) f32, zero on padding.
        """
        level = c_noise.astype(jnp.float32)[:, None]
        if self.n_frequencies is None:
            noise = jnp.concatenate([level, jnp.sin(level), jnp.cos(level)], axis=-1)
        else:
            noise = NoiseEmbedding(self.n_frequencies, name="noise")(c_noise)
        context = jnp.concatenate([noise, cond.astype(jnp.float32)], axis=-1)

        h, dtype = x, self.compute_dtype
        for i, width in enumerate(self.widths):
            layer = ConcatSquash(width, _HIDDEN_INIT, compute_dtype=dtype, name=f"layer_{i}")
            h = jax.nn.leaky_relu(layer(h, context), NEGATIVE_SLOPE)
        out = ConcatSquash(x.shape[-1], zeros, zeros, dtype, name="out")(h, context)
        out = out.astype(jnp.float32)
        out = x + out if self.residual else out
        return jnp.where(mask[..., None], out, 0)
