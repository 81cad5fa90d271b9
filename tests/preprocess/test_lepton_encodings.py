"""Encodings of four leptons: exact inverses, physical whatever comes, symmetry, closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcalo.data import LeptonEvents
from jaxcalo.data.toy_leptons import toy_leptons
from jaxcalo.errors import InputError
from jaxcalo.preprocess import (
    BosonPairs,
    PhysicalLeptons,
    SparseSlots,
    fit_leptons,
    lepton_transform,
    no_lepton_constants,
)
from jaxcalo.preprocess.lepton_coordinates import Particles, join, split, to_leptons, to_pairs

PHYSICAL = (BosonPairs(), PhysicalLeptons())
ALL = (*PHYSICAL, SparseSlots())
KEY = jax.random.key(0)
# Real ones: 167675/876658967, 173243/16706390 and 172401/3729470 of CMS Open Data, paired.
CANDIDATES = LeptonEvents(
    np.array([[11, -11, 11, -11], [11, -11, 11, -11], [13, -13, 11, -11]], np.int32),
    np.array(
        [
            [[45.8568, 43.5367, 14.3708, -0.940301], [46.2967, -45.4721, -8.6101, -1.24072]]
            + [[7.57191, -0.0913048, 7.28083, -2.07727], [27.2561, -13.6734, -19.6597, 13.0164]],
            [[28.8255, 7.33931, -25.1182, -12.0881], [124.22, 55.8882, -7.34743, 110.694]]
            + [[169.383, 23.0043, 33.2087, 164.495], [352.097, -58.3284, -8.93069, 347.117]],
            [[79.4437, 30.9827, -0.575343, -73.1508], [48.5643, -40.5716, -22.7848, -13.9024]]
            + [[40.0327, -36.8614, -10.6502, -11.4204], [79.8732, 45.8974, 11.8758, -64.2816]],
        ]
    ),
)


def name(config):
    return type(config).__name__


@pytest.fixture(scope="module")
def toys():
    return toy_leptons(jax.random.key(7), 2000)


@pytest.fixture(scope="module")
def fitted(toys):
    """By encoding: constants, and the two functions of many events, compiled once."""
    found = {}
    for config in ALL:
        constants = fit_leptons(config, toys)
        transform = lepton_transform(config, constants)
        forward = jax.jit(jax.vmap(transform.forward, (None, 0, 0)))
        found[config] = constants, transform, forward, jax.jit(jax.vmap(transform.inverse))
    return found


def encode(forward, events, n=2000):
    """Always n events, so that nothing is compiled twice."""
    rows = np.arange(n) % events.n_events
    event, cond = forward(KEY, events.pdg[rows], events.momentum_gev[rows].astype(np.float32))
    return event[: events.n_events], cond[: events.n_events]


def filled(rows, n=2000):
    return np.asarray(rows, np.float32)[np.arange(n) % len(rows)]


def masses(momentum):
    """Squares in double precision."""
    momentum = np.asarray(momentum, np.float64)
    return momentum[..., 0] ** 2 - (momentum[..., 1:] ** 2).sum(axis=-1)


def collimated():
    """A boson of few GeV in mass and 500 in momentum, one at rest, leptons along x or the beam."""
    toys = toy_leptons(jax.random.key(8), 50)
    p = np.array(toys.momentum_gev[:, :, 1:])
    p[:20, 1] = p[:20, 0] * np.linspace(1, 9, 20)[:, None] + [3.0, 2.0, -1.0]
    p[20:30, 1] = -p[20:30, 0]
    p[30:40, 0, 1] = 0.0
    p[40:, 2, 2] = 7.0 * np.hypot(*p[40:, 2, :2].T)
    mass = np.where(np.abs(toys.pdg) == 11, 0.00051099895, 0.1056583755)
    energy = np.sqrt((p**2).sum(axis=2) + mass**2)
    return LeptonEvents(toys.pdg, np.concatenate([energy[:, :, None], p], axis=2))


def within_limits(events):
    pt = np.hypot(events.momentum_gev[..., 1], events.momentum_gev[..., 2])
    eta = np.abs(np.arcsinh(events.momentum_gev[..., 3] / pt))
    return events.rows(((pt > 5) & (eta < 2.7)).all(axis=1))


@pytest.mark.parametrize("config", ALL, ids=name)
@pytest.mark.parametrize("which", ["toys", "candidates", "collimated"])
def test_forward_then_inverse(config, which, fitted, toys):
    """In single precision, compiled, to 1e-5; also of what the constants were not fitted to."""
    events = {"toys": toys, "candidates": CANDIDATES, "collimated": collimated()}[which]
    if isinstance(config, PhysicalLeptons) and which == "collimated":
        events = within_limits(events)
        assert events.n_events > 25
    _, transform, forward, inverse = fitted[config]
    event, cond = encode(forward, events)
    assert event.shape == (events.n_events, transform.n_components)
    assert cond.shape == (events.n_events, transform.n_conditions)
    pdg, momentum = inverse(filled(event), filled(cond))
    pdg, momentum = np.asarray(pdg[: len(event)]), np.asarray(momentum[: len(event)])
    expected = events
    if isinstance(config, SparseSlots):  # electrons first
        order = np.argsort(np.abs(events.pdg), axis=1, kind="stable")
        rows = np.arange(len(order))[:, None]
        expected = LeptonEvents(events.pdg[rows, order], events.momentum_gev[rows, order])
    np.testing.assert_array_equal(pdg, expected.pdg)
    size = np.linalg.norm(expected.momentum_gev[:, :, 1:], axis=2)
    miss = np.linalg.norm(momentum - expected.momentum_gev, axis=2)
    # Energies of real files are on the shell to their own precision only.
    atol = 2e-3 if which == "candidates" and not isinstance(config, SparseSlots) else 0.0
    assert (miss < 1e-5 * size + atol).all()
    three = np.linalg.norm(momentum[..., 1:] - expected.momentum_gev[..., 1:], axis=2)
    assert (three < 1e-5 * size).all()


@pytest.mark.parametrize("config", PHYSICAL, ids=name)
def test_whatever_vector_is_a_physical_event(config, fitted):
    """Normal, wild and extreme vectors: finite, on the mass shell, never a negative square."""
    _, transform, _, inverse = fitted[config]
    shape = (1900, 12)
    scale = jnp.repeat(jnp.array([1.0, 5.0, 50.0, 1e6]), 475)[:, None]
    wild = [scale * jax.random.normal(jax.random.key(1), shape), jnp.zeros((1, 12))]
    wild += [s * 10.0**k * jnp.ones((1, 12)) for k in (0, 1, 3, 10, 30, 38) for s in (1, -1)]
    signs = jax.random.rademacher(jax.random.key(2), (87, 12)).astype(jnp.float32)
    vectors = jnp.concatenate([*wild, 3e38 * signs])
    cond = jax.vmap(transform.draw_condition)(jax.random.split(KEY, len(vectors)))
    pdg, momentum = inverse(vectors, cond)
    momentum = np.asarray(momentum)
    assert momentum.dtype == np.float32
    assert np.isfinite(momentum).all()
    assert (masses(momentum) > 0).all()
    for leptons in ([0, 1], [2, 3], [0, 1, 2, 3]):
        assert (masses(momentum.astype(np.float64)[:, leptons].sum(axis=1)) > 0).all()
    # On the shell, as far as single precision can say so.
    energy = momentum[..., 0].astype(np.float64)
    mass = np.where(np.abs(pdg) == 11, 0.00051099895, 0.1056583755)
    assert (np.abs(masses(momentum) - mass**2) < 3e-6 * energy**2).all()
    if isinstance(config, PhysicalLeptons):
        pt = np.hypot(*momentum[..., 1:3].astype(np.float64).transpose(2, 0, 1))
        assert pt.min() > 5 * (1 - 1e-6)
        assert np.abs(np.arcsinh(momentum[..., 3] / pt)).max() < 2.7 * (1 + 1e-6)


@pytest.mark.parametrize("config", PHYSICAL, ids=name)
def test_gradients_are_finite(config, fitted):
    """Losses from physics differentiate through the inverse."""
    _, transform, _, _ = fitted[config]
    cond = jnp.eye(transform.n_conditions)[0]
    mass = lambda z: jnp.sum(transform.inverse(z, cond)[1][:, 0])  # noqa: E731
    options = {"xla_backend_optimization_level": 0}  # quick to compile
    slope = jax.jit(jax.vmap(jax.grad(mass)), compiler_options=options)
    vectors = jax.random.normal(jax.random.key(3), (40, 12)).at[0].set(0.0).at[1:4].multiply(20.0)
    assert np.isfinite(slope(vectors)).all()
    assert (np.abs(slope(vectors)[4:]).max(axis=1) > 0).all()


@pytest.mark.parametrize("config", ALL, ids=name)
def test_vectors_are_standardised(config, fitted, toys):
    constants, _, forward, _ = fitted[config]
    event, cond = (np.asarray(part) for part in encode(forward, toys))
    np.testing.assert_allclose(event.mean(axis=0), 0.0, atol=0.06)
    np.testing.assert_allclose(event.std(axis=0), 1.0, atol=0.06)
    if not isinstance(config, SparseSlots):
        assert np.abs(event).max() < 6
        np.testing.assert_allclose(np.mean(np.abs(event) < 1, axis=0), 0.683, atol=0.05)
        classes = constants.classes[cond.argmax(axis=1)]
        np.testing.assert_array_equal(classes, toys.pdg)
        np.testing.assert_array_equal(cond.sum(axis=1), 1)


@pytest.mark.parametrize("config", PHYSICAL, ids=name)
def test_turned_events_differ_in_one_number(config, fitted, toys):
    _, _, forward, _ = fitted[config]
    turned = np.array(toys.momentum_gev)
    px, py = toys.momentum_gev[..., 1], toys.momentum_gev[..., 2]
    turned[..., 1], turned[..., 2] = 0.6 * px - 0.8 * py, 0.8 * px + 0.6 * py
    event, _ = encode(forward, toys)
    other, _ = encode(forward, LeptonEvents(toys.pdg, turned))
    change = np.abs(event - other)
    # p_T of the whole may be a small difference; the azimuths end at -pi and pi.
    assert np.quantile(change[:, 1:], 0.99) < 1e-4
    assert change[:, 0].min() > 0.1


def test_one_class_is_drawn_by_its_share(fitted, toys):
    constants, transform, _, inverse = fitted[BosonPairs()]
    np.testing.assert_allclose(constants.shares.sum(), 1.0, rtol=1e-6)
    drawn = jax.jit(jax.vmap(transform.draw_condition))(jax.random.split(KEY, 2000))
    np.testing.assert_array_equal(np.sort(drawn, axis=1), np.tile([0, 0, 0, 1], (2000, 1)))
    np.testing.assert_allclose(drawn.mean(axis=0), constants.shares, atol=0.045)
    pdg, _ = inverse(np.zeros((2000, 12), np.float32), drawn)
    np.testing.assert_array_equal(pdg, constants.classes[np.argmax(drawn, axis=1)])


def boosted(p, beta):
    """The textbook's boost of four-momenta (..., 4)."""
    gamma = 1 / np.sqrt(1 - beta @ beta)
    along = p[..., 1:] @ beta
    factor = gamma**2 / (gamma + 1) * along + gamma * p[..., 0]
    space = p[..., 1:] + factor[..., None] * beta
    return np.concatenate([(gamma * (p[..., 0] + along))[..., None], space], axis=-1)


def test_coordinates_of_pairs_by_textbook_boosts(toys):
    """Masses, p_T, rapidity and all angles, in double precision by explicit boosts."""
    p = np.array(toys.momentum_gev[:12])
    p[..., 0] = np.linalg.norm(p[..., 1:], axis=-1)
    encode = jax.vmap(lambda q: to_pairs(q, 8000.0))
    found = np.asarray(jax.jit(encode)(p[..., 1:].astype(np.float32)))
    for row, event in enumerate(p):
        first, second, whole = event[:2].sum(axis=0), event[2:].sum(axis=0), event.sum(axis=0)

        def at_rest(q, parent):
            along_beam = boosted(np.stack([q, parent]), np.array([0, 0, -parent[3] / parent[0]]))
            beta = -along_beam[1, 1:] / along_beam[1, 0]
            return boosted(along_beam[0], beta)[1:]

        def angles(q, parent):
            k = at_rest(q, parent)
            return [np.arctanh(k[2] / np.linalg.norm(k)), np.arctan2(k[1], k[0])]

        m_first, m_second, m = np.sqrt([masses(first), masses(second), masses(whole)])
        eta_k, phi_k = angles(first, whole)
        eta_1, phi_1 = angles(event[0], first)
        eta_3, phi_3 = angles(event[2], second)

        def scaled(x):
            return np.log(x) + x / 800

        expected = [phi_k, np.arctan2(whole[2], whole[1]) - phi_k, scaled(np.hypot(*whole[1:3]))]
        y_max = np.log(8000.0 / np.hypot(m, np.hypot(*whole[1:3])))
        expected += [np.arctanh(whole[3] / whole[0]) / y_max]
        expected += [scaled(m - m_first - m_second), eta_k]
        expected += [scaled(m_first), eta_1, phi_1 - phi_k]
        expected += [scaled(m_second), eta_3, phi_3 - phi_k - np.pi]
        difference = found[row] - expected
        turns = [0, 1, 8, 11]
        difference[turns] -= 2 * np.pi * np.round(difference[turns] / (2 * np.pi))
        np.testing.assert_allclose(difference, 0.0, atol=3e-4)
        assert np.abs(found[row, turns]).max() <= np.pi + 1e-5


def test_coordinates_of_leptons(toys):
    p = toys.momentum_gev[0, :, 1:]
    found = np.asarray(to_leptons(jnp.asarray(p, jnp.float32), 4.0, 3.0))
    pt, phi = np.hypot(p[:, 0], p[:, 1]), np.arctan2(p[:, 1], p[:, 0])
    np.testing.assert_allclose(found[4:8], np.log(pt / 4 - 1), rtol=1e-4)
    np.testing.assert_allclose(found[8:], np.arctanh(np.arcsinh(p[:, 2] / pt) / 3), rtol=1e-4)
    turns = [phi[0], phi[1] - phi[0] - np.pi, phi[2] - phi[0], phi[3] - phi[2] - np.pi]
    np.testing.assert_allclose(np.cos(found[:4] - turns), 1.0, atol=1e-6)
    assert np.abs(found[:4]).max() <= np.pi


def test_a_decay_with_masses_conserves_momentum():
    parent = Particles(*jnp.array([30.0, -12.0, 0.7, 250.0]))
    decay = jnp.array([jnp.log(250.0 - 90.0 - 20.0), 0.4, 2.0])
    children = split(parent, jnp.array(90.0), jnp.array(20.0), decay)

    def four(q):
        mt = np.hypot(q.mass, q.pt)
        return np.array([mt * np.cosh(q.rapidity), q.px, q.py, mt * np.sinh(q.rapidity)])

    np.testing.assert_allclose(four(children[0]) + four(children[1]), four(parent), rtol=1e-5)
    again, found = join(*children)
    np.testing.assert_allclose(found, decay, rtol=1e-4)
    np.testing.assert_allclose(again, parent, rtol=1e-5)


@pytest.mark.parametrize("config", ALL, ids=name)
def test_constants_to_restore_into(config, fitted, toys):
    constants, _, _, _ = fitted[config]
    empty = no_lepton_constants(config, len(constants.classes))
    for part, blank in zip(constants, empty, strict=True):
        assert (part.shape, part.dtype) == (blank.shape, blank.dtype)
        assert part.size > 0
    one = fit_leptons(config, toys.rows(slice(0, 1)))  # one event: nothing is divided by zero
    event, _ = lepton_transform(config, one).forward(KEY, toys.pdg[0], toys.momentum_gev[0])
    assert np.isfinite(event).all()


def test_sparse_slots_are_the_thesiss(toys):
    config = SparseSlots()
    transform = lepton_transform(config, no_lepton_constants(config, 1))
    pdg = jnp.array([13, -13, 13, -13])
    momentum = jnp.arange(16.0).reshape(4, 4)
    event, _ = transform.forward(KEY, pdg, momentum)
    expected = np.zeros((8, 4))
    expected[[4, 6, 5, 7]] = np.arange(16.0).reshape(4, 4)
    np.testing.assert_array_equal(event, expected.reshape(-1))
    # The four of largest |E| count, as they come.
    slots = expected.copy()
    slots[[0, 1, 2, 3, 4, 5, 6, 7], 0] = [1, -90, 3, 40, -50, 2, 0, 60]
    pdg, momentum = transform.inverse(jnp.asarray(slots.reshape(-1)), jnp.zeros(0))
    np.testing.assert_array_equal(pdg, [11, -11, 13, -13])
    np.testing.assert_array_equal(momentum, slots[[1, 3, 4, 7]])


def test_events_without_a_vector_are_refused(toys):
    def with_change(pdg=None, **components):
        momentum = np.array(toys.momentum_gev)
        for component, value in components.items():
            momentum[5, 2, ["E", "px", "py", "pz"].index(component)] = value
        return LeptonEvents(toys.pdg if pdg is None else pdg, momentum)

    three = np.tile([11, 11, 11, -11], (toys.n_events, 1))
    cases = [
        (SparseSlots(), with_change(three), "at most two of one kind .*found 11, 11, 11, -11"),
        (BosonPairs(), with_change(E=900.0), "found E = 900 GeV .*in event 5; .*SparseSlots"),
        (BosonPairs(), with_change(px=0.0, py=0.0, pz=50.0, E=50.0), "found 0 in event 5"),
        (PhysicalLeptons(threshold_gev=20.0), toys, "p_T of 20 GeV or more .*set threshold_gev"),
        (PhysicalLeptons(max_eta=1.5), toys, r"\|eta\| of 1.5 or less"),
    ]
    cases += [(config, toys.rows(slice(0, 0)), "found none") for config in ALL]
    for config, events, message in cases:
        with pytest.raises(InputError, match=message):
            fit_leptons(config, events)
    with pytest.raises(InputError, match="found -1 and 3"):
        PhysicalLeptons(threshold_gev=-1.0, max_eta=3.0)
