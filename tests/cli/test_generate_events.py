"""`jaxcalo generate-events`: what is taken from Pythia's event record, and the real one if there.

The record is faked where Pythia is absent: particles whose chains of copies and daughters are laid
as Pythia lays them.
"""

import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from command_line import assert_one_line, run

from jaxcalo.data import read_four_lepton


def particle(pdg, status=1, p=(0.0, 0.0, 0.0), last=None, daughters=()):
    """What is asked of a particle of Pythia: a function without arguments for each number."""
    px, py, pz = p
    pt = np.hypot(px, py)
    asked = {"id": pdg, "status": status, "iBotCopyId": last, "daughterList": daughters}
    asked |= {"px": px, "py": py, "pz": pz, "pT": pt, "e": np.hypot(pt, pz)}
    asked["eta"] = np.arcsinh(pz / max(pt, 1e-9))
    return SimpleNamespace(**{name: partial(lambda v: v, value) for name, value in asked.items()})


class Record(list):
    size = list.__len__


def record(momenta):
    """Boson 1 (a copy behind it) to a positron, a photon and an electron; boson 2 to muons.

    The hard leptons have copies after radiation, whose momenta are the given ones: of e+, e-, mu-,
    mu+. A Z of another status and a stray muon are no part of it.
    """
    hard = (999.0, 999.0, 0.0)
    particles = [particle(90), particle(23, -21, hard, 0), particle(23, -22, hard, 4)]
    particles += [particle(23, -22, hard, 3, (8, 9)), particle(23, -62, hard, 4, (5, 6, 7))]
    particles += [particle(-11, -23, hard, 10), particle(22, 1, hard, 6)]
    particles += [particle(11, -23, hard, 11), particle(13, -23, hard, 12)]
    particles += [particle(-13, -23, hard, 13)]
    particles += [particle(pdg, 1, p) for pdg, p in zip((-11, 11, 13, -13), momenta, strict=True)]
    return Record([*particles, particle(13, 1, hard, 14)])


GOOD = [(6.0, 0.0, 40.0), (0.0, 7.0, 1.0), (-8.0, 0.0, 2.0), (0.0, -9.0, 3.0)]


def fake(events, settings, starts=True):
    """A module whose generator hands out the records in turn; None is a failure."""

    class Pythia:
        def __init__(self, folder, banner):
            assert banner is False
            self._events = iter(events)

        def readString(self, setting):  # noqa: N802
            settings.append(setting)
            return setting != "unknown"

        def init(self):
            return starts

        def next(self):
            self.event = next(self._events, None)
            return self.event is not None

    return SimpleNamespace(Pythia=Pythia)


def test_leptons_of_the_record(tmp_path, monkeypatch, capsys):
    """The last copies, particle first, event after event; soft, steep and failed ones skipped."""
    soft = [(4.9, 0.0, 1.0), *GOOD[1:]]
    steep = [(6.0, 0.0, 60.0), *GOOD[1:]]
    other = [(x + 1, y, z) for x, y, z in GOOD]
    events = [record(soft), None, record(GOOD), record(steep), record(other), record(GOOD)]
    settings = []
    monkeypatch.setitem(sys.modules, "pythia8mc", fake(events, settings))
    path = tmp_path / "x.csv"
    assert run("generate-events", "-n", 2, "--seed", 7, "-o", path) == 0
    found = read_four_lepton(path)
    np.testing.assert_array_equal(found.pdg, [[11, -11, 13, -13]] * 2)
    for row, momenta in enumerate((GOOD, other)):
        order = np.array(momenta)[[1, 0, 2, 3]]
        np.testing.assert_allclose(found.momentum_gev[row, :, 1:], order)
        energy = np.linalg.norm(order, axis=1)
        np.testing.assert_allclose(found.momentum_gev[row, :, 0], energy, rtol=1e-8)
    assert "Random:seed = 7" in settings
    assert "PartonLevel:MPI = off" in settings
    assert "2 events" in capsys.readouterr().out


def test_one_clear_line_without_pythia(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pythia8mc", None)
    code = run("generate-events", "-n", 2, "-o", tmp_path / "x.csv")
    assert_one_line(capsys, code, "pip install 'jaxcalo[pythia]'")
    assert not list(tmp_path.iterdir())


def test_unusable_requests_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pythia8mc", fake([], []))
    file = ["-o", tmp_path / "x.csv"]
    assert_one_line(capsys, run("generate-events", *file, "-n", 0), "-n", "found 0")
    for seed in (0, -1, 900_000_001):
        code = run("generate-events", *file, "-n", 1, "--seed", seed)
        assert_one_line(capsys, code, "--seed", f"found {seed}")
    for place in (tmp_path, tmp_path / "none" / "x.csv"):
        assert_one_line(capsys, run("generate-events", "-n", 1, "-o", place), "-o", str(place))
    assert_one_line(capsys, run("generate-events", "-n", 1, *file), "Pythia failed 1000 times")
    monkeypatch.setitem(sys.modules, "pythia8mc", fake([], [], starts=False))
    assert_one_line(capsys, run("generate-events", "-n", 1, *file), "Pythia did not start")
    assert not list(tmp_path.iterdir())


def test_real_events(tmp_path):
    """Pythia's own: on the mass shell, within the limits, Z bosons, the same for the same seed."""
    pytest.importorskip("pythia8mc")
    found = {}
    for name, seed, n in (("a", 3, 100), ("b", 3, 40), ("c", 4, 40)):
        assert run("generate-events", "-n", n, "--seed", seed, "-o", tmp_path / name) == 0
        found[name] = read_four_lepton(tmp_path / name)
    momentum, pdg = found["a"].momentum_gev, found["a"].pdg
    np.testing.assert_array_equal(momentum[:40], found["b"].momentum_gev)
    assert not np.isclose(momentum[:40], found["c"].momentum_gev).any()
    np.testing.assert_array_equal(pdg[:, 1::2], -pdg[:, ::2])
    assert set(np.abs(pdg).ravel()) == {11, 13}
    pt = np.hypot(momentum[..., 1], momentum[..., 2])
    assert pt.min() > 5
    assert np.abs(np.arcsinh(momentum[..., 3] / pt)).max() < 2.7
    squares = momentum[..., 0] ** 2 - (momentum[..., 1:] ** 2).sum(axis=-1)
    np.testing.assert_allclose(squares, np.where(abs(pdg) == 13, 0.10566, 5e-4) ** 2, atol=0.01)
    pairs = momentum.reshape(-1, 2, 2, 4).sum(axis=2)
    mass = np.sqrt(pairs[..., 0] ** 2 - (pairs[..., 1:] ** 2).sum(axis=-1))
    assert np.median(mass) == pytest.approx(90.5, abs=1)
