"""The networks of VAEs and GANs on vectors, from outside, and how they start."""

from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from jaxcalo.families.base import Encode
from jaxcalo.typing import Conds, Params


class VectorNet(Protocol):
    """An encoder, decoder, generator or critic, batch first: what a Linen module is from outside.

    x (b, k), cond (b, c) -> (b, m)
    """

    def init(self, key: Array, x: Array, cond: Conds, /) -> Params:
        """Random parameters."""
        ...

    def apply(self, params: Params, x: Array, cond: Conds, /) -> Any:
        """Evaluate."""
        ...


def encoded_sizes(encode: Encode, data: Any) -> tuple[int, int]:
    """Length of an event and of its condition, as `encode` makes them of a batch's data."""
    first = jax.tree.map(lambda x: x[0], data)
    event, cond = jax.eval_shape(encode, jax.random.key(0), first)
    return event.shape[0], cond.shape[0]


def start(net: VectorNet, key: Array, size: int, n_conditions: int) -> Params:
    """Random parameters of a network on vectors of a size."""
    return net.init(key, jnp.zeros((1, size)), jnp.zeros((1, n_conditions)))
