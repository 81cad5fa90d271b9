"""GLaM: trainable linear maps between flat showers of unequal layers and one regular grid.

They start as the maps of `jaxcalo.geometry.glam`, which keep the sum of each layer and undo each
other exactly. CaloDiffusion adds noise of 1e-5 to these initial values; it is left out here: it
does nothing for the training, since the maps of different layers are not alike to begin with, and
would break both properties at the start.

Source: Amram and Pedro, CaloDiffusion, arXiv:2308.03876.
"""

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array

from jaxcalo.geometry import GlamMaps
from jaxcalo.nets.linear import dense
from jaxcalo.typing import Events


class GlamEncoder(nn.Module):
    """From flat showers to the grid: y_j = sum_i W_ji x_i in radius, x / m on m bins in azimuth.

    One matrix a layer, the same for all azimuths, without bias.

    Attributes:
        maps: the grid, and the matrices to start from.
    """

    maps: GlamMaps

    @nn.compact
    def __call__(self, x: Events) -> Array:
        """Map voxels (b, n_voxels) to (b, n_layers, n_azimuth, n_radius)."""
        n_azimuth = self.maps.grid_shape[1]
        ends = np.cumsum([layer.n_voxels for layer in self.maps.layers])
        images = []
        for i, (layer, end) in enumerate(zip(self.maps.layers, ends, strict=True)):
            kernel = self.param(f"layer_{i}", lambda _, w=layer.encoder: jnp.asarray(w.T))
            coarse = x[:, end - layer.n_voxels : end].reshape(-1, layer.n_azimuth, layer.n_radius)
            n_fine = n_azimuth // layer.n_azimuth
            images.append(jnp.repeat(dense(coarse, kernel) / n_fine, n_fine, axis=1))
        return jnp.stack(images, axis=1)


class GlamDecoder(nn.Module):
    """From the grid to flat showers: the sum over m bins in azimuth, one matrix a layer in radius.

    Attributes:
        maps: the grid, and the matrices to start from.
    """

    maps: GlamMaps

    @nn.compact
    def __call__(self, y: Array) -> Events:
        """Map (b, n_layers, n_azimuth, n_radius) to voxels (b, n_voxels)."""
        n, _, n_azimuth, n_radius = y.shape
        parts = []
        for i, layer in enumerate(self.maps.layers):
            kernel = self.param(f"layer_{i}", lambda _, w=layer.decoder: jnp.asarray(w.T))
            n_fine = n_azimuth // layer.n_azimuth
            coarse = y[:, i].reshape(n, layer.n_azimuth, n_fine, n_radius).sum(axis=2)
            parts.append(dense(coarse, kernel).reshape(n, layer.n_voxels))
        return jnp.concatenate(parts, axis=1)
