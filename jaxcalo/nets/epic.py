"""EPiC networks: points exchange by way of one global vector, at a cost linear in their number.

A layer pools the points into a mean and a sum, updates the global vector with them, and every point
with the global vector. All products are weight-normalised, all activations LeakyReLU(0.01).

Source: Buhmann, Kasieczka, Thaler, arXiv:2301.08128 (EPiC-GAN); the encoder: Buhmann et al.,
arXiv:2305.04847 (CaloClouds); Salimans & Kingma, arXiv:1602.07868 (weight normalisation).
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from jaxcalo.nets.embeddings import ConditionEmbedding
from jaxcalo.nets.linear import Dense, dense, scaled_uniform, zeros
from jaxcalo.nets.point_wise import NEGATIVE_SLOPE, point_dense
from jaxcalo.typing import Conds


def _activation(x: Array) -> Array:
    return jax.nn.leaky_relu(x, NEGATIVE_SLOPE)


def masked_sum(x: Array, mask: Array) -> Array:
    """Sum x (b, s, f) over the points that the mask (b, s) keeps: (b, f) f32."""
    return jnp.sum(jnp.where(mask[..., None], x, 0), axis=1, dtype=jnp.float32)


def masked_mean(x: Array, mask: Array) -> Array:
    """Mean of x (b, s, f) over the points that the mask (b, s) keeps, 0 without any: (b, f) f32."""
    n_points = jnp.sum(mask, axis=1, dtype=jnp.float32)[:, None]
    return masked_sum(x, mask) / jnp.maximum(n_points, 1)


def _pool(x: Array, mask: Array, sum_scale: float) -> Array:
    """[mean, sum * sum_scale] of the points, (b, 2 f)."""
    return jnp.concatenate([masked_mean(x, mask), masked_sum(x, mask) * sum_scale], axis=-1)


class WeightNormDense(nn.Module):
    """A weight-normalised `dense`: y = (length v / |v|) x + bias, |v| over the inputs of an output.

    A new layer has length = |v|, so that it starts as the plain one.

    Source: Salimans & Kingma, arXiv:1602.07868, eq. 2.

    Attributes:
        features: size of the output; there is one length for each.
        compute_dtype: type of the product and of the result.
    """

    features: int
    compute_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, shared: Array | None = None) -> Array:
        """Apply to the last axis of x (..., f), or to [x, shared], x (b, s, f), shared (b, c)."""
        dtype, n_shared = self.compute_dtype, 0 if shared is None else shared.shape[-1]
        shape = (x.shape[-1] + n_shared, self.features)
        direction = self.param("direction", scaled_uniform(), shape)
        norm = jnp.linalg.norm(direction, axis=0)
        length = self.param("length", lambda _: norm)
        bias = self.param("bias", zeros, (self.features,))
        kernel = (direction * (length / norm)).astype(dtype)
        if shared is None:
            return dense(x.astype(dtype), kernel, bias)
        return point_dense(x.astype(dtype), shared.astype(dtype), kernel, bias)


class EpicLayer(nn.Module):
    """One equivariant layer on points x_i and a global vector g, under conditions.

        g'   = act(W_2 act(W_1 [mean x, sum_scale sum x, g, cond]) + g)
        x_i' = act(W_4 act(W_3 [x_i, g', cond]) + x_i)

    Source: arXiv:2301.08128.

    Attributes:
        sum_scale: factor of the sum, to keep it of order one.
        compute_dtype: type of the products with the points; pooling and g are f32.
    """

    sum_scale: float
    compute_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, g: Array, mask: Array, cond: Conds) -> tuple[Array, Array]:
        """Map x (b, s, hidden), g (b, k) under a mask (b, s) and conditions (b, c) to new x, g."""
        hidden, dtype = x.shape[-1], self.compute_dtype
        pooled = jnp.concatenate([_pool(x, mask, self.sum_scale), g, cond], axis=-1)
        inner = _activation(WeightNormDense(hidden, name="global_in")(pooled))
        g = _activation(WeightNormDense(g.shape[-1], name="global_out")(inner) + g)
        shared = jnp.concatenate([g, cond], axis=-1)
        inner = _activation(WeightNormDense(hidden, dtype, name="point_in")(x, shared))
        return _activation(WeightNormDense(hidden, dtype, name="point_out")(inner) + x), g


class EpicGenerator(nn.Module):
    """EPiC-GAN's generator: local and global noise, layers with skips to the inputs, one product.

    Noise reaches x and g by one and two products; after every layer the first x and g are added.
    Conditions join the global noise and enter every layer. With the published sizes (3 features of
    local noise and of the result, 10 of global noise, no condition): 422,217 parameters and 2,633
    lengths of the weight normalisation.

    Source: arXiv:2301.08128.

    Attributes:
        hidden: features of a point inside.
        global_width: size of the global vector.
        n_layers: number of EPiC layers.
        out_features: features of a generated point.
        sum_scale: factor of the pooled sums; 1 for the 30 particles of a jet.
        compute_dtype: type of the products with the points.
    """

    hidden: int = 128
    global_width: int = 10
    n_layers: int = 6
    out_features: int = 4
    sum_scale: float = 1e-3
    compute_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, local_noise: Array, global_noise: Array, mask: Array, cond: Conds) -> Array:
        """Generate points.

        Args:
            local_noise: (b, s, k).
            global_noise: (b, g).
            mask: (b, s) bool, True for the points to make.
            cond: (b, c) standardised conditions.

        Returns:
            (b, s, out_features) f32, zero on padding.
        """
        dtype = self.compute_dtype
        x = _activation(WeightNormDense(self.hidden, dtype, name="point_in")(local_noise))
        g = jnp.concatenate([global_noise, cond], axis=-1)
        g = _activation(WeightNormDense(self.hidden, name="global_in")(g))
        g = _activation(WeightNormDense(self.global_width, name="global_out")(g))
        first_x, first_g = x, g
        for i in range(self.n_layers):
            x, g = EpicLayer(self.sum_scale, dtype, name=f"layer_{i}")(x, g, mask, cond)
            x, g = x + first_x, g + first_g
        out = WeightNormDense(self.out_features, dtype, name="out")(x).astype(jnp.float32)
        return jnp.where(mask[..., None], out, 0)


class _Summary(nn.Module):
    """Points to one vector (b, hidden): two local products, EPiC layers, pooling, two products."""

    hidden: int
    global_width: int
    n_layers: int
    sum_scale: float
    compute_dtype: Any

    @nn.compact
    def __call__(self, points: Array, mask: Array, cond: Conds) -> Array:
        hidden, dtype = self.hidden, self.compute_dtype
        x = _activation(WeightNormDense(hidden, dtype, name="point_0")(points))
        x = _activation(WeightNormDense(hidden, dtype, name="point_1")(x) + x)
        g = jnp.concatenate([_pool(x, mask, self.sum_scale), cond], axis=-1)
        g = _activation(WeightNormDense(hidden, name="global_0")(g))
        g = _activation(WeightNormDense(self.global_width, name="global_1")(g))
        for i in range(self.n_layers):
            x, g = EpicLayer(self.sum_scale, dtype, name=f"layer_{i}")(x, g, mask, cond)
        h = jnp.concatenate([_pool(x, mask, self.sum_scale), g, cond], axis=-1)
        h = _activation(WeightNormDense(hidden, name="global_2")(h))
        return _activation(WeightNormDense(hidden, name="global_3")(h) + h)


class EpicCritic(nn.Module):
    """EPiC-GAN's discriminator: one number a cloud, without a bound.

    With the published sizes (3 features, no condition): 311,337 parameters and 1,833 lengths of the
    weight normalisation. It has neither dropout nor statistics: the same in training.

    Source: arXiv:2301.08128.

    Attributes:
        hidden: features of a point inside.
        global_width: size of the global vector.
        n_layers: number of EPiC layers.
        sum_scale: factor of the pooled sums; 1 for the 30 particles of a jet.
        compute_dtype: type of the products with the points.
    """

    hidden: int = 128
    global_width: int = 10
    n_layers: int = 3
    sum_scale: float = 1e-3
    compute_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, points: Array, mask: Array, cond: Conds) -> Array:
        """Judge points (b, s, f) under a mask (b, s) and conditions (b, c): (b,) f32."""
        sizes = (self.hidden, self.global_width, self.n_layers, self.sum_scale, self.compute_dtype)
        summary = _Summary(*sizes, name="summary")(points, mask, cond)
        return WeightNormDense(1, name="out")(summary)[:, 0]


class EpicEncoder(nn.Module):
    """CaloClouds I's encoder: a cloud to mean and log variance of its latent vector.

    Source: arXiv:2305.04847.

    Attributes:
        latent: size of the latent vector.
        hidden: features of a point inside.
        global_width: size of the global vector.
        n_layers: number of EPiC layers.
        sum_scale: factor of the pooled sums.
        compute_dtype: type of the products with the points.
    """

    latent: int = 256
    hidden: int = 128
    global_width: int = 10
    n_layers: int = 3
    sum_scale: float = 1e-3
    compute_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, points: Array, mask: Array, cond: Conds) -> tuple[Array, Array]:
        """Encode points (b, s, f) under a mask (b, s) and conditions (b, c).

        Returns:
            mean (b, latent) and log variance (b, latent), f32.
        """
        sizes = (self.hidden, self.global_width, self.n_layers, self.sum_scale, self.compute_dtype)
        summary = _Summary(*sizes, name="summary")(points, mask, cond)
        mean = Dense(self.latent, name="mean")(summary)
        return mean, Dense(self.latent, name="log_variance")(summary)


class EpicDenoiser(nn.Module):
    """A point network of EPiC layers, for the diffusion families. A new network returns zero.

    The global vector starts as a product of the embedding of noise level and conditions, which also
    enters every layer; after every layer the first x and g are added.

    Source: the layers of arXiv:2301.08128; their use for flow matching: Buhmann et al.,
    arXiv:2310.00049.

    Attributes:
        hidden: features of a point inside.
        global_width: size of the global vector.
        n_layers: number of EPiC layers.
        sum_scale: factor of the pooled sums.
        embedding_size: size of the embedding of noise level and conditions.
        compute_dtype: type of the products with the points.
    """

    hidden: int = 128
    global_width: int = 16
    n_layers: int = 6
    sum_scale: float = 1e-3
    embedding_size: int = 32
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
        """
        dtype = self.compute_dtype
        condition = ConditionEmbedding(self.embedding_size, name="condition")(c_noise, cond)
        h = _activation(WeightNormDense(self.hidden, dtype, name="point_in")(x))
        g = _activation(WeightNormDense(self.global_width, name="global_in")(condition))
        first_h, first_g = h, g
        for i in range(self.n_layers):
            h, g = EpicLayer(self.sum_scale, dtype, name=f"layer_{i}")(h, g, mask, condition)
            h, g = h + first_h, g + first_g
        out = Dense(x.shape[-1], kernel_init=zeros, compute_dtype=dtype, name="out")(h)
        return jnp.where(mask[..., None], out.astype(jnp.float32), 0)
