"""Toy showers from formulas, for tests: the shape of an electromagnetic shower, not its physics."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxcalo.data.showers import Showers
from jaxcalo.errors import InputError
from jaxcalo.geometry import Detector, voxels
from jaxcalo.typing import Event, Key, Scalar

# Chosen to look like an electromagnetic shower in a dense sampling calorimeter.
_DEPTH = 25.0  # radiation lengths covered by the layers
_SCALE = 0.5  # b, per radiation length
_CRITICAL_ENERGY_MEV = 10.0
_RADIUS_MM = 10.0
_QUANTUM_MEV = 3.0


def toy_showers(
    key: Key,
    detector: Detector,
    n_showers: int,
    energy_range_mev: tuple[float, float] = (1e3, 5e4),
) -> Showers:
    """Draw toy showers for any detector.

    Layer energies follow a gamma profile in depth, voxel energies fall exponentially with the
    distance from a slightly moved axis:

        dE/dt ~ (b t)^(a - 1) exp(-b t),   (a - 1) / b = log(E / E_c) + noise
        E_v = q N_v u_v,   N_v = floor(m_v f_v + u'_v),   u_v ~ U(1/2, 3/2),   u'_v ~ U(0, 1)

    with m_v the mean number of quanta q in the voxel and f_v log-normal of mean 1 and variance
    1 / max(m_v, 1): N_v is whole, unbiased and fluctuates about as a Poisson number, but compiles
    faster. Energies below the detector's threshold are set to zero. One key a shower, so that the
    first showers do not depend on how many are drawn.

    Args:
        key: decides everything.
        detector: any readout, regular or not.
        n_showers: how many.
        energy_range_mev: incident energies are drawn log-uniformly from this range, MeV.

    Returns:
        n_showers showers.

    Raises:
        InputError: the number or the range of energies makes no sense.

    Source: profile, Longo and Sestili, Nucl. Instrum. Meth. 128 (1975) 283.
    """
    low, high = energy_range_mev
    if n_showers < 1 or not 0 < low <= high < math.inf:
        raise InputError(
            f"expected 1 shower or more and a range of positive energies, found {n_showers} showers"
            f" from {low} to {high} MeV"
        )
    incident, energy = _draw(key, detector, n_showers, math.log(low), math.log(high))
    return Showers(np.array(incident), np.array(energy))


@partial(jax.jit, static_argnames=("detector", "n_showers"))
def _draw(key: Key, detector: Detector, n_showers: int, log_low: float, log_high: float):
    """Return incident energies (n_showers,) and voxel energies (n_showers, n_voxels)."""

    def draw_one(index):
        # two draws for everything, since each one costs compile time
        key_normal, key_uniform = jax.random.split(jax.random.fold_in(key, index))
        normal = jax.random.normal(key_normal, (detector.n_voxels + 3,))
        uniform = jax.random.uniform(key_uniform, (2 * detector.n_voxels + 1,))
        incident = jnp.exp(log_low + (log_high - log_low) * uniform[0])
        return incident, _shower(detector, incident, normal, uniform[1:])

    return jax.vmap(draw_one)(jnp.arange(n_showers))


def _shower(
    detector: Detector, incident_energy_mev: Scalar, normal: Event, uniform: Event
) -> Event:
    """Return voxel energies made of n_voxels + 3 normal and 2 n_voxels uniform random numbers."""
    depth_noise, axis, voxel_noise = normal[0], 0.2 * _RADIUS_MM * normal[1:3], normal[3:]
    rounding, spread = jnp.split(uniform, 2)
    place = voxels(detector)
    # at least 0.5: a shower starts inside the detector, however low its energy
    peak = jnp.maximum(jnp.log(incident_energy_mev / _CRITICAL_ENERGY_MEV) + 0.5 * depth_noise, 0.5)
    depth = _SCALE * _DEPTH * (np.arange(detector.n_layers) + 0.5) / detector.n_layers
    profile = jax.nn.softmax(_SCALE * peak * jnp.log(depth) - depth)

    distance = jnp.hypot(place.x_mm - axis[0], place.y_mm - axis[1])
    weight = place.area_mm2 * jnp.exp(-distance / _RADIUS_MM)
    in_layer = jax.ops.segment_sum(weight, place.layer, detector.n_layers)
    mean = incident_energy_mev * (profile / in_layer)[place.layer] * weight / _QUANTUM_MEV

    width_2 = jnp.log1p(1 / jnp.maximum(mean, 1.0))
    number = jnp.floor(mean * jnp.exp(jnp.sqrt(width_2) * voxel_noise - width_2 / 2) + rounding)
    energy = _QUANTUM_MEV * number * (0.5 + spread)
    return jnp.where(energy < detector.threshold_mev, 0.0, energy)
