"""Layer energies apart from the shape of each layer.

The total energy and the energies of the layers are few numbers with sharp, strongly correlated
distributions; the shape inside a layer is many numbers with broad ones. Kept apart, an error of the
shape cannot become an error of the energy.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.lax import Precision

from jaxcalo.preprocess.transform import Transform
from jaxcalo.typing import Event, Scalar


def energy_ratios(
    layer_energy_mev: Array, incident_energy_mev: Scalar, max_deposit: float
) -> Array:
    """Layer energies to independent ratios in [0, 1].

    u_0 = sum_l E_l / (max_deposit E_inc)
    u_l = E_{l-1} / sum_{j >= l-1} E_j,    l = 1 ... n_layers - 1

    Args:
        layer_energy_mev: Shape (n_layers,), in MeV.
        incident_energy_mev: In MeV.
        max_deposit: The largest total deposit in incident energies.

    Returns:
        Shape (n_layers,). Behind the last energetic layer, where the ratio is 0/0, it is 1.

    Source: Krause and Shih, arXiv:2106.05285 (CaloFlow), in the form of Favaro et al.,
    arXiv:2405.09629.
    """
    remaining = jnp.cumsum(layer_energy_mev[::-1])[::-1]
    total = remaining[0]
    ratios = jnp.where(
        remaining > 0.0, layer_energy_mev / jnp.where(remaining > 0.0, remaining, 1.0), 1.0
    )
    return jnp.concatenate([(total / (max_deposit * incident_energy_mev))[None], ratios[:-1]])


def energies_from_ratios(ratios: Array, incident_energy_mev: Scalar, max_deposit: float) -> Array:
    """The inverse of `energy_ratios`.

    Returns:
        Layer energies in MeV, shape (n_layers,), that sum to u_0 max_deposit E_inc.
    """
    total = ratios[0] * max_deposit * incident_energy_mev
    kept = jnp.concatenate([jnp.ones(1), jnp.cumprod(1.0 - ratios[1:])])
    taken = jnp.concatenate([ratios[1:], jnp.ones(1)])
    return total * kept * taken


def split_layers(
    layer_of_voxel: np.ndarray, n_layers: int, max_deposit: float, threshold_mev: float
) -> Transform:
    """Split voxels (n_voxels,) into [n_layers energy ratios, n_voxels voxel energies], MeV.

    Forward keeps the voxels and puts the ratios in front. The inverse takes from the voxels only
    the shape of each layer (negative means empty) and scales it, so that the layer has exactly the
    energy that the ratios say. A layer below threshold is empty; one with energy whose voxels all
    came out empty gives it to the largest.

    Args:
        layer_of_voxel: index of each voxel's layer, (n_voxels,), sorted.
        n_layers: number of layers.
        max_deposit: see `energy_ratios`.
        threshold_mev: the readout threshold, MeV.
    """
    layer = jnp.asarray(layer_of_voxel)
    membership = jnp.asarray(layer_of_voxel[:, None] == np.arange(n_layers), jnp.float32)

    def layer_sum(voxels: Array) -> Array:
        return jnp.matmul(voxels, membership, precision=Precision.HIGHEST)

    def forward(event: Event, energy: Scalar) -> Event:
        return jnp.concatenate([energy_ratios(layer_sum(event), energy, max_deposit), event])

    def inverse(event: Event, energy: Scalar) -> Event:
        target = energies_from_ratios(event[:n_layers], energy, max_deposit)
        target = jnp.where(target < threshold_mev, 0.0, target)
        voxels = event[n_layers:]
        largest = jax.ops.segment_max(voxels, layer, n_layers, indices_are_sorted=True)
        # A layer without a positive voxel gets one, so that its sum is never 0.
        alone = (largest <= 0.0)[layer] & (voxels >= largest[layer])
        shape = jnp.where(alone, 1.0, jnp.maximum(voxels, 0.0))
        return shape * (target / layer_sum(shape))[layer]

    return Transform(forward, inverse)
