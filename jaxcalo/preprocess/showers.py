"""The two recipes that turn showers into the vectors that a model learns, and their constants' fit.

A recipe is a frozen dataclass with `raw_transform(detector)`; `fit` measures the standardisation on
showers, and `prepare` joins both into the functions that training and sampling call. The constants
are plain arrays that live in the checkpoint.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcalo.errors import InputError
from jaxcalo.geometry import Detector, symmetries, voxels
from jaxcalo.preprocess.conditions import Condition, encode_conditions, n_condition_columns
from jaxcalo.preprocess.layer_energies import layer_ratios, split_layers
from jaxcalo.preprocess.transform import (
    Transform,
    chain,
    hit_scale,
    logit_scale,
    on_slice,
    scale_by_incident_energy,
    scale_with_energy,
    standardise,
    threshold,
)
from jaxcalo.typing import Cond, Scalar
from jaxcalo.units import GeV

# A component that never varies (a layer ratio that is always 1) keeps its scale instead of being
# divided by zero.
_SMALLEST_STD = 1e-3


class Constants(NamedTuple):
    """What `fit` measures: mean and std of each component (n,), and of log E_inc ()."""

    mean: np.ndarray
    std: np.ndarray
    log_energy_mean: np.ndarray
    log_energy_std: np.ndarray


class Preprocess(Protocol):
    """A recipe. `n_layer_energies(detector)` components come before the voxels."""

    def raw_transform(self, detector: Detector) -> Transform:
        """MeV -> numbers of order one, before standardisation."""
        ...

    def n_layer_energies(self, detector: Detector) -> int:
        """How many components precede the voxels."""
        ...

    def layer_transform(self, detector: Detector) -> Transform | None:
        """Layer energies in MeV <-> the components before the voxels; None if there are none."""
        ...

    def energy_power(self, detector: Detector) -> np.ndarray:
        """p_i: the fluctuations of component i fall with the incident energy as E^-p_i, (n,)."""
        ...


@dataclasses.dataclass(frozen=True)
class LayerShapes:
    """Energy ratios of the layers, and the shape inside each layer, which is scaled to its energy.

    Attributes:
        max_deposit: largest total deposit, in incident energies.
        ratio_margin: see `layer_ratios`; chosen, see experiments/README.md.
        unit_mev: see `hit_scale`, MeV.
        power: see `hit_scale`.
        gap: see `hit_scale`.
    """

    max_deposit: float = 2.0
    ratio_margin: float = 1e-6
    unit_mev: float = 1.0
    power: float = 0.5
    gap: float = 1.5

    def raw_transform(self, detector: Detector) -> Transform:
        """See `split_layers`, `layer_ratios` and `hit_scale`."""
        n_layers, size = detector.n_layers, detector.n_layers + detector.n_voxels
        lowest, layer_energies = _threshold(detector), self.layer_transform(detector)
        return chain(
            threshold(lowest),
            split_layers(voxels(detector).layer, layer_energies, n_layers, lowest),
            on_slice(hit_scale(lowest, self.unit_mev, self.power, self.gap), n_layers, size),
        )

    def layer_transform(self, detector: Detector) -> Transform:
        """See `layer_ratios`."""
        del detector
        return layer_ratios(self.max_deposit, self.ratio_margin)

    def n_layer_energies(self, detector: Detector) -> int:
        """One ratio a layer."""
        return detector.n_layers

    def energy_power(self, detector: Detector) -> np.ndarray:
        """1/2 for the total energy, whose resolution has a stochastic term; 0 for the others."""
        power = np.zeros(detector.n_layers + detector.n_voxels, np.float32)
        power[0] = 0.5
        return power


@dataclasses.dataclass(frozen=True)
class IncidentFractions:
    """The logit of each voxel's fraction of the incident energy: CaloDiffusion's preprocessing.

    Attributes:
        max_deposit: Largest deposit, in incident energies (2 for data sets 2 and 3, 3.1 for
            data set 1).
        margin: Empty voxels sit at logit(margin).

    Source: Amram and Pedro, arXiv:2308.03876, section III.
    """

    max_deposit: float = 2.0
    margin: float = 1e-6

    def raw_transform(self, detector: Detector) -> Transform:
        """See `scale_by_incident_energy` and `logit_scale`."""
        return chain(
            threshold(_threshold(detector)),
            scale_by_incident_energy(self.max_deposit),
            logit_scale(self.margin),
        )

    def n_layer_energies(self, detector: Detector) -> int:
        """None: a voxel carries its energy itself."""
        del detector
        return 0

    def layer_transform(self, detector: Detector) -> None:
        """None: there are no such components."""
        del detector

    def energy_power(self, detector: Detector) -> np.ndarray:
        """No scaling with energy."""
        return np.zeros(detector.n_voxels, np.float32)


class Preprocessor(NamedTuple):
    """A recipe ready to use.

    Attributes:
        transform: Voxels in MeV (n_voxels,) <-> standardised event (n,).
        condition: Raw condition [E_inc in MeV, further conditions] (1 + k,) -> what a network sees:
            [(log E_inc - mean) / std, these encoded].
        layers: Layer energies in MeV (n_layers,) <-> the components of an event before the voxels;
            None if there are none.
        layer_condition: (these components, encoded condition) -> 1/4 log(1 + E_l / threshold) of
            each layer (n_layers,), numbers of order one for a network; None likewise.
    """

    transform: Transform
    condition: Callable[[Array], Cond]
    layers: Transform | None
    layer_condition: Callable[[Array, Cond], Array] | None


def prepare(
    recipe: Preprocess,
    detector: Detector,
    constants: Constants,
    conditions: Sequence[Condition] = (),
) -> Preprocessor:
    """Join a recipe with its fitted constants.

    Args:
        recipe: The preprocessing recipe.
        detector: The geometry of the showers.
        constants: Its fitted constants.
        conditions: What the showers depend on beside the energy.

    """
    mean, std = jnp.asarray(constants.mean), jnp.asarray(constants.std)
    power = jnp.asarray(recipe.energy_power(detector))
    reference_mev = jnp.exp(jnp.asarray(constants.log_energy_mean))
    n_before = recipe.n_layer_energies(detector)

    def standardised(raw: Transform, stop: int | None = None) -> Transform:
        """Behind a transform to the first components."""
        scale = standardise(mean[:stop], std[:stop])
        return chain(raw, scale, scale_with_energy(power[:stop], reference_mev))

    raw_layers = recipe.layer_transform(detector)
    layers = None if raw_layers is None else standardised(raw_layers, n_before)

    def condition(raw: Array) -> Cond:
        n_further = n_condition_columns(conditions)
        if raw.shape != (1 + n_further,):
            raise InputError(
                f"expected a condition of the incident energy and {n_further} further numbers, "
                f"found the shape {raw.shape}; give [E_inc in MeV, further conditions]"
            )
        z = (jnp.log(raw[0]) - constants.log_energy_mean) / constants.log_energy_std
        return jnp.concatenate([z[None], encode_conditions(conditions, raw[1:])])

    transform = standardised(recipe.raw_transform(detector))
    if layers is None:
        return Preprocessor(transform, condition, None, None)

    def layer_condition(head: Array, cond: Cond) -> Array:
        energy = jnp.exp(cond[0] * constants.log_energy_std + constants.log_energy_mean)
        return 0.25 * jnp.log1p(layers.inverse(head, energy) / _threshold(detector))

    return Preprocessor(transform, condition, layers, layer_condition)


def fit(
    recipe: Preprocess, detector: Detector, chunks: Iterable[tuple[np.ndarray, np.ndarray]]
) -> Constants:
    """Measure the standardisation in one pass.

    mean = sum w x / sum w,  std^2 = sum w (x - mean)^2 / n,  w = (E_inc / reference)^(2 p)

    Components that a symmetry of the detector exchanges share their constants, so that the
    standardised event has the symmetry of the shower.

    Args:
        recipe: The preprocessing recipe.
        detector: The geometry of the showers.
        chunks: Pairs (incident energies (n,), voxel energies (n, n_voxels)), in MeV.

    Raises:
        InputError: There is no shower to fit to.
    """
    forward = jax.jit(jax.vmap(recipe.raw_transform(detector).forward))
    power = np.append(0.0, recipe.energy_power(detector))  # log E_inc is component 0
    moments = []
    for energy, shower in chunks:
        log_energy = np.log(energy.astype(np.float64))[:, None]
        values = np.append(log_energy, np.asarray(forward(shower, energy), np.float64), axis=1)
        weight = (energy[:, None] / GeV) ** (2.0 * power)
        counts = np.full(len(power), len(values))
        moments.append([counts, *((weight * values**k).sum(axis=0) for k in range(3))])
    if not moments:
        raise InputError("preprocessing: expected showers to fit to, found none; use a larger file")
    n, weights, total, squares = np.sum(moments, axis=0)
    mean, square = total / weights, squares / weights
    mean[1:], square[1:] = (_symmetrise(m[1:], recipe, detector) for m in (mean, square))
    variance = np.maximum(square - mean**2, 0.0) * weights / n
    std = np.sqrt(variance) * (GeV / np.exp(mean[0])) ** power
    mean, std = mean.astype(np.float32), np.maximum(std, _SMALLEST_STD).astype(np.float32)
    return Constants(mean[1:], std[1:], np.asarray(mean[0]), np.asarray(std[0]))


def augment(detector: Detector) -> Callable[[Scalar, Array], Array]:
    """Random symmetry of the detector.

    Returns:
        (u in [0, 1), voxels (n_voxels,)) -> voxels of an equally likely shower.
    """
    permutations = jnp.asarray(symmetries(detector))

    def apply(u: Scalar, shower: Array) -> Array:
        index = jnp.minimum((u * len(permutations)).astype(jnp.int32), len(permutations) - 1)
        return shower[permutations[index]]

    return apply


def _symmetrise(moment: np.ndarray, recipe: Preprocess, detector: Detector) -> np.ndarray:
    first = recipe.n_layer_energies(detector)
    orbit_mean = np.mean([moment[first:][p] for p in symmetries(detector)], axis=0)
    return np.concatenate([moment[:first], orbit_mean])


def _threshold(detector: Detector) -> float:
    if detector.threshold_mev <= 0.0:
        raise InputError(
            f"geometry {detector.name}: expected a readout threshold above 0 MeV, "
            f"found {detector.threshold_mev}; "
            'add threshold_mev="..." to the Bin element of its XML'
        )
    return detector.threshold_mev
