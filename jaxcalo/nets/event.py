"""The adapter from flat events to networks on a grid.

An event is a flat vector: per-layer energies (if any), then the voxels, layer slowest. The network
sees the voxels on their grid, the energy of a voxel's layer as a second channel, a condition on its
layer as another, and constant coordinate channels; what it returns on its second channel, averaged
over a layer, belongs to the energy of that layer. Layers of unequal binning reach a common grid,
and leave it, by trainable linear maps (see glam.py); the event itself stays in its own bins.
"""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array

from jaxcalo.errors import InputError
from jaxcalo.geometry import GlamMaps
from jaxcalo.nets.glam import GlamDecoder, GlamEncoder
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

    Channels in: voxels, [layer energies], [layer conditions], [coordinates]. Channels out: voxels,
    [layer energies]; with a learned variance these again, for the variance logits.

    Attributes:
        net: module called as net(x (b, *grid, channels), c_noise, cond) -> (b, *grid, channels),
            with `n_event_channels` channels out.
        grid_shape: (layers, azimuth, radius) or (y, x), what the net sees.
        n_layer_energies: 0, or the number of layers (1 for a grid of rank 2).
        coordinates: (*grid, k) constant channels, or None.
        learned_variance: return variance logits after the prediction.
        n_layer_conditions: how many conditions, from the first on, say something of one layer: 0,
            or the number of layers. They also stay among the conditions given to the net.
        maps: for layers of unequal binning, their maps to and from the grid.
    """

    net: nn.Module
    grid_shape: Sequence[int]
    n_layer_energies: int = 0
    coordinates: np.ndarray | None = None
    learned_variance: bool = False
    n_layer_conditions: int = 0
    maps: GlamMaps | None = None

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
            InputError: sizes of event, conditions, grid, coordinates or channels do not fit
                together.
        """
        n, grid, n_layers = x.shape[0], tuple(self.grid_shape), self.n_layer_energies
        self._check(x.shape[-1], cond.shape[-1])
        voxels = x[:, n_layers:]
        if self.maps is not None:
            voxels = GlamEncoder(self.maps, name="encoder")(voxels)
        channels = [voxels.reshape(n, *grid, 1)]
        if n_layers:
            channels.append(self._spread(x[:, :n_layers]))
        if self.n_layer_conditions:
            channels.append(self._spread(cond[:, : self.n_layer_conditions]))
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
        decode = None if self.maps is None else GlamDecoder(self.maps, name="decoder")
        parts = jnp.split(out, 1 + self.learned_variance, axis=-1)
        return jnp.concatenate([self._flat(part, decode) for part in parts], axis=-1)

    def _spread(self, per_layer: Array) -> Array:
        """(b, layers) numbers as a channel; on a grid of rank 2 the one layer is the whole grid."""
        grid = tuple(self.grid_shape)
        stretched = per_layer.reshape(*per_layer.shape, *(1,) * len(grid))
        return jnp.broadcast_to(stretched, (len(per_layer), *grid, 1))

    def _flat(self, out: Array, decode: GlamDecoder | None) -> Events:
        """Voxels from the first channel, behind the layer means of the second."""
        n = out.shape[0]
        cells = out[..., 0].reshape(n, -1) if decode is None else decode(out[..., 0])
        if not self.n_layer_energies:
            return cells
        per_layer = out[..., 1].reshape(n, self.n_layer_energies, -1).mean(-1)
        return jnp.concatenate([per_layer, cells], axis=-1)

    def _check(self, size: int, n_conditions: int) -> None:
        grid, n_layers = tuple(self.grid_shape), self.n_layer_energies
        layers = grid[0] if len(grid) == 3 else 1
        for name, number in (
            ("n_layer_energies", n_layers),
            ("n_layer_conditions", self.n_layer_conditions),
        ):
            if number not in (0, layers):
                raise InputError(
                    f"EventNet expected {name} 0 or {layers} on the grid {grid}, found {number}: "
                    "give one number a layer or none."
                )
        if n_conditions < self.n_layer_conditions:
            raise InputError(
                f"EventNet expected {self.n_layer_conditions} conditions or more, one a layer "
                f"first, found {n_conditions}: give them, or n_layer_conditions=0."
            )
        if self.maps is not None and self.maps.grid_shape != grid:
            raise InputError(
                f"EventNet expected maps to the grid {grid}, found maps to {self.maps.grid_shape}: "
                "give the grid_shape of the maps."
            )
        n_voxels = math.prod(grid) if self.maps is None else self.maps.n_voxels
        if size != n_layers + n_voxels:
            raise InputError(
                f"EventNet expected events of {n_layers} layer energies and {n_voxels} "
                f"voxels, found {size} numbers: check grid_shape and n_layer_energies."
            )
        if self.coordinates is not None and self.coordinates.shape[:-1] != grid:
            raise InputError(
                f"EventNet expected coordinates of shape {(*grid, 'k')}, found "
                f"{self.coordinates.shape}: give k channels for each voxel of the grid."
            )
