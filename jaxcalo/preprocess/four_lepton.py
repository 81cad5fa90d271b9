"""Four leptons <-> the standardised vectors that a model learns: three encodings, and their fit.

`BosonPairs` is the one to use. What makes four leptons hard to learn are sharp surfaces: each
pair's mass lies within 1 % on the Z, a curved surface in the momenta of its leptons; that the whole
has little p_T is a second one, and no network or mixture draws them well. So the surfaces become
coordinates: the masses, the p_T of the whole, and angles of the three decays each in its own frame.
The rapidity of the whole is told in units of the largest that the beams allow.
Quantile maps make each coordinate N(0, 1); what then is left to learn is weak. Measured with the
simplest of models, one Gaussian fitted to the vectors of 20,000 ZZ events (W1 in GeV, Frobenius
norm of the difference of the correlation matrices of the 32 columns of the thesis):

    encoding                            W1(m_4l)  W1(p_T,4l)  W1(m_12)  Frobenius
    Cartesian momenta, standardised        107        28         48       1.5
    leptons, standardised                   50        67         42       1.9
    `PhysicalLeptons`: with quantiles       18        48         29       1.6
    pairs, standardised                     23         3         22       2.1
    `BosonPairs`: with quantiles             2         0          0       0.6
    half of the events against the other     2         1          0       0.8

`PhysicalLeptons` in turn holds every lepton within threshold and |eta|: a Gaussian in `BosonPairs`
puts a fifth of the events outside. `SparseSlots` is the thesis's, and gives what it gave.

Source: Balciunas, master's thesis, Vilnius University 2024 (the slots); the coordinates are our
    own.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcalo.errors import InputError
from jaxcalo.preprocess.lepton_coordinates import (
    N_COORDINATES,
    from_leptons,
    from_pairs,
    to_leptons,
    to_pairs,
)
from jaxcalo.preprocess.quantile_map import (
    fit_quantiles,
    from_normal,
    no_quantiles,
    quantiles_of_uniform,
    to_normal,
)
from jaxcalo.typing import Cond, Event, Key

_ELECTRON, _MUON = 11, 13
_MASS_GEV = {_ELECTRON: 0.00051099895, _MUON: 0.1056583755}  # PDG 2024
_KINDS = np.array([_ELECTRON, -_ELECTRON, _MUON, -_MUON])  # two slots each
_N_SLOTS = 2 * len(_KINDS)
# Of the slots: e1-, e1+, e2-, e2+, mu1-, ...: a particle before its antiparticle.
_PLACE_OF_SLOT = np.array([0, 2, 1, 3, 4, 6, 5, 7])
# Rounding of a file to six digits; and what fits the masses no longer.
_ROUNDING = 1e-5
_OFF_SHELL = 1e-3
# Four units of the last place: single precision cannot bring E below |p|, nor the mass of several
# leptons to the root of a negative number.
_ROUND_UP = 1.0 + 4 * 2.0**-23
_SMALLEST_STD = 1e-3


@dataclasses.dataclass(frozen=True)
class BosonPairs:
    """12 numbers of two bosons and their decays, see `to_pairs`; the flavours are the condition.

    Leptons 1, 2 are of one boson, 3, 4 of the other. Any finite vector is an event on its mass
    shell.

    Attributes:
        collision_energy_gev: of both beams together, GeV; events made at a lower one fit too.
    """

    collision_energy_gev: float = 13_000.0

    def __post_init__(self) -> None:
        if not 100.0 <= self.collision_energy_gev <= 1e6:
            raise InputError(
                "boson pairs: expected collision_energy_gev between 100 and 1e6, found"
                f" {self.collision_energy_gev:g}; correct it"
            )


@dataclasses.dataclass(frozen=True)
class PhysicalLeptons:
    """12 numbers: p_T, eta and azimuth of each lepton, see `to_leptons`; flavours as condition.

    Any finite vector is an event on its mass shell, within threshold and largest |eta|.

    Attributes:
        threshold_gev: smallest p_T of a lepton, GeV.
        max_eta: largest |eta|.
    """

    threshold_gev: float = 5.0
    max_eta: float = 2.7

    def __post_init__(self) -> None:
        if not (0.0 < self.threshold_gev < 1e3 and 0.0 < self.max_eta < 10.0):
            raise InputError(
                "leptons: expected threshold_gev between 0 and 1000 and max_eta between 0 and 10,"
                f" found {self.threshold_gev:g} and {self.max_eta:g}; correct them"
            )


@dataclasses.dataclass(frozen=True)
class SparseSlots:
    """The thesis's 32 numbers: el1-, el2-, el1+, el2+, mu1-, mu2-, mu1+, mu2+ x E, px, py, pz.

    Empty slots are zero, columns standardised; no condition. The inverse takes the four slots of
    largest |E| as they come, on a mass shell or not; electrons first, each before its positron. So
    an event whose first boson decays to muons and whose second to electrons comes back with the
    bosons exchanged.
    """


LeptonEncoding = BosonPairs | PhysicalLeptons | SparseSlots


class LeptonConstants(NamedTuple):
    """What `fit_leptons` measures; float32, stored with the checkpoint.

    Attributes:
        classes: the pdg of the four leptons in their order, one row for each combination that was
            found, the lowest first, (n_classes, 4).
        shares: how often each was found, (n_classes,), of sum 1.
        scales: knots of the quantile maps (12, 33); of `SparseSlots` mean and standard deviation
            of the columns (32, 2).
    """

    classes: np.ndarray
    shares: np.ndarray
    scales: np.ndarray


class LeptonTransform(NamedTuple):
    """Functions of one event.

    Attributes:
        forward: (key, pdg (4,), momentum_gev (4, 4)) -> (event (n_components,), cond). Nothing is
            random in it; flavours that the fit has not seen give a cond of zeros.
        inverse: (event, cond) -> (pdg (4,) int32, momentum_gev (4, 4)); undoes forward.
        n_components: 12, or 32.
        n_conditions: number of classes; 0 of `SparseSlots`.
        draw_condition: key -> cond, a class by its share. To ask for class i of the constants, give
            the i-th unit vector instead.
    """

    forward: Callable[[Key, Array, Array], tuple[Event, Cond]]
    inverse: Callable[[Event, Cond], tuple[Array, Array]]
    n_components: int
    n_conditions: int
    draw_condition: Callable[[Key], Cond]


def no_lepton_constants(config: LeptonEncoding, n_classes: int) -> LeptonConstants:
    """Constants of the right shapes that scale nothing: what a checkpoint is restored into."""
    identity = np.tile(np.array([0.0, 1.0], np.float32), (4 * _N_SLOTS, 1))
    return LeptonConstants(
        np.tile(np.array([11, -11, 11, -11], np.float32), (n_classes, 1)),
        np.full(n_classes, 1.0 / n_classes, np.float32),
        identity if isinstance(config, SparseSlots) else no_quantiles(N_COORDINATES),
    )


def fit_leptons(config: LeptonEncoding, events: tuple[np.ndarray, np.ndarray]) -> LeptonConstants:
    """Measure the constants.

    Args:
        config: the encoding.
        events: LeptonEvents: pdg (n, 4) and momenta (n, 4, 4), E, px, py, pz in GeV.

    Raises:
        InputError: there is no event, or one that the encoding has no vector for: without
            transverse momentum, off its mass shell, outside the limits, of three leptons of a kind.
    """
    pdg, momentum = np.asarray(events[0]), np.asarray(events[1], np.float64)
    if len(pdg) == 0:
        raise InputError("four leptons: expected events to fit to, found none; use a larger file")
    classes, counts = np.unique(pdg, axis=0, return_counts=True)
    if isinstance(config, SparseSlots):
        _check_slots(classes)
        columns = np.asarray(jax.jit(jax.vmap(_to_slots))(pdg, momentum), np.float64)
        std = np.maximum(columns.std(axis=0), _SMALLEST_STD)
        scales = np.column_stack([columns.mean(axis=0), std])
    else:
        _check_physical(config, pdg, momentum)
        to_coordinates, _ = _coordinates(config)
        three_momenta = momentum[:, :, 1:].astype(np.float32)
        columns = np.asarray(jax.jit(jax.vmap(to_coordinates))(three_momenta), np.float64)
        scales = fit_quantiles(columns)
        scales[0] = quantiles_of_uniform(-np.pi, np.pi)  # the beams have no preferred azimuth
    parts = (classes, counts / len(pdg), scales)
    return LeptonConstants(*(np.asarray(part, np.float32) for part in parts))


def lepton_transform(config: LeptonEncoding, constants: LeptonConstants) -> LeptonTransform:
    """Join an encoding with its fitted constants."""
    classes, shares, scales = (jnp.asarray(part) for part in constants)
    if isinstance(config, SparseSlots):
        return _sparse_transform(scales)
    to_coordinates, from_coordinates = _coordinates(config)

    def forward(key: Key, pdg: Array, momentum_gev: Array) -> tuple[Event, Cond]:
        del key
        event = to_normal(scales, to_coordinates(momentum_gev[:, 1:]))
        return event, jnp.all(classes == pdg, axis=1).astype(jnp.float32)

    def inverse(event: Event, cond: Cond) -> tuple[Array, Array]:
        pdg = jnp.round(classes[jnp.argmax(cond)]).astype(jnp.int32)
        return pdg, _on_shell(pdg, from_coordinates(from_normal(scales, event)))

    def draw_condition(key: Key) -> Cond:
        return jax.nn.one_hot(jax.random.categorical(key, jnp.log(shares)), len(shares))

    return LeptonTransform(forward, inverse, N_COORDINATES, len(shares), draw_condition)


def _coordinates(
    config: BosonPairs | PhysicalLeptons,
) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """Three-momenta (4, 3) -> coordinates (12,), and back."""
    if isinstance(config, BosonPairs):
        beams = config.collision_energy_gev
        return lambda p: to_pairs(p, beams), lambda x: from_pairs(x, beams)
    limits = config.threshold_gev, config.max_eta
    return lambda p: to_leptons(p, *limits), lambda x: from_leptons(x, *limits)


def _on_shell(pdg: Array, momentum: Array) -> Array:
    """E, px, py, pz (4, 4) from px, py, pz (4, 3)."""
    mass = jnp.where(jnp.abs(pdg) == _MUON, _MASS_GEV[_MUON], _MASS_GEV[_ELECTRON])
    energy = _ROUND_UP * jnp.sqrt(jnp.sum(momentum**2, axis=1) + mass**2)
    return jnp.column_stack([energy, momentum])


def _sparse_transform(scales: Array) -> LeptonTransform:
    mean, std = scales.T

    def forward(key: Key, pdg: Array, momentum_gev: Array) -> tuple[Event, Cond]:
        del key
        return (_to_slots(pdg, momentum_gev) - mean) / std, jnp.zeros(0)

    def inverse(event: Event, cond: Cond) -> tuple[Array, Array]:
        del cond
        slots = (mean + std * event).reshape(_N_SLOTS, 4)
        _, taken = jax.lax.top_k(jnp.abs(slots[:, 0]), 4)
        taken = taken[jnp.argsort(jnp.asarray(_PLACE_OF_SLOT)[taken])]
        return jnp.asarray(_KINDS, jnp.int32)[taken // 2], slots[taken]

    def draw_condition(key: Key) -> Cond:
        del key
        return jnp.zeros(0)

    return LeptonTransform(forward, inverse, 4 * _N_SLOTS, 0, draw_condition)


def _to_slots(pdg: Array, momentum_gev: Array) -> Array:
    """The leptons (4,), (4, 4) in their slots, (32,); the first of a kind in its first slot."""
    is_kind = pdg[:, None] == jnp.asarray(_KINDS)
    before = jnp.cumsum(is_kind, axis=0) - is_kind
    slot = 2 * jnp.argmax(is_kind, axis=1) + jnp.sum(jnp.where(is_kind, before, 0), axis=1)
    return jnp.zeros((_N_SLOTS, 4)).at[slot].set(momentum_gev).reshape(-1)


def _check_slots(classes: np.ndarray) -> None:
    """Refuse events of three leptons of one kind."""
    full = (classes[:, :, None] == _KINDS).sum(axis=1).max(axis=1) > 2
    if full.any():
        raise InputError(
            "four leptons: expected at most two of one kind in an event, found"
            f" {', '.join(str(pdg) for pdg in classes[full][0])}; remove such events"
        )


def _check_physical(
    config: BosonPairs | PhysicalLeptons, pdg: np.ndarray, momentum: np.ndarray
) -> None:
    """Refuse events that physical coordinates cannot give back."""
    pt = np.hypot(momentum[:, :, 1], momentum[:, :, 2])
    mass = np.where(np.abs(pdg) == _MUON, _MASS_GEV[_MUON], _MASS_GEV[_ELECTRON])
    energy = np.sqrt(np.sum(momentum[:, :, 1:] ** 2, axis=2) + mass**2)
    is_off = ~(np.abs(momentum[:, :, 0] - energy) <= _OFF_SHELL * energy)
    if is_off.any():
        row = int(np.argmax(is_off.any(axis=1)))
        lepton = int(np.argmax(is_off[row]))
        raise InputError(
            "four leptons: expected E^2 = p^2 + m^2 of each, found E ="
            f" {momentum[row, lepton, 0]:g} GeV instead of {energy[row, lepton]:g} in event {row};"
            " remove such events or use SparseSlots"
        )
    if not pt.min() > 1e-3:
        raise InputError(
            "four leptons: expected transverse momenta above 0.001 GeV, found"
            f" {pt.min():g} in event {int(pt.min(axis=1).argmin())}; remove such events"
        )
    if isinstance(config, BosonPairs):
        return
    eta = np.abs(np.arcsinh(momentum[:, :, 3] / pt))
    lowest, largest = config.threshold_gev * (1 - _ROUNDING), config.max_eta * (1 + _ROUNDING)
    if pt.min() < lowest or eta.max() > largest:
        raise InputError(
            f"four leptons: expected p_T of {config.threshold_gev:g} GeV or more and |eta| of"
            f" {config.max_eta:g} or less, found {pt.min():g} GeV and {eta.max():g}; set"
            " threshold_gev and max_eta of the encoding"
        )
