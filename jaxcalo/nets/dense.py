"""Networks on vectors beside a condition: encoders, decoders, generators and critics.

All are called as net(x (b, k), cond (b, c)) -> (b, m); c may be 0. There is no batch normalisation:
its running statistics would be a state that the training step does not carry, and a critic with it
judges no event alone, as gradient penalties need. The thesis's networks are therefore here without
theirs; `ResidualDense` normalises layers instead.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from jaxcalo.nets.linear import Dense
from jaxcalo.nets.norm import layer_norm
from jaxcalo.typing import Conds, Events


class PlainDense(nn.Module):
    """Layers of given widths on [x, cond].

    Attributes:
        hidden: widths of the hidden layers.
        out_size: m, size of the result.
        activation: after every hidden layer.
    """

    hidden: tuple[int, ...]
    out_size: int
    activation: Callable[[Array], Array] = jax.nn.elu

    @nn.compact
    def __call__(self, x: Events, cond: Conds) -> Array:
        """Map x (b, k) and cond (b, c) to (b, out_size)."""
        h = jnp.concatenate([x, cond], axis=-1)
        for width in self.hidden:
            h = self.activation(Dense(width)(h))
        return Dense(self.out_size)(h)


class ResidualDense(nn.Module):
    """Residual network that is told the condition in every block.

    h <- h + W_2 SiLU(W_1 norm(h) + V SiLU(U cond)), `depth` times; out = W norm(h)

    The last layer does not start at zero: a generator that starts so gives one point.

    Source: He et al., arXiv:1603.05027 (blocks that normalise first).

    Attributes:
        width: size of h, of the hidden layers and of the condition's embedding.
        depth: number of blocks.
        out_size: m, size of the result.
    """

    width: int
    depth: int
    out_size: int

    @nn.compact
    def __call__(self, x: Events, cond: Conds) -> Array:
        """Map x (b, k) and cond (b, c) to (b, out_size)."""
        told = jax.nn.silu(Dense(self.width, name="told")(cond)) if cond.shape[-1] else None
        h = Dense(self.width, name="in")(x)
        for i in range(self.depth):
            inner = Dense(self.width, name=f"block_{i}_in")(layer_norm(h))
            if told is not None:
                inner = inner + Dense(self.width, use_bias=False, name=f"block_{i}_told")(told)
            h = h + Dense(self.width, name=f"block_{i}_out")(jax.nn.silu(inner))
        return Dense(self.out_size, name="out")(layer_norm(h))


def thesis_encoder(n_latent: int = 20) -> PlainDense:
    """The four-lepton thesis's encoder, 32-70-35-8 with ELU, to a mean and a log variance."""
    return PlainDense((70, 35, 8), 2 * n_latent)


def thesis_decoder(out_size: int = 32) -> PlainDense:
    """The thesis's decoder, its encoder's widths backwards."""
    return PlainDense((8, 35, 70), out_size)


def thesis_generator(out_size: int = 32) -> PlainDense:
    """The thesis's generator, 20-40-32 with LeakyReLU."""
    return PlainDense((40,), out_size, jax.nn.leaky_relu)


def thesis_critic() -> PlainDense:
    """The thesis's discriminator: widths that double up to 204, then one number, a logit."""
    return PlainDense((51, 102, 204), 1, jax.nn.leaky_relu)
