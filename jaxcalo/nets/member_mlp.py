"""Fixed dropout masks: several members in the weights of one network, told apart by a number.

Unit u of a layer is left out for member m of M where

    frac(u g + m / M) < drop,    g the golden ratio's fraction                                (1)

u g fills [0, 1) evenly, so that every member loses the same share of every layer, every unit is
lost by about the same number of members, and members' masks differ the more the farther their
numbers. Nothing is drawn: masks are the same in training, in sampling and on every machine.

Source: Durasov et al. 2021 (arXiv:2012.08334), fixed masks instead of random ones; (1) is ours.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array

from jaxcalo.errors import InputError
from jaxcalo.nets.embeddings import ConditionEmbedding
from jaxcalo.nets.linear import Dense, zeros
from jaxcalo.nets.norm import layer_norm
from jaxcalo.typing import Conds, Events, Params

_GOLDEN = 0.6180339887498949


def member_masks(n_members: int, n_units: int, drop: float) -> np.ndarray:
    """The masks (1): 0 where a unit is left out, 1 / (share that is kept) elsewhere.

    Args:
        n_members: M, how many.
        n_units: units of the layer.
        drop: share of the units that each member leaves out, in [0, 1).

    Returns:
        (n_members, n_units) f32, the mean of each row 1.

    Raises:
        InputError: no members, or a share that leaves a member without units.
    """
    place = np.arange(n_units) * _GOLDEN + np.arange(n_members)[:, None] / max(n_members, 1)
    kept = place % 1.0 >= drop
    if n_members < 1 or not drop >= 0.0 or not kept.any(axis=1).all():
        raise InputError(
            "fixed masks: expected at least one member and a share of dropped units in [0, 1) that "
            f"leaves some of {n_units}, found {n_members} members and {drop}; drop 0.3, say"
        )
    return (kept / kept.mean(axis=1, keepdims=True)).astype(np.float32)


def member_params(params: Params, m: int, n_members: int, drop: float) -> Params:
    """What makes a `ResidualMLP` member m of a `MemberMLP`: its masks, in the weights behind them.

    Args:
        params: Of the `MemberMLP`.
        m: Number of the member, from 0.
        n_members: Of the network.
        drop: Of the network.
    """
    layers = params["params"]
    masked = {}
    for name, layer in layers.items():
        if name.startswith("block_") and name.endswith("_out"):
            mask = member_masks(n_members, len(layer["kernel"]), drop)[m]
            masked[name] = layer | {"kernel": mask[:, None] * layer["kernel"]}
    return {"params": layers | masked}


class MemberMLP(nn.Module):
    """`ResidualMLP` whose hidden units are masked by the member, the last number of the condition.

    h <- h + W_2 mask SiLU(W_1 norm(h) + V embedding), `depth` times. A new network returns zero.

    Attributes:
        width: size of h and of the hidden layers.
        depth: number of blocks.
        out_size: size of the result.
        n_members: how many; the number of a member is 0, 1, ... and is not embedded.
        drop: share of the hidden units that each member leaves out.
        embedding_size: size of the embedding of noise level and conditions.
        compute_dtype: type of the matrix products; parameters and statistics are f32.
    """

    width: int
    depth: int
    out_size: int
    n_members: int
    drop: float = 0.3
    embedding_size: int = 64
    compute_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Events, c_noise: Array, cond: Conds) -> Array:
        """Evaluate the network.

        Args:
            x: (b, n).
            c_noise: (b,) noise level, as the parametrization scales it.
            cond: (b, c + 1) standardised conditions, then the number of the member.

        Returns:
            (b, out_size) f32.
        """
        dtype = self.compute_dtype
        masks = jnp.asarray(member_masks(self.n_members, self.width, self.drop))
        mask = masks[jnp.round(cond[:, -1]).astype(jnp.int32)]
        condition = ConditionEmbedding(self.embedding_size, name="condition")(c_noise, cond[:, :-1])
        h = Dense(self.width, compute_dtype=dtype, name="in")(x).astype(jnp.float32)
        for i in range(self.depth):
            inner = Dense(self.width, compute_dtype=dtype, name=f"block_{i}_in")(layer_norm(h))
            given = Dense(self.width, use_bias=False, compute_dtype=dtype, name=f"block_{i}_cond")
            inner = mask * jax.nn.silu(inner + given(condition))
            h = h + Dense(self.width, compute_dtype=dtype, name=f"block_{i}_out")(inner)
        out = Dense(self.out_size, kernel_init=zeros, compute_dtype=dtype, name="out")(
            layer_norm(h)
        )
        return out.astype(jnp.float32)
