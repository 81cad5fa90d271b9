"""The adapter from flat events to networks on a grid.

An event is a flat vector: per-layer energies (if any), then the voxels, layer slowest. The network
sees the voxels on their grid, the energy of a voxel's layer as a second channel, and constant
coordinate channels; what it returns on its second channel, averaged over a layer, belongs to the
energy of that layer.
"""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array

from jaxcalo.errors import InputError
from jaxcalo.typing import Conds, Events


def n_event_channels(n_layer_energies: int = 0, learned_variance: bool = False) -> int:
    """Count the channels that `EventNet` reads from its net: 1, 2 (layer energies); twice that.

    Args:
        n_layer_energies: per-layer energies at the head of an event.
        learned_variance: whether the net also returns variance logits.

    Returns:
        The `out_channels` to give to the net.
    """
    return (2 if n_layer_energies else 1) * (2 if learned_variance else 1)


class EventNet(nn.Module):
    """A network on a grid as a network on flat events.

    Channels in: voxels, [layer energies], [coordinates]. Channels out: voxels, [layer energies];
    with a learned variance these again, for the variance logits.

    Attributes:
        net: module called as net(x (b, *grid, channels), c_noise, cond) -> (b, *grid, channels),
            with `n_event_channels` channels out.
        grid_shape: (layers, azimuth, radius) or (y, x).
        n_layer_energies: 0, or the number of layers (1 for a grid of rank 2).
        coordinates: (*grid, k) constant channels, or None.
        learned_variance: return variance logits after the prediction.
    """

    net: nn.Module
    grid_shape: Sequence[int]
    n_layer_energies: int = 0
    coordinates: np.ndarray | None = None
    learned_variance: bool = False

    @nn.compact
    def __call__(self, x: Events, c_noise: Array, cond: Conds) -> Array:
        """Evaluate the network on flat events.

        Args:
            x: (b, n), n = n_layer_energies + number of voxels.
            c_noise: (b,) noise level, as the parametrization scales it.
            cond: (b, c) standardised conditions.

        Returns:
            (b, n), or (b, 2 n) with a learned variance: first the prediction, then its logits.

        Raises:
            InputError: sizes of event, grid, coordinates or channels do not fit together.
        """
        grid, n_layers = tuple(self.grid_shape), self.n_layer_energies
        self._check(x.shape[-1])
        n = x.shape[0]
        channels = [x[:, n_layers:].reshape(n, *grid, 1)]
        if n_layers:
            # On a grid of rank 2 the one layer is the whole grid.
            per_layer = x[:, :n_layers].reshape(n, n_layers, *(1,) * len(grid))
            channels.append(jnp.broadcast_to(per_layer, (n, *grid, 1)))
        if self.coordinates is not None:
            constant = jnp.asarray(self.coordinates, x.dtype)
            channels.append(jnp.broadcast_to(constant, (n, *constant.shape)))
        out = self.net(jnp.concatenate(channels, axis=-1), c_noise, cond)

        expected = n_event_channels(n_layers, self.learned_variance)
        if out.shape[-1] != expected:
            raise InputError(
                f"EventNet expected a net with {expected} output channels, found {out.shape[-1]}: "
                f"make the net with out_channels={expected}."
            )
        parts = [self._flat(part) for part in jnp.split(out, 1 + self.learned_variance, axis=-1)]
        return jnp.concatenate(parts, axis=-1)

    def _flat(self, out: Array) -> Events:
        """Voxels from the first channel, behind the layer means of the second."""
        n = out.shape[0]
        cells = out[..., 0].reshape(n, -1)
        if not self.n_layer_energies:
            return cells
        per_layer = out[..., 1].reshape(n, self.n_layer_energies, -1).mean(-1)
        return jnp.concatenate([per_layer, cells], axis=-1)

    def _check(self, size: int) -> None:
        grid, n_layers = tuple(self.grid_shape), self.n_layer_energies
        layers = grid[0] if len(grid) == 3 else 1
        if n_layers not in (0, layers):
            raise InputError(
                f"EventNet expected n_layer_energies 0 or {layers} on the grid {grid}, found "
                f"{n_layers}: give one energy a layer or none."
            )
        if size != n_layers + math.prod(grid):
            raise InputError(
                f"EventNet expected events of {n_layers} layer energies and {math.prod(grid)} "
                f"voxels, found {size} numbers: check grid_shape and n_layer_energies."
            )
        if self.coordinates is not None and self.coordinates.shape[:-1] != grid:
            raise InputError(
                f"EventNet expected coordinates of shape {(*grid, 'k')}, found "
                f"{self.coordinates.shape}: give k channels for each voxel of the grid."
            )
