"""Convolutional encoders, decoders, generators and critics of showers on a regular grid.

An event is [layer energies, voxels], flat, layer slowest (see event.py). `VoxelEncoder` makes a few
numbers of it: the latent's mean and log variance (encoder), or one judgement (critic).
`VoxelDecoder` makes an event of a few numbers: a latent (decoder) or noise (generator). Every block
is told the condition. Each level halves the grid, rounded up: 15 x 8 x 6 to 8 x 4 x 3 to 4 x 2 x 2.
Normalisation is within an event: a critic then judges each alone, as gradient penalties need.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from jaxcalo.errors import InputError
from jaxcalo.nets.conv import Conv, ConvTranspose
from jaxcalo.nets.linear import Dense
from jaxcalo.nets.norm import layer_norm
from jaxcalo.nets.unet import ResnetBlock
from jaxcalo.typing import Conds, Events

_GROUPS = 4  # of the normalisations; few channels a level need few


class VoxelEncoder(nn.Module):
    """An event and its condition into a few numbers.

    Attributes:
        grid_shape: (layers, azimuth, radius) or (y, x).
        out_size: size of the result: 2 n_latent for an encoder, 1 for a critic.
        n_layer_energies: 0, or the number of layers (1 for a grid of rank 2), at an event's head.
        channels: of each level, multiples of 4; between two levels the grid is halved.
        width: of the embedding of [layer energies, cond], and of the layer before the last.
    """

    grid_shape: Sequence[int]
    out_size: int
    n_layer_energies: int = 0
    channels: Sequence[int] = (16, 32)
    width: int = 64

    @nn.compact
    def __call__(self, x: Events, cond: Conds) -> Array:
        """Map x (b, n) and cond (b, c) to (b, out_size).

        Raises:
            InputError: sizes of event, grid and layers do not fit together, or channels are not
                multiples of 4.
        """
        grid, n_layers = _checked(self.grid_shape, self.n_layer_energies, self.channels)
        size = n_layers + math.prod(grid)
        if x.shape[-1] != size:
            raise InputError(
                f"VoxelEncoder expected events of {n_layers} layer energies and "
                f"{math.prod(grid)} voxels, found {x.shape[-1]} numbers: check grid_shape and "
                "n_layer_energies."
            )
        energies, voxels = x[:, :n_layers], x[:, n_layers:]
        told = _embedding(self.width, jnp.concatenate([energies, cond], axis=-1))
        h = _inside(voxels.reshape(len(x), *grid, 1))
        h = Conv(self.channels[0], name="in")(h)
        for i, features in enumerate(self.channels):
            if i:
                h = Conv(features, 3, 2, name=f"down_{i}")(h)
            h = ResnetBlock(features, _GROUPS, name=f"block_{i}")(h, told)
        h = h.reshape(len(x), -1)
        # Beside the voxels, so that the result can be a function of these numbers alone.
        h = jnp.concatenate([h, energies, cond], axis=-1)
        h = jax.nn.silu(layer_norm(Dense(self.width, name="joined")(h)))
        return Dense(self.out_size, name="out")(jnp.concatenate([h, energies, cond], axis=-1))


class VoxelDecoder(nn.Module):
    """A few numbers and a condition into an event.

    Attributes:
        grid_shape: (layers, azimuth, radius) or (y, x).
        n_layer_energies: as of `VoxelEncoder`.
        channels: as of `VoxelEncoder`: the first are those of the whole grid.
        width: of the embedding of [numbers, cond], which every block is told.
        n_numbers: of each component: 1, or 2 (means, then logarithms of widths).
        local_noise: the last of the numbers, one a voxel, are noise of the voxels: a generator's
            details then need not come from the few others.
    """

    grid_shape: Sequence[int]
    n_layer_energies: int = 0
    channels: Sequence[int] = (16, 32)
    width: int = 64
    n_numbers: int = 1
    local_noise: bool = False

    @nn.compact
    def __call__(self, z: Array, cond: Conds) -> Events:
        """Map z (b, k) and cond (b, c) to (b, n_numbers n).

        Raises:
            InputError: sizes of grid and layers do not fit together, channels are not multiples of
                4, or z is too short for the noise of the voxels.
        """
        grid, n_layers = _checked(self.grid_shape, self.n_layer_energies, self.channels)
        local, n_voxels = None, math.prod(grid)
        if self.local_noise:
            if z.shape[-1] <= n_voxels:
                raise InputError(
                    f"VoxelDecoder expected more than {n_voxels} numbers, one a voxel and those "
                    f"of the event, found {z.shape[-1]}: increase n_noise, or local_noise=False."
                )
            z, local = z[:, :-n_voxels], _inside(z[:, -n_voxels:].reshape(len(z), *grid, 1))
        told = _embedding(self.width, jnp.concatenate([z, cond], axis=-1))
        energies = (
            Dense(self.n_numbers * n_layers, name="layers")(told) if n_layers else told[:, :0]
        )
        voxels = self._voxels(told, local, grid).reshape(len(z), n_voxels, self.n_numbers)
        parts = jnp.split(energies, self.n_numbers, axis=-1)
        return jnp.concatenate(
            [n for i, part in enumerate(parts) for n in (part, voxels[..., i])], axis=-1
        )

    def _voxels(self, told: Array, local: Array | None, grid: tuple[int, ...]) -> Array:
        sizes = [_inside_shape(grid)]
        for _ in self.channels[1:]:
            sizes.append(tuple(-(-n // 2) for n in sizes[-1]))
        h = Dense(math.prod(sizes[-1]) * self.channels[-1], name="in")(told)
        h = h.reshape(len(told), *sizes[-1], self.channels[-1])
        for i in reversed(range(len(self.channels))):
            if i < len(self.channels) - 1:
                h = ConvTranspose(self.channels[i], sizes[i], 4, 2, name=f"up_{i}")(h)
            if i == 0 and local is not None:
                h = jnp.concatenate([h, local], axis=-1)
            h = ResnetBlock(self.channels[i], _GROUPS, name=f"block_{i}")(h, told)
        return _inside(Conv(self.n_numbers, name="out")(h))


def _embedding(width: int, numbers: Array) -> Array:
    h = jax.nn.silu(Dense(width, name="told_in")(numbers))
    return jax.nn.silu(Dense(width, name="told_out")(h))


def _inside(x: Array) -> Array:
    """Exchange layer and azimuth, which stands next to the batch in convolutions, and back."""
    return jnp.swapaxes(x, 1, 2) if x.ndim == 5 else x


def _inside_shape(grid: tuple[int, ...]) -> tuple[int, ...]:
    return (grid[1], grid[0], grid[2]) if len(grid) == 3 else grid


def _checked(
    grid_shape: Sequence[int], n_layer_energies: int, channels: Sequence[int]
) -> tuple[tuple[int, ...], int]:
    """The grid and the number of layer energies, if a network can be made of them."""
    grid = tuple(grid_shape)
    layers = grid[0] if len(grid) == 3 else 1
    if len(grid) not in (2, 3) or n_layer_energies not in (0, layers):
        raise InputError(
            "A convolutional network expected a grid of 2 or 3 axes and no layer energies or "
            f"{layers}, found the grid {grid} and {n_layer_energies}: give one energy a layer."
        )
    if not channels or any(c < 1 or c % _GROUPS for c in channels):
        raise InputError(
            f"A convolutional network expected channels that are multiples of {_GROUPS}, found "
            f"{tuple(channels)}: choose (16, 32), say."
        )
    return grid, n_layer_energies
