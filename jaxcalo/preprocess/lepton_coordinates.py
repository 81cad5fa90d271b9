"""Momenta of four leptons <-> 12 coordinates without constraints: of leptons, or of boson pairs.

Both use the three-momenta alone, as if leptons had no mass: energies follow from the masses at the
end, which keeps every event on its mass shell. Both turn the event by one azimuth, the first
coordinate, so that no other knows how the event lies about the beam.

Functions act on ONE event and run in single precision: what would be a small difference of large
numbers is written as a sum or a product.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcalo.typing import Scalar

N_COORDINATES = 12

# Wide of all that a collider makes, from 0.01 MeV to 100 TeV, yet the square of every momentum that
# can come out fits into single precision. Rapidity 17: 100 TeV with p_T of 10 MeV.
_LOG_RANGE = (-14.0, 11.5)
_MOST_RAPIDITY = 17.0
_LEAST_MOST_RAPIDITY = 0.3
# Of the coordinates of pairs: p_T, excess mass and masses.
_SCALES = np.array([2, 4, 6, 9])
_NEWTON_STEPS = 5
_TOTAL_RANGE = (-20.0, 1e3)  # wide of what _LOG_RANGE allows at 1 TeV and more
_SMALLEST_GEV = 1e-5
# A lepton on the threshold or on the largest |eta|, as rounding in a file can bring it there,
# counts as that far inside, relatively.
_EDGE = 1e-6
_PI = jnp.pi


class Particles(NamedTuple):
    """Some particles; arrays of one shape.

    Attributes:
        px: transverse momentum along x, GeV.
        py: transverse momentum along y, GeV.
        rapidity: along the beam; of a particle without mass the pseudorapidity.
        mass: GeV.
    """

    px: Array
    py: Array
    rapidity: Array
    mass: Array

    @property
    def pt(self) -> Array:
        """Transverse momentum, GeV."""
        return _length(self.px, self.py)


def particles(momentum_gev: Array) -> Particles:
    """Leptons with three-momenta (4, 3) in GeV, as particles without mass."""
    px, py, pz = momentum_gev.T
    pt = jnp.maximum(_length(px, py), _SMALLEST_GEV)
    return Particles(px, py, jnp.arcsinh(pz / pt), jnp.zeros_like(pt))


def momenta(leptons: Particles) -> Array:
    """The inverse of `particles`: (4, 3), GeV."""
    rapidity = jnp.clip(leptons.rapidity, -_MOST_RAPIDITY, _MOST_RAPIDITY)
    return jnp.stack([leptons.px, leptons.py, leptons.pt * jnp.sinh(rapidity)], axis=-1)


def to_leptons(momentum_gev: Array, threshold_gev: float, max_eta: float) -> Array:
    """Three-momenta (4, 3) in GeV -> coordinates of the leptons (12,).

    phi_1,  phi_2 - phi_1 - pi,  phi_3 - phi_1,  phi_4 - phi_3 - pi    (from -pi to pi),
    log(p_T / p_T,min - 1) of 1, 2, 3, 4,    artanh(eta / eta_max) of 1, 2, 3, 4
    """
    leptons = particles(momentum_gev)
    phi = jnp.arctan2(leptons.py, leptons.px)
    turns = jnp.stack([phi[0], phi[1] - phi[0] - _PI, phi[2] - phi[0], phi[3] - phi[2] - _PI])
    excess = jnp.maximum(leptons.pt / threshold_gev - 1.0, _EDGE)
    eta = jnp.clip(leptons.rapidity / max_eta, -1.0 + _EDGE, 1.0 - _EDGE)
    return jnp.concatenate([_wrap(turns), jnp.log(excess), jnp.arctanh(eta)])


def from_leptons(coordinates: Array, threshold_gev: float, max_eta: float) -> Array:
    """The inverse of `to_leptons`; of finite coordinates all leptons are within both limits."""
    turns, log_excess, eta = jnp.split(coordinates, 3)
    first, second, third, fourth = _bounded(turns)
    phi = jnp.stack([first, first + second + _PI, first + third, first + third + fourth + _PI])
    pt = threshold_gev * (1.0 + jnp.exp(jnp.clip(log_excess, *_LOG_RANGE)))
    rapidity = max_eta * jnp.tanh(eta)
    return momenta(Particles(pt * jnp.cos(phi), pt * jnp.sin(phi), rapidity, jnp.zeros_like(pt)))


def to_pairs(momentum_gev: Array, collision_energy_gev: float) -> Array:
    """Three-momenta (4, 3) in GeV -> coordinates of two bosons and their decays (12,).

    phi_k,  phi - phi_k,  l(p_T),  y / y_max   of all together, y_max = log(sqrt(s) / m_T)
    l(M - m_12 - m_34),  asinh(k_z / k_T)      of k, the momentum of the first boson at rest of all
    l(m),  asinh(q_z / q_T),  phi_q - phi_k    of q, the momentum of lepton 1 at rest of its boson,
    the same for lepton 3, phi_q - phi_k - pi  since the bosons are back to back

    The frames of rest are those of `join`. l(x) = log x + 10 x / sqrt(s) has the two tails of what
    partons collide to: a power, then an exponential. Nothing goes beyond y_max.
    """
    leptons = particles(momentum_gev)
    first, of_first = join(*_two(leptons, 0))
    second, of_second = join(*_two(leptons, 2))
    whole, of_whole = join(first, second)
    phi_k = of_whole[2]
    phi = jnp.arctan2(whole.py, whole.px)
    turns = jnp.stack([phi_k, phi - phi_k, of_first[2] - phi_k, of_second[2] - phi_k - _PI])
    phi_k, phi, phi_first, phi_second = _wrap(turns)
    log_pt = jnp.log(jnp.maximum(whole.pt, _SMALLEST_GEV))
    forwardness = whole.rapidity / _most_rapidity(whole.mass, whole.pt, collision_energy_gev)
    coordinates = jnp.stack(
        [phi_k, phi, log_pt, forwardness, *of_whole[:2]]
        + [*of_first[:2], phi_first, *of_second[:2], phi_second]
    )
    scales = coordinates[_SCALES]
    return coordinates.at[_SCALES].add(10.0 / collision_energy_gev * jnp.exp(scales))


def from_pairs(coordinates: Array, collision_energy_gev: float) -> Array:
    """The inverse of `to_pairs`."""
    scales = _logarithm(coordinates[_SCALES], 0.1 * collision_energy_gev)
    coordinates = coordinates.at[_SCALES].set(scales)
    turns = _bounded(coordinates[jnp.array([0, 1, 8, 11])])
    phi_k, phi = turns[0], turns[0] + turns[1]
    of_whole = jnp.append(coordinates[4:6], phi_k)
    of_first = jnp.append(coordinates[6:8], phi_k + turns[2])
    of_second = jnp.append(coordinates[9:11], phi_k + turns[3] + _PI)
    # The masses first, from the leptons up; then the momenta, down to the leptons.
    masses = _excess(of_first), _excess(of_second)
    pt = jnp.exp(jnp.clip(coordinates[2], *_LOG_RANGE))
    mass = masses[0] + masses[1] + _excess(of_whole)
    rapidity = coordinates[3] * _most_rapidity(mass, pt, collision_energy_gev)
    rapidity = jnp.clip(rapidity, -_MOST_RAPIDITY, _MOST_RAPIDITY)
    whole = Particles(pt * jnp.cos(phi), pt * jnp.sin(phi), rapidity, mass)
    first, second = split(whole, *masses, of_whole)
    nothing = jnp.zeros(())
    leptons = [*split(first, nothing, nothing, of_first)]
    leptons += split(second, nothing, nothing, of_second)
    return momenta(Particles(*(jnp.stack(column) for column in zip(*leptons, strict=True))))


def join(a: Particles, b: Particles) -> tuple[Particles, Array]:
    """Join two particles into the one that would decay into them.

        M^2 = (m_a + m_b)^2 + 2 (m_Ta m_Tb cosh(y_a - y_b) - p_Ta p_Tb cos(phi_a - phi_b) - m_a m_b)
        decay = [log(M - m_a - m_b), asinh(k_z / k_T), phi_k]

    k is the momentum of a in the frame of Collins and Soper, where both together are at rest: it is
    reached by a boost along the beam and one along their transverse momentum. Its axes x and y are
    those of the laboratory, so that nothing turns quickly where that momentum is small.

    Returns:
        The parent and its decay (3,).

    Source: Collins and Soper, Phys. Rev. D 16 (1977) 2219 (the frame).
    """
    pt_a, pt_b = a.pt, b.pt
    mt_a, mt_b = _length(a.mass, pt_a), _length(b.mass, pt_b)
    area = a.px * b.py - a.py * b.px
    turn = jnp.arctan2(area, a.px * b.px + a.py * b.py)
    # M^2 - (m_a + m_b)^2 as three terms of which none is negative
    beyond = 4.0 * mt_a * mt_b * jnp.sinh(0.5 * (a.rapidity - b.rapidity)) ** 2
    beyond += 4.0 * pt_a * pt_b * jnp.sin(0.5 * turn) ** 2
    cross = mt_a * mt_b + pt_a * pt_b + a.mass * b.mass
    beyond += 2.0 * (a.mass * pt_b - b.mass * pt_a) ** 2 / cross
    beyond = jnp.maximum(beyond, _SMALLEST_GEV**2)
    lightest = a.mass + b.mass
    mass = jnp.sqrt(lightest**2 + beyond)
    excess = beyond / (mass + lightest)

    # the parent's rapidity, from that of a, and its direction
    forward = 0.5 * jnp.log(
        (mt_a + mt_b * jnp.exp(b.rapidity - a.rapidity))
        / (mt_a + mt_b * jnp.exp(a.rapidity - b.rapidity))
    )
    parent = Particles(a.px + b.px, a.py + b.py, a.rapidity + forward, mass)
    x, y = _direction(parent)
    along, across = a.px * x + a.py * y, a.py * x - a.px * y
    # the same from what the mass was made of, so that both err together
    is_fast = parent.pt > mass
    across = jnp.where(is_fast, -area / jnp.where(is_fast, parent.pt, 1.0), across)
    k_z = -mt_a * jnp.sinh(forward)
    energy = jnp.sqrt(a.mass**2 + along**2 + across**2 + k_z**2)
    energy_at_rest = _length(a.mass, _momentum_at_rest(excess, a.mass, b.mass))
    k_along = _at_rest(along, energy, energy_at_rest, parent)
    k_x, k_y = k_along * x - across * y, k_along * y + across * x
    k_t = jnp.maximum(_length(k_x, k_y), 1e-7 * jnp.abs(k_z) + 1e-12)
    decay = jnp.stack([jnp.log(excess), jnp.arcsinh(k_z / k_t), jnp.arctan2(k_y, k_x)])
    return parent, decay


def split(
    parent: Particles, mass_a: Scalar, mass_b: Scalar, decay: Array
) -> tuple[Particles, Particles]:
    """The inverse of `join`, for a parent whose mass is that of the decay.

    Args:
        parent: one particle.
        mass_a: of the first of the two particles, GeV.
        mass_b: of the second, GeV.
        decay: (3,), see `join`.
    """
    excess = _excess(decay)
    eta, phi = jnp.clip(decay[1], -_MOST_RAPIDITY, _MOST_RAPIDITY), decay[2]
    mass = mass_a + mass_b + excess
    k = _momentum_at_rest(excess, mass_a, mass_b)
    k_t, k_z = k / jnp.cosh(eta), k * jnp.tanh(eta)
    x, y = _direction(parent)
    k_along = k_t * (jnp.cos(phi) * x + jnp.sin(phi) * y)
    k_across = k_t * (jnp.sin(phi) * x - jnp.cos(phi) * y)
    pt, mt = parent.pt, _length(mass, parent.pt)

    def child(sign: float, child_mass: Scalar) -> Particles:
        along = (sign * mt * k_along + pt * _length(child_mass, k)) / mass
        across = sign * k_across
        own_mt = jnp.sqrt(child_mass**2 + along**2 + across**2 + 1e-24)
        return Particles(
            along * x - across * y,
            along * y + across * x,
            parent.rapidity + sign * jnp.arcsinh(k_z / own_mt),
            child_mass,
        )

    return child(1.0, mass_a), child(-1.0, mass_b)


def _at_rest(along: Array, energy: Array, energy_at_rest: Array, parent: Particles) -> Array:
    """Boost p to where the parent has no p_T: (M_T p - p_T E) / M = (M E - M_T e) / p_T.

    The first is for slow parents. For fast ones it is a small difference, and the second is none:
    it needs how the particles share the energy, and not the small angle between them.
    """
    pt, mass = parent.pt, parent.mass
    mt, is_fast = _length(mass, pt), pt > mass
    fast = (mass * energy - mt * energy_at_rest) / jnp.where(is_fast, pt, 1.0)
    return jnp.where(is_fast, fast, (mt * along - pt * energy) / mass)


def _momentum_at_rest(excess: Array, mass_a: Array, mass_b: Array) -> Array:
    """The momentum of both particles, of masses m_a and m_b, when M = m_a + m_b + excess decays.

    Kaellen's function of the three masses, in factors of which none is a difference.
    """
    lightest = mass_a + mass_b
    twice = jnp.sqrt((excess + 2.0 * mass_a) * (excess + 2.0 * mass_b)) / (excess + lightest)
    return 0.5 * twice * jnp.sqrt(excess * (excess + 2.0 * lightest))


def _direction(parent: Particles) -> tuple[Array, Array]:
    """The unit vector along the transverse momentum; x where there is none."""
    phi = jnp.arctan2(parent.py, jnp.where(parent.pt > 1e-12, parent.px, 1.0))
    return jnp.cos(phi), jnp.sin(phi)


def _most_rapidity(mass: Scalar, pt: Scalar, collision_energy_gev: float) -> Scalar:
    """log(sqrt(s) / m_T); the least keeps events apart that were made at a higher energy."""
    return jnp.maximum(jnp.log(collision_energy_gev / _length(mass, pt)), _LEAST_MOST_RAPIDITY)


def _logarithm(total: Array, scale: float) -> Array:
    """Log x of total = log x + x / scale, by Newton's steps from above: all go one way."""
    total = jnp.clip(total, *_TOTAL_RANGE)
    log_scale = math.log(scale)
    above = log_scale + jnp.log(jnp.maximum(total - log_scale, 1.0))
    log_x = jnp.minimum(total, above)
    for _ in range(_NEWTON_STEPS):
        share = jnp.exp(log_x - log_scale)
        log_x -= (log_x + share - total) / (1.0 + share)
    return log_x


def _two(leptons: Particles, first: int) -> list[Particles]:
    return [Particles(*(column[i] for column in leptons)) for i in (first, first + 1)]


def _excess(decay: Array) -> Scalar:
    return jnp.exp(jnp.clip(decay[0], *_LOG_RANGE))


def _length(x: Array, y: Array) -> Array:
    """sqrt(x^2 + y^2), with a finite gradient where both are 0."""
    return jnp.sqrt(x * x + y * y + 1e-30)


def _wrap(angle: Array) -> Array:
    """The same angles between -pi and pi."""
    return angle - 2.0 * _PI * jnp.round(angle / (2.0 * _PI))


def _bounded(angle: Array) -> Array:
    """Angles of which cosines can be taken; beyond two turns, where no event is, they stop."""
    return jnp.clip(angle, -4.0 * _PI, 4.0 * _PI)
