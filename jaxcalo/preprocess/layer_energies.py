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
from jax.scipy.special import expit, logit

from jaxcalo.preprocess.transform import Transform
from jaxcalo.typing import Event, Scalar


def layer_ratios(max_deposit: float, margin: float) -> Transform:
    """Layer energies in MeV (n_layers,) <-> logits of independent ratios in [0, 1].

    u_0 = sum_l E_l / (max_deposit E_inc)
    u_l = E_{l-1} / sum_{j >= l-1} E_j,    l = 1 ... n_layers - 1
    y_l = logit(margin + (1 - 2 margin) u_l)

    Behind the last energetic layer, where the ratio is 0/0, it is 1. u_l and 1 - u_l are computed
    apart in both directions: behind a layer that takes nearly everything, 1 - u_l rounded to
    float32 would say nothing.

    Args:
        max_deposit: The largest total deposit in incident energies.
        margin: Distance of the ratios 0 and 1 from the poles of the logit.

    Source: Krause and Shih, arXiv:2106.05285 (CaloFlow), in the form of Favaro et al.,
    arXiv:2405.09629.
    """

    def forward(layer_energy_mev: Event, incident_energy_mev: Scalar) -> Event:
        remaining = jnp.cumsum(layer_energy_mev[::-1])[::-1]
        total = remaining[0] / (max_deposit * incident_energy_mev)
        # The ratio 1 where both are zero.
        here = jnp.where(remaining > 0.0, layer_energy_mev, 1.0)[:-1]
        behind = remaining[1:]
        taken = (1.0 - margin) * here + margin * behind
        kept = (1.0 - margin) * behind + margin * here
        return jnp.append(logit(margin + (1.0 - 2.0 * margin) * total), jnp.log(taken / kept))

    def inverse(logits: Event, incident_energy_mev: Scalar) -> Event:
        def share(logits: Array) -> Array:
            return jnp.clip((expit(logits) - margin) / (1.0 - 2.0 * margin), 0.0, 1.0)

        total = share(logits[0]) * max_deposit * incident_energy_mev
        kept = jnp.append(1.0, jnp.cumprod(share(-logits[1:])))
        taken = jnp.append(share(logits[1:]), 1.0)
        return total * kept * taken

    return Transform(forward, inverse)


def split_layers(
    layer_of_voxel: np.ndarray, layer_energies: Transform, n_layers: int, threshold_mev: float
) -> Transform:
    """Split voxels in MeV (n_voxels,) into [what describes the layer energies, voxels in MeV].

    The inverse takes from the voxels only the shape of each layer (negative means empty) and scales
    it, so that the layer has exactly the energy that its description says, in voxels that reach the
    threshold: those that do not are emptied, and the others share what they had. A layer below
    threshold is empty; one with energy whose voxels would all be empty gives it to the largest, the
    first of them if several are equal.

    Args:
        layer_of_voxel: Index of each voxel's layer, (n_voxels,), sorted.
        layer_energies: Layer energies in MeV (n_layers,) <-> their description (n_layers,).
        n_layers: Number of layers.
        threshold_mev: The readout threshold, MeV.
    """
    layer, place = jnp.asarray(layer_of_voxel), jnp.arange(len(layer_of_voxel))
    membership = jnp.asarray(layer_of_voxel[:, None] == np.arange(n_layers), jnp.float32)

    def layer_sum(voxels: Array) -> Array:
        return jnp.matmul(voxels, membership, precision=Precision.HIGHEST)

    def forward(event: Event, energy: Scalar) -> Event:
        return jnp.concatenate([layer_energies.forward(layer_sum(event), energy), event])

    def inverse(event: Event, energy: Scalar) -> Event:
        target = layer_energies.inverse(event[:n_layers], energy)
        target = jnp.where(target < threshold_mev, 0.0, target)
        voxels = event[n_layers:]
        largest = jax.ops.segment_max(voxels, layer, n_layers, indices_are_sorted=True)
        candidates = jnp.where(voxels >= largest[layer], place, len(place))
        is_largest = place == jax.ops.segment_min(candidates, layer, n_layers)[layer]
        # A layer without a positive voxel gets one, so that its sum is never 0.
        shape = jnp.where(is_largest & (largest <= 0.0)[layer], 1.0, jnp.maximum(voxels, 0.0))
        scaled = shape * (target / layer_sum(shape))[layer]
        readable = scaled >= threshold_mev
        alone = (layer_sum(readable.astype(jnp.float32)) == 0.0)[layer]
        shape = jnp.where(readable | (alone & is_largest), shape, 0.0)
        return shape * (target / layer_sum(shape))[layer]

    return Transform(forward, inverse)
