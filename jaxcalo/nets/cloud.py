"""Adapters: from flat events to networks on points, and from large clouds to groups of points."""

import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from jaxcalo.errors import InputError
from jaxcalo.typing import Conds, Events

POINT_SIZE = 4  # x, y, depth, energy


def row_mask(n_points: Array, size: int) -> Array:
    """Tell the real rows of padded clouds: row i is real when i < n_points.

    Args:
        n_points: (b,) numbers of points, integers or floats.
        size: rows of a padded cloud.

    Returns:
        (b, size) bool.
    """
    return jnp.arange(size) < n_points[:, None]


class CloudNet(nn.Module):
    """A point network as a network on flat events of padded clouds.

    An event is (4 s,), row after row; the last condition is the number of real rows, which come
    first, as a raw number. The net sees points, their mask and the other conditions. The parameters
    do not depend on s.

    Attributes:
        net: module called as net(points (b, s, 4), mask (b, s), c_noise, cond) -> (b, s, 4).
    """

    net: nn.Module

    @nn.compact
    def __call__(self, x: Events, c_noise: Array, cond: Conds) -> Events:
        """Evaluate the network on flat events.

        Args:
            x: (b, 4 s).
            c_noise: (b,) noise level, as the parametrization scales it.
            cond: (b, c + 1) standardised conditions, then the number of points.

        Returns:
            (b, 4 s) f32, zero on padding.

        Raises:
            InputError: an event is not of whole points, or there is no condition.
        """
        n, size = x.shape
        if size % POINT_SIZE:
            raise InputError(
                f"CloudNet expected events of {POINT_SIZE} numbers a point, found {size} numbers: "
                "give padded clouds, flattened row after row."
            )
        if cond.shape[-1] < 1:
            raise InputError(
                "CloudNet expected the number of points as the last condition, found no condition: "
                "give it, as a float."
            )
        points = x.astype(jnp.float32).reshape(n, -1, POINT_SIZE)
        mask = row_mask(cond[:, -1], points.shape[1])
        out = self.net(points, mask, c_noise, cond[:, :-1])
        return jnp.where(mask[..., None], out, 0).astype(jnp.float32).reshape(n, size)


class GroupedGenerator(nn.Module):
    """A generator applied to groups of a cloud's points, each of the same net.

    The g = ceil(n / size) groups of n real points are dealt in turn, point i to group i mod g, so
    that their numbers differ by one at most. Points of different groups know of each other only
    through the condition and the global noise, which all groups share; a permutation within a group
    permutes the result, one across groups changes it. Padding changes nothing, and up to `size`
    rows the result is the net's own.

    Attributes:
        net: module called as net(local_noise (b, s, k), global_noise (b, g), mask (b, s), cond) ->
            (b, s, f), zero on padding.
        size: most points of a group.
    """

    net: nn.Module
    size: int = 256

    @nn.compact
    def __call__(self, local_noise: Array, global_noise: Array, mask: Array, cond: Conds) -> Array:
        """Generate points.

        Args:
            local_noise: (b, s, k).
            global_noise: (b, g).
            mask: (b, s) bool, True for the points to make.
            cond: (b, c) standardised conditions.

        Returns:
            (b, s, f), zero on padding.

        Raises:
            InputError: a group is to have no point.
        """
        if self.size < 1:
            raise InputError(
                f"GroupedGenerator expected a size of 1 or more, found {self.size}: give the "
                "number of points that the network is trained on."
            )
        n_batch, n_rows, n_local = local_noise.shape
        n_groups = -(-n_rows // self.size)
        if n_groups == 1:
            return self.net(local_noise, global_noise, mask, cond)

        n_slots = n_groups * self.size
        n_dealt = jnp.maximum(-(-jnp.sum(mask, axis=1, keepdims=True) // self.size), 1)
        rank = jnp.maximum(jnp.cumsum(mask, axis=1) - 1, 0)
        slot = rank % n_dealt * self.size + rank // n_dealt
        rows = jnp.full((n_batch, n_slots), n_rows)
        target = jnp.where(mask, slot, n_slots)
        rows = rows.at[jnp.arange(n_batch)[:, None], target].set(jnp.arange(n_rows), mode="drop")

        dealt = jnp.take_along_axis(local_noise, jnp.minimum(rows, n_rows - 1)[..., None], axis=1)
        points = self.net(
            dealt.reshape(-1, self.size, n_local),
            jnp.repeat(global_noise, n_groups, axis=0),
            (rows < n_rows).reshape(-1, self.size),
            jnp.repeat(cond, n_groups, axis=0),
        )
        points = points.reshape(n_batch, n_slots, -1)
        return jnp.where(mask[..., None], jnp.take_along_axis(points, slot[..., None], axis=1), 0)
