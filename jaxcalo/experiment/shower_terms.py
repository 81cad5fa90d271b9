"""Losses from physics on showers: differentiable observables of what is decoded to MeV."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.lax import Precision

from jaxcalo.experiment.family_config import ShowerTerms
from jaxcalo.families import PhysicsTerm
from jaxcalo.geometry import Detector, voxels
from jaxcalo.metrics.tables import is_azimuthal
from jaxcalo.preprocess import Constants, Preprocessor
from jaxcalo.typing import Cond, Event, Scalar

# (voxels in MeV (n_voxels,), E_inc in MeV) -> (k,)
ShowerObservable = Callable[[Event, Scalar], Array]

# mm^2. A width has no gradient at 0, where all energy of a layer is in one ring.
_SMALLEST_VARIANCE = 1e-6


def shower_terms(
    config: ShowerTerms, detector: Detector, preprocessor: Preprocessor, constants: Constants
) -> list[PhysicsTerm]:
    """The terms of a configuration, for standardised events.

    The gradient goes through the decoding: through the energies of the voxels that are hit, not
    through which ones are.

    Args:
        config: Their weights; those of 0 are left out.
        detector: The geometry of the showers.
        preprocessor: How showers become standardised events.
        constants: Its fitted constants.
    """

    def of(observable: ShowerObservable) -> Callable[[Event, Cond], Array]:
        def features(event: Event, cond: Cond) -> Array:
            energy = jnp.exp(cond[0] * constants.log_energy_std + constants.log_energy_mean)
            return observable(preprocessor.transform.inverse(event, energy), energy)

        return features

    return [
        PhysicsTerm(name, of(observable), getattr(config, name))
        for name, observable in shower_observables(detector).items()
        if getattr(config, name) > 0.0
    ]


def shower_observables(detector: Detector) -> dict[str, ShowerObservable]:
    """The observables of one shower by the names of `ShowerTerms`, as the metrics define them.

    e_ratio = sum E / E_inc,   centre_u = sum u E / sum E,   n_effective = (sum E)^2 / sum E^2
    width_r of a layer = sqrt(sum (r - centre_r)^2 E / sum E)

    Of an empty shower, or layer, all are 0 (width_r: 0.001 mm). A layer that is not divided in
    azimuth has x = y = 0.

    Args:
        detector: The geometry of the showers.
    """
    where = voxels(detector)
    directed = np.asarray([is_azimuthal(layer) for layer in detector.relevant_layers])[where.layer]
    r = jnp.asarray(where.r_mm, jnp.float32)
    membership = jnp.asarray(where.layer[:, None] == np.arange(detector.n_layers), jnp.float32)

    def layer_sum(values: Array) -> Array:
        return jnp.matmul(values, membership, precision=Precision.HIGHEST)

    def centre(position: np.ndarray) -> ShowerObservable:
        place = jnp.asarray(position, jnp.float32)
        return lambda event, _: jnp.sum(place * event / _divisor(jnp.sum(event)))[None]

    def width_r(event: Event, _: Scalar) -> Array:
        share = event / _divisor(layer_sum(event))[where.layer]
        variance = layer_sum(share * (r - layer_sum(share * r)[where.layer]) ** 2)
        return jnp.sqrt(jnp.maximum(variance, _SMALLEST_VARIANCE))

    def n_effective(event: Event, _: Scalar) -> Array:
        share = event / _divisor(jnp.sum(event))
        return (jnp.sum(share) / _divisor(jnp.sum(share**2)))[None]

    return {
        "e_ratio": lambda event, energy: (jnp.sum(event) / energy)[None],
        "centre_x": centre(where.x_mm * directed),
        "centre_y": centre(where.y_mm * directed),
        "centre_z": centre(where.layer),
        "width_r": width_r,
        "n_effective": n_effective,
    }


def _divisor(total: Array) -> Array:
    """A total by which its parts are divided: 1 where it is 0, and so are they."""
    return jnp.where(total > 0.0, total, 1.0)
