"""What a flow learns of a whole shower before its points: (2 L + 5) nearly normal numbers.

The published vector: number of points, visible energy, centre in x, y and depth, points and energy
of each layer. Three steps make it so nearly N(0, 1) that the untrained (identity) flow is a model:

1. log N, log(E_vis / E_inc) and the depth are made normal given log E_inc; x and y too.
2. Given these three and log E_inc, so is each layer: the root of its dequantised number of points,
   and, given that too, the log of their mean energy. The shift of a shower along the depth, its
   strongest and least linear mode, is so taken out of all layers.
3. What linear correlation is left is whitened.

The inverse makes whole numbers of points of sum N and energies of sum E_vis: exact for a shower's
own vector, physical for any.

Sources: Buhmann et al., arXiv:2309.05704 (the vector); the coordinates are our own.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.lax import Precision

from jaxcalo.errors import InputError
from jaxcalo.preprocess.apportion import share_energy, share_points
from jaxcalo.preprocess.conditional_normal import (
    NormalMap,
    array_module,
    fit_normal_map,
    from_normal,
    no_normal_map,
    quadratic,
    to_normal,
)
from jaxcalo.typing import Event, Key, Scalar

_N_GLOBAL = 3  # log N, log(E_vis / E_inc), depth
_N_HEAD = _N_GLOBAL + 2  # and the centre
_FEWEST_SHOWERS = 20
# A count c becomes c + u with u in [margin, 1 - margin]: float32 cannot round it to another.
_MARGIN = 0.02
# Quadratic features are not asked beyond this; components of a vector not beyond the other.
_FURTHEST_FEATURE = 3.5
_FURTHEST_COMPONENT = 30.0
_MOST_LOG_FRACTION = 3.0  # a calibrated calorimeter may show more than E_inc, not 20 times it


class Summary(NamedTuple):
    """One shower, layer by layer.

    Attributes:
        n_points: points of each layer, (L,), whole numbers as floats.
        energy_mev: energy of each layer, MeV, (L,).
        centre_mm: energy-weighted mean of x and y, mm, (2,).
    """

    n_points: Array
    energy_mev: Array
    centre_mm: Array


@dataclasses.dataclass(frozen=True)
class SummaryScales:
    """What a summary must obey.

    Attributes:
        threshold_mev: smallest energy of a point, MeV.
        max_points: most points of a shower.
        symmetric: the detector and the beam have the symmetry of the square about (0, 0): the fit
            then learns no offset of the centre and no preferred direction.
        eigenvalue_floor: smallest variance, of unit-variance numbers, that is scaled up to 1.
    """

    threshold_mev: float = 0.01
    max_points: int = 6000
    symmetric: bool = False
    eigenvalue_floor: float = 0.01

    def __post_init__(self) -> None:
        for name in ("threshold_mev", "max_points", "eigenvalue_floor"):
            if getattr(self, name) <= 0:
                raise InputError(f"{name}: expected a number above 0, found {getattr(self, name)}")


class SummaryConstants(NamedTuple):
    """What `fit_summary` measures.

    Attributes:
        log_energy: mean and standard deviation of log E_inc in MeV, (2,).
        head: maps of the global numbers and the centre, given log E_inc, leading axis 5.
        counts: maps of the layers' numbers of points, leading axis L.
        energies: maps of the layers' mean energies a point, leading axis L.
        mean: of the normal numbers, (2 L + 5,).
        basis: eigenvectors of their covariance in columns, largest first, (2 L + 5, 2 L + 5).
        std: roots of its eigenvalues, (2 L + 5,).
    """

    log_energy: np.ndarray
    head: NormalMap
    counts: NormalMap
    energies: NormalMap
    mean: np.ndarray
    basis: np.ndarray
    std: np.ndarray


class SummaryTransform(NamedTuple):
    """Summary <-> standardised vector, of one shower.

    Attributes:
        forward: (key, summary, incident_energy_mev) -> vector (2 L + 5,); the key dequantises.
        inverse: (vector, incident_energy_mev) -> Summary. Of any vector it is physical: 1 to
            max_points points, energy where points are and only there, at least the threshold each.
    """

    forward: Callable[[Key, Summary, Scalar], Event]
    inverse: Callable[[Event, Scalar], Summary]


def summarise(points: Array, n_layers: int) -> Summary:
    """Summarise one cloud.

    Args:
        points: rows x_mm, y_mm, layer, energy_mev, (s, 4); rows without energy are padding.
        n_layers: L.
    """
    energy = jnp.maximum(points[:, 3], 0.0)
    layer = jnp.where(energy > 0.0, points[:, 2].astype(jnp.int32), -1)
    member = (layer[:, None] == jnp.arange(n_layers)).astype(points.dtype)
    total = jnp.maximum(jnp.sum(energy), jnp.finfo(points.dtype).tiny)  # an empty cloud: centre 0
    return Summary(
        jnp.sum(member, axis=0),
        jnp.sum(member * energy[:, None], axis=0),
        jnp.sum(points[:, :2] * energy[:, None], axis=0) / total,
    )


def n_summary_components(n_layers: int) -> int:
    """Length of the vector."""
    return 2 * n_layers + _N_HEAD


def no_summary_constants(config: SummaryScales, n_layers: int) -> SummaryConstants:
    """Constants of the right shapes that scale nothing: what a checkpoint is restored into."""
    del config

    def stacked(n_maps: int, n_dependences: int) -> NormalMap:
        n_features = quadratic(np.zeros(n_dependences)).shape[-1]
        return _stack([no_normal_map(n_features)] * n_maps)

    n = n_summary_components(n_layers)
    return SummaryConstants(
        np.array([0.0, 1.0], np.float32),
        stacked(_N_HEAD, 1),
        stacked(n_layers, 1 + _N_GLOBAL),
        stacked(n_layers, 2 + _N_GLOBAL),
        np.zeros(n, np.float32),
        np.eye(n, dtype=np.float32),
        np.ones(n, np.float32),
    )


def fit_summary(
    config: SummaryScales, incident_energy_mev: np.ndarray, summaries: Summary
) -> SummaryConstants:
    """Measure the constants, on the host.

    Args:
        config: what a summary must obey.
        incident_energy_mev: (n,).
        summaries: of n showers, arrays with leading axis n.

    Raises:
        InputError: too few showers, or one without points.
    """
    n_points, energy, centre = (np.asarray(a, np.float64) for a in summaries)
    n, n_layers = n_points.shape
    if n < _FEWEST_SHOWERS or not (n_points.sum(axis=1) >= 1).all():
        raise InputError(
            f"shower summaries: expected at least {_FEWEST_SHOWERS} showers, each with points, "
            f"found {n}, {int((n_points.sum(axis=1) < 1).sum())} of them empty; use more showers "
            "and leave the empty ones out"
        )
    log_energy = np.log(np.asarray(incident_energy_mev, np.float64))
    scale = np.array([log_energy.mean(), max(log_energy.std(), 1e-2)])  # also of one energy only
    x = ((log_energy - scale[0]) / scale[1])[:, None]
    draws = jax.random.split(jax.random.key(0))  # the fit is one number for one data set
    u = np.asarray(jax.random.uniform(draws[0], n_points.shape))
    filler = np.asarray(jax.random.normal(draws[1], n_points.shape))

    global_numbers = _globals(n_points, energy, np.exp(log_energy))
    features = _features(x)
    fits = [fit_normal_map(features, y) for y in global_numbers.T]
    given = np.concatenate([x, *(z[:, None] for _, z in fits)], axis=1)
    fits += _fit_centre(features, centre, config.symmetric)

    features = _features(given)
    roots = _to_root(n_points, u)
    counts = [fit_normal_map(features, y) for y in roots.T]
    mean_energy = _log_mean_energy(n_points, energy)
    energies, z_energy = [], np.array(filler)
    for layer in range(n_layers):
        hit = n_points[:, layer] > 0
        own = np.column_stack([given, _count_feature(n_points[:, layer])])
        fitted, z = fit_normal_map(_features(own[hit]), mean_energy[hit, layer])
        energies.append(fitted)
        z_energy[hit, layer] = z
    z = np.column_stack([*(z for _, z in fits), *(z for _, z in counts), z_energy])
    mean, basis, std = _whitening(z, config)
    return SummaryConstants(
        scale.astype(np.float32),
        _stack([fitted for fitted, _ in fits]),
        _stack([fitted for fitted, _ in counts]),
        _stack(energies),
        mean,
        basis,
        std,
    )


def summary_transform(config: SummaryScales, constants: SummaryConstants) -> SummaryTransform:
    """Join the configuration with its fitted constants."""
    log_energy, head, counts, energies, mean, basis, std = jax.tree.map(jnp.asarray, constants)
    n_layers = len(counts.mean)

    def energy_column(incident_energy_mev: Scalar) -> Array:
        return ((jnp.log(incident_energy_mev) - log_energy[0]) / log_energy[1])[None]

    def of_layers(x: Array, z_global: Array) -> tuple[Array, Callable[[Array], Array]]:
        """The features of the layers' counts, and those of their energies given the counts."""
        given = jnp.concatenate([x, z_global])

        def with_counts(n_points: Array) -> Array:
            rows = jnp.broadcast_to(given, (n_layers, len(given)))
            return _features(jnp.concatenate([rows, _count_feature(n_points)[:, None]], axis=1))

        return _features(given), with_counts

    def forward(key: Key, summary: Summary, incident_energy_mev: Scalar) -> Event:
        u_key, fill_key = jax.random.split(key)
        n_points, energy = summary.n_points, summary.energy_mev
        x = energy_column(incident_energy_mev)
        y_head = jnp.append(_globals(n_points, energy, incident_energy_mev), summary.centre_mm)
        z_head = jax.vmap(to_normal, (0, None, 0))(head, _features(x), y_head)
        features, with_counts = of_layers(x, z_head[:_N_GLOBAL])
        root = _to_root(n_points, jax.random.uniform(u_key, (n_layers,)))
        z_counts = jax.vmap(to_normal, (0, None, 0))(counts, features, root)
        mean_energy = _log_mean_energy(n_points, energy)
        z_energies = jax.vmap(to_normal)(energies, with_counts(n_points), mean_energy)
        filler = jax.random.normal(fill_key, (n_layers,))
        z_energies = jnp.where(n_points > 0, z_energies, filler)
        z = jnp.concatenate([z_head, z_counts, z_energies])
        return jnp.matmul(z - mean, basis, precision=Precision.HIGHEST) / std

    def inverse(vector: Event, incident_energy_mev: Scalar) -> Summary:
        vector = jnp.clip(vector, -_FURTHEST_COMPONENT, _FURTHEST_COMPONENT)
        z = mean + jnp.matmul(basis, std * vector, precision=Precision.HIGHEST)
        z_head, z_counts, z_energies = jnp.split(z, [_N_HEAD, _N_HEAD + n_layers])
        x = energy_column(incident_energy_mev)
        y_head = jax.vmap(from_normal, (0, None, 0))(head, _features(x), z_head)
        features, with_counts = of_layers(x, z_head[:_N_GLOBAL])
        log_n, log_fraction = y_head[0], y_head[1]
        most = float(config.max_points)
        total = jnp.clip(jnp.round(jnp.exp(jnp.minimum(log_n, jnp.log(most)))), 1.0, most)
        root = jax.vmap(from_normal, (0, None, 0))(counts, features, z_counts)
        n_points = share_points(jnp.clip(root, 0.0, jnp.sqrt(most)) ** 2, total)
        mean_energy = jax.vmap(from_normal)(energies, with_counts(n_points), z_energies)
        # Between the threshold and the incident energy, so that a sum cannot overflow.
        low, high = jnp.log(config.threshold_mev), jnp.log(incident_energy_mev)
        wanted = n_points * jnp.exp(jnp.clip(mean_energy, low, jnp.maximum(low, high)))
        visible = incident_energy_mev * jnp.exp(jnp.minimum(log_fraction, _MOST_LOG_FRACTION))
        energy = share_energy(wanted, n_points, visible, config.threshold_mev)
        return Summary(n_points, energy, y_head[_N_GLOBAL:_N_HEAD])

    return SummaryTransform(forward, inverse)


def _globals(n_points: Any, energy: Any, incident_energy_mev: Any) -> Any:
    """Log N, log(E_vis / E_inc) and the energy's mean layer, (..., 3)."""
    xp = array_module(n_points)
    visible = xp.sum(energy, axis=-1)
    depth = xp.sum(energy * np.arange(energy.shape[-1]), axis=-1) / visible
    log_n = xp.log(xp.sum(n_points, axis=-1))
    return xp.stack([log_n, xp.log(visible / incident_energy_mev), depth], axis=-1)


def _features(u: Any) -> Any:
    return quadratic(array_module(u).clip(u, -_FURTHEST_FEATURE, _FURTHEST_FEATURE))


def _to_root(n_points: Any, u: Any) -> Any:
    """sqrt(N_l + u): counts fluctuate in proportion to their root."""
    return array_module(n_points).sqrt(n_points + _MARGIN + (1.0 - 2.0 * _MARGIN) * u)


def _count_feature(n_points: Any) -> Any:
    """The number of points of a layer as a feature, of order one from 0 to 1000."""
    return 0.5 * array_module(n_points).log1p(n_points) - 1.0


def _log_mean_energy(n_points: Any, energy: Any) -> Any:
    """Log of the mean energy of a layer's points; where there are none, log 1."""
    xp, hit = array_module(n_points), n_points > 0
    return xp.log(xp.where(hit, energy, 1.0) / xp.where(hit, n_points, 1.0))


def _fit_centre(
    features: np.ndarray, centre: np.ndarray, symmetric: bool
) -> list[tuple[NormalMap, np.ndarray]]:
    if not symmetric:
        return [fit_normal_map(features, y) for y in centre.T]
    twice = np.concatenate([features, features])
    fitted, z = fit_normal_map(twice, centre.T.reshape(-1), symmetric=True)
    return [(fitted, part) for part in np.split(z, 2)]


def _whitening(z: np.ndarray, config: SummaryScales) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, eigenvectors (largest first) and roots of the eigenvalues of the covariance."""
    mean, covariance = z.mean(axis=0), np.cov(z.T)
    if config.symmetric:
        x_y = np.arange(_N_GLOBAL, _N_HEAD)
        mean[x_y] = 0.0
        variance = np.mean(z[:, x_y] ** 2)
        covariance[x_y, :] = covariance[:, x_y] = 0.0
        covariance[x_y, x_y] = variance
    values, basis = np.linalg.eigh(covariance)
    std = np.sqrt(np.maximum(values, config.eigenvalue_floor))
    order = np.argsort(-values, kind="stable")
    return (
        mean.astype(np.float32),
        basis[:, order].astype(np.float32),
        std[order].astype(np.float32),
    )


def _stack(maps: list[NormalMap]) -> NormalMap:
    return NormalMap(*(np.stack(column) for column in zip(*maps, strict=True)))
