"""Masks: which components of a padded event are real, and a network that sees no others.

A point cloud is the flat vector (4 s,) of its s rows, of which the first cond[-1] are real; s
differs from batch to batch. Noise and network outputs are zero on padding and every mean is over
real components, so that padding changes nothing.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from jaxcalo.families.base import Net
from jaxcalo.nets import POINT_SIZE, row_mask
from jaxcalo.typing import Cond, Conds, Event, Events, Key, Params, Scalar

# (condition, n) -> (n,), 1 where a component of that one event is real and 0 on padding.
Mask = Callable[[Cond, int], Event]


def cloud_mask(cond: Cond, n: int) -> Event:
    """The mask of a point cloud, whose number of points is the last component of its condition."""
    real = row_mask(cond[-1:], n // POINT_SIZE)[0]
    return jnp.repeat(real, POINT_SIZE).astype(jnp.float32)


def masked(mask: Mask | None, cond: Cond, event: Event) -> Event:
    """The event with zeros on padding; without a mask as it is.

    Noise that is masked does not depend on the padding: JAX's random numbers for n components begin
    with those for fewer (where jax_threefry_partitionable is set, as it is by default).
    """
    if mask is None:
        return event
    return jnp.where(mask(cond, event.shape[0]) > 0, event, 0)


def mean_scale(mask: Mask | None, cond: Cond, n: int) -> Scalar | float:
    """What a mean over n components is multiplied by, to be one over the real ones.

    Right where the padding contributes zero. An event without a real component keeps its mean, 0.
    """
    if mask is None:
        return 1.0
    return n / jnp.maximum(jnp.sum(mask(cond, n)), 1.0)


@dataclasses.dataclass(frozen=True)
class MaskedNet:
    """A network whose input and output are zero on padding, whatever the one inside returns."""

    net: Net
    mask: Mask

    def init(self, key: Key, x: Events, c_noise: Array, cond: Conds, /) -> Params:
        """Random parameters of the network inside."""
        return self.net.init(key, x, c_noise, cond)

    def apply(self, params: Params, x: Events, c_noise: Array, cond: Conds, /) -> Events:
        """Evaluate; x (b, n), c_noise (b,), cond (b, c)."""
        hide = jax.vmap(lambda c, event: masked(self.mask, c, event))
        return hide(cond, self.net.apply(params, hide(cond, x), c_noise, cond))


def masked_net(net: Net, mask: Mask | None) -> Net:
    """The network behind its mask; itself without one."""
    return net if mask is None else MaskedNet(net, mask)
