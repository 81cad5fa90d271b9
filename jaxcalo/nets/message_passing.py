"""MP-GAN's message-passing networks: every point hears from all points, or from its nearest.

Messages of all pairs cost O(s^2) in time; those of the k nearest O(s k), besides the O(s^2)
distances. Neither makes an array of all pairs: receivers are taken some at a time, and their pairs
are made again in the backward pass, but not the choice of the nearest. The sum over senders
includes the point itself.

Source: Kansal et al., arXiv:2106.11535 (MP-GAN).
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array, lax

from jaxcalo.errors import InputError
from jaxcalo.nets.epic import masked_mean, masked_sum
from jaxcalo.nets.linear import Dense, dense, scaled_uniform, zeros
from jaxcalo.nets.point_wise import point_dense
from jaxcalo.typing import Conds

NEGATIVE_SLOPE = 0.2

# Chosen: the widest layer of the pairs takes 12 MB, so that it stays in a CPU's cache.
NUMBERS_AT_ONCE = 192 * 2**14

Layer = tuple[Array, Array]  # kernel (in, out), bias (out,)


def _activation(x: Array) -> Array:
    return jax.nn.leaky_relu(x, NEGATIVE_SLOPE)


def nearest(
    x: Array, mask: Array, receivers: Array, index: Array, n_neighbours: int
) -> tuple[Array, Array]:
    """Choose the receivers' nearest points: themselves first, then n_neighbours others.

    Args:
        x: (b, s, f) features of all points; the distance is Euclidean in them.
        mask: (b, s) bool, True for real points; no other is chosen.
        receivers: (b, r, f) features of those who choose.
        index: (r,) where the receivers stand in x.
        n_neighbours: number of other points.

    Returns:
        Indices (b, r, m), m = min(n_neighbours + 1, s), and whether there was such a point.
    """
    x, receivers = lax.stop_gradient((x, receivers))
    # From the mean, so that little is lost in the difference of squares.
    mean = masked_mean(x, mask)[:, None]
    x, receivers = x - mean, receivers - mean
    squares = jnp.sum(receivers**2, -1)[:, :, None] + jnp.sum(x**2, -1)[:, None]
    distance = jnp.maximum(squares - 2 * jnp.einsum("brf,bsf->brs", receivers, x), 0)
    distance = jnp.where(mask[:, None], distance, jnp.inf)
    itself = index[:, None] == jnp.arange(x.shape[1])
    distance = jnp.where(itself, -1.0, distance)
    negative, chosen = lax.top_k(-distance, min(n_neighbours + 1, x.shape[1]))
    return chosen, jnp.isfinite(negative)


def _map_receivers(function: Callable[[Any], Array], values: Any, n_at_once: int) -> Array:
    """A function of receivers, (b, r, f) to (b, r, g), of all s, at most n_at_once at a time.

    The backward pass makes again what is inside.
    """
    n_batch, n_points = jax.tree.leaves(values)[0].shape[:2]
    n_parts = -(-n_points // max(1, n_at_once))
    if n_parts == 1:
        return function(values)
    size = -(-n_points // n_parts)

    def split(x: Array) -> Array:
        """(b, s, f) to (n_parts, b, size, f), filled up with zeros."""
        x = jnp.pad(x, ((0, 0), (0, n_parts * size - n_points), (0, 0)))
        return x.reshape(n_batch, n_parts, size, -1).swapaxes(0, 1)

    remade = jax.checkpoint(function, prevent_cse=False)  # pyright: ignore
    parts = lax.map(remade, jax.tree.map(split, values))
    return parts.swapaxes(0, 1).reshape(n_batch, n_parts * size, -1)[:, :n_points]


def sum_messages(
    layers: Sequence[Layer],
    x: Array,
    mask: Array,
    n_neighbours: int | None,
    pairs_at_once: int | None = None,
) -> Array:
    """Sum the messages f_e([x_i, x_j]) to every point i over the points j that it hears.

    f_e: dense layers, LeakyReLU(0.2) after each. The first is W_to x_i + W_from x_j + b, made once
    for every point rather than for every pair.

    Args:
        layers: kernel and bias of each, of the type to compute in; the first kernel is (2 f, out).
        x: (b, s, f).
        mask: (b, s) bool, True for real points: the senders.
        n_neighbours: hear the point itself and so many nearest others; None: all points.
        pairs_at_once: about how many pairs exist at a time; None: NUMBERS_AT_ONCE of their widest
            layer.

    Returns:
        (b, s, features of a message) f32; rows of padding hold something finite.
    """
    (first, bias), *rest = layers
    n_batch, n_points, n_features = x.shape
    rows = x.astype(first.dtype)
    to, sent = dense(rows, first[:n_features], bias), dense(rows, first[n_features:])
    if pairs_at_once is None:
        pairs_at_once = NUMBERS_AT_ONCE // max(kernel.shape[1] for kernel, _ in layers)

    def of_pairs(received: Array, h: Array, weight: Array) -> Array:
        h = _activation(received[:, :, None] + h)
        for kernel, b in rest:
            h = _activation(dense(h, kernel, b))
        return jnp.sum(jnp.where(weight, h, 0), axis=2, dtype=jnp.float32)

    def of_all(received: Array) -> Array:
        return of_pairs(received, sent[:, None], mask[:, None, :, None])

    def of_some(part: tuple[Array, Array]) -> Array:
        received, chosen = part
        h = jax.vmap(lambda values, i: values[i])(sent, jnp.maximum(chosen, 0))
        return of_pairs(received, h, chosen[..., None] >= 0)

    if n_neighbours is None:
        return _map_receivers(of_all, to, pairs_at_once // (n_batch * n_points))

    def choose(part: tuple[Array, Array]) -> Array:
        receivers, index = part
        chosen, real = nearest(points, mask, receivers, index[0, :, 0], n_neighbours)
        return jnp.where(real, chosen, -1)

    # Outside of the messages, which the backward pass makes again: a choice has no gradient.
    points = lax.stop_gradient(x)
    index = jnp.broadcast_to(jnp.arange(n_points)[:, None], (n_batch, n_points, 1))
    chosen = _map_receivers(choose, (points, index), NUMBERS_AT_ONCE // (n_batch * n_points))
    return _map_receivers(of_some, (to, chosen), pairs_at_once // (n_batch * chosen.shape[-1]))


class MPLayer(nn.Module):
    """One message-passing layer: x_i' = f_n([message_scale sum_j f_e([x_i, x_j]), x_i, shared]).

    f_e and f_n are dense layers with LeakyReLU(0.2); the last of f_n is linear.

    Source: arXiv:2106.11535, eqs. 1 and 2.

    Attributes:
        features: size of x_i'.
        edge_widths: sizes of the layers of f_e; the last is the size of a message.
        node_widths: sizes of the hidden layers of f_n.
        n_neighbours: hear the point itself and so many nearest others; None: all points.
        message_scale: factor of the sum; 1 for the 30 particles of a jet.
        gain: of all `scaled_uniform` kernels; 1 / 0.52 makes up for the activation.
        dropout: probability to drop a hidden number of f_n in training (not of f_e, whose numbers
            are as many as the pairs).
        pairs_at_once: about how many exist at a time; None: NUMBERS_AT_ONCE of the widest layer.
        compute_dtype: type of the products.
    """

    features: int
    edge_widths: Sequence[int] = (96, 160, 192)
    node_widths: Sequence[int] = (256, 256)
    n_neighbours: int | None = None
    message_scale: float = 1.0
    gain: float = 1.0
    dropout: float = 0.0
    pairs_at_once: int | None = None
    compute_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, mask: Array, shared: Array, train: bool = False) -> Array:
        """Map points (b, s, f) under a mask (b, s) and vectors of the shower (b, c).

        Args:
            x: (b, s, f); padding may hold anything finite.
            mask: (b, s) bool, True for real points.
            shared: (b, c), known to all points of a shower; c = 0 allowed.
            train: apply the dropout, from the random stream "dropout".

        Returns:
            (b, s, features) f32; rows of padding hold something finite.

        Raises:
            InputError: the number of neighbours is below one.
        """
        if self.n_neighbours is not None and self.n_neighbours < 1:
            raise InputError(
                f"MPLayer expected n_neighbours of 1 or more, found {self.n_neighbours}: give a "
                "positive number, or None for all points."
            )
        sizes = (2 * x.shape[-1], *self.edge_widths)
        edge = [self._layer(f"edge_{i}", sizes[i], n) for i, n in enumerate(self.edge_widths)]
        messages = sum_messages(edge, x, mask, self.n_neighbours, self.pairs_at_once)

        h = jnp.concatenate([self.message_scale * messages, x], axis=-1)
        n_in = h.shape[-1] + shared.shape[-1]
        for i, width in enumerate((*self.node_widths, self.features)):
            kernel, bias = self._layer(f"node_{i}", n_in, width)
            h, n_in = h.astype(self.compute_dtype), width
            if i == 0:
                h = point_dense(h, shared.astype(self.compute_dtype), kernel, bias)
            else:
                h = dense(h, kernel, bias)
            if i < len(self.node_widths):
                h = self._dropped(_activation(h), train)
        return h.astype(jnp.float32)

    def _layer(self, name: str, n_in: int, n_out: int) -> Layer:
        kernel = self.param(f"{name}_kernel", scaled_uniform(self.gain), (n_in, n_out))
        return kernel.astype(self.compute_dtype), self.param(f"{name}_bias", zeros, (n_out,))

    def _dropped(self, h: Array, train: bool) -> Array:
        if not train or self.dropout == 0:
            return h
        kept = jax.random.bernoulli(self.make_rng("dropout"), 1 - self.dropout, (h.size,))
        return jnp.where(kept.reshape(h.shape), h / (1 - self.dropout), 0)


class MessagePassingGenerator(nn.Module):
    """MP-GAN's generator: noise of every point through message-passing layers to its features.

    Global noise and conditions are known to every node network. With 32 features of local noise, 3
    features out, no global noise and no condition, 361,123 parameters.

    Published: local noise N(0, 0.2^2), 30 particles, features within -1 ... 1 by a tanh.

    Source: arXiv:2106.11535.

    Attributes:
        hidden: features of a point between the layers; there is one layer more than these.
        out_features: features of a generated point.
        output_bound: y becomes bound tanh(y / bound); 1 as published; None: no bound.
        edge_widths: of `MPLayer`.
        node_widths: of `MPLayer`.
        n_neighbours: of `MPLayer`.
        message_scale: of `MPLayer`.
        gain: of `MPLayer`.
        pairs_at_once: of `MPLayer`.
        compute_dtype: type of the products.
    """

    hidden: Sequence[int] = (32,)
    out_features: int = 4
    output_bound: float | None = None
    edge_widths: Sequence[int] = (96, 160, 192)
    node_widths: Sequence[int] = (256, 256)
    n_neighbours: int | None = None
    message_scale: float = 1.0
    gain: float = 1.0
    pairs_at_once: int | None = None
    compute_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, local_noise: Array, global_noise: Array, mask: Array, cond: Conds) -> Array:
        """Generate points.

        Args:
            local_noise: (b, s, k).
            global_noise: (b, g), g = 0 as published.
            mask: (b, s) bool, True for the points to make.
            cond: (b, c) standardised conditions.

        Returns:
            (b, s, out_features) f32, zero on padding.
        """
        shared, x = jnp.concatenate([global_noise, cond], axis=-1), local_noise
        for i, features in enumerate((*self.hidden, self.out_features)):
            x = MPLayer(
                features,
                self.edge_widths,
                self.node_widths,
                self.n_neighbours,
                self.message_scale,
                self.gain,
                pairs_at_once=self.pairs_at_once,
                compute_dtype=self.compute_dtype,
                name=f"layer_{i}",
            )(x, mask, shared)
        if self.output_bound is not None:
            x = self.output_bound * jnp.tanh(x / self.output_bound)
        return jnp.where(mask[..., None], x, 0)


class MessagePassingCritic(nn.Module):
    """MP-GAN's discriminator: message-passing layers, a sum over points, one product, a sigmoid.

    With 3 features of a point and no condition, 355,617 parameters.

    Source: arXiv:2106.11535.

    Attributes:
        hidden: features of a point after each layer.
        sigmoid: end with a sigmoid, as published; False: a number without a bound.
        pool_scale: factor of the sum over points; 1 for the 30 particles of a jet.
        dropout: of `MPLayer`; 0.5 as published.
        edge_widths: of `MPLayer`.
        node_widths: of `MPLayer`.
        n_neighbours: of `MPLayer`.
        message_scale: of `MPLayer`.
        gain: of `MPLayer`.
        pairs_at_once: of `MPLayer`.
        compute_dtype: type of the products.
    """

    hidden: Sequence[int] = (32, 32)
    sigmoid: bool = True
    pool_scale: float = 1.0
    dropout: float = 0.0
    edge_widths: Sequence[int] = (96, 160, 192)
    node_widths: Sequence[int] = (256, 256)
    n_neighbours: int | None = None
    message_scale: float = 1.0
    gain: float = 1.0
    pairs_at_once: int | None = None
    compute_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, points: Array, mask: Array, cond: Conds, train: bool = False) -> Array:
        """Judge clouds.

        Args:
            points: (b, s, f).
            mask: (b, s) bool, True for real points.
            cond: (b, c) standardised conditions.
            train: apply the dropout, from the random stream "dropout".

        Returns:
            (b,) f32.
        """
        x = points
        for i, features in enumerate(self.hidden):
            x = MPLayer(
                features,
                self.edge_widths,
                self.node_widths,
                self.n_neighbours,
                self.message_scale,
                self.gain,
                self.dropout,
                self.pairs_at_once,
                self.compute_dtype,
                name=f"layer_{i}",
            )(x, mask, cond, train)
        out = Dense(1, name="out")(self.pool_scale * masked_sum(x, mask))[:, 0]
        return jax.nn.sigmoid(out) if self.sigmoid else out
