"""Four-lepton CSV files: both layouts, exact numbers, every unusable file in one line."""

import jax
import numpy as np
import pytest

from jaxcalo.data import (
    LeptonEvents,
    is_four_lepton_file,
    read_four_lepton,
    write_four_lepton,
)
from jaxcalo.data.toy_leptons import toy_leptons
from jaxcalo.errors import InputError

HEADER = "E1,E2,E3,E4,pdg1,pdg2,pdg3,pdg4,p1x,p1y,p1z,p2x,p2y,p2z,p3x,p3y,p3z,p4x,p4y,p4z"
NAMES = HEADER.split(",")
ROW = [*map(str, [10, 20, 30, 40, 11, -11, 13, -13]), *map(str, range(1, 13))]
CMS_NAMES = [
    name
    for i in range(1, 5)
    for name in f"PID{i},E{i},px{i},py{i},pz{i},pt{i},eta{i},phi{i},Q{i}".split(",")
]


@pytest.fixture(scope="module")
def toys():
    return toy_leptons(jax.random.key(3), 300)


def mass(momentum):
    return np.sqrt(momentum[..., 0] ** 2 - (momentum[..., 1:] ** 2).sum(axis=-1))


def text(names, *rows):
    return "\n".join(",".join(str(value) for value in row) for row in (names, *rows)) + "\n"


def write(path, content):
    path.write_text(content)
    return path


def cms_row(leptons):
    """A row from (pdg, E, px, py, pz) of four leptons; what is not read is 0."""
    return [value for lepton in leptons for value in (*lepton, 0, 0, 0, 0)]


def test_written_events_come_back(toys, tmp_path):
    """Nine digits: single precision exactly, double precision to 1e-8."""
    path = tmp_path / "x.csv"
    write_four_lepton(path, toys)
    back = read_four_lepton(path)
    assert back.n_events == 300
    assert (back.pdg.dtype, back.momentum_gev.dtype) == (np.int32, np.float64)
    np.testing.assert_array_equal(back.pdg, toys.pdg)
    np.testing.assert_allclose(back.momentum_gev, toys.momentum_gev, rtol=1e-8)
    single = LeptonEvents(toys.pdg, toys.momentum_gev.astype(np.float32))
    write_four_lepton(path, single)
    found = read_four_lepton(path).momentum_gev.astype(np.float32)
    np.testing.assert_array_equal(found, single.momentum_gev)
    assert path.read_text().splitlines()[0].split(",") == NAMES
    assert [file.name for file in tmp_path.iterdir()] == ["x.csv"]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_columns_are_found_by_their_names(tmp_path, newline):
    """Another order, a column more, a byte order mark, spaces, Windows lines, empty lines."""
    order = [*reversed(range(20))]
    names = [f" {NAMES[i]}" for i in order] + ["weight"]
    content = text(names, [ROW[i] for i in order] + ["0.5"]).replace("\n", newline)
    path = tmp_path / "x.csv"
    path.write_bytes(b"\xef\xbb\xbf" + (content + newline).encode())
    assert is_four_lepton_file(path)
    events = read_four_lepton(path)
    np.testing.assert_array_equal(events.pdg, [[11, -11, 13, -13]])
    expected = [[[10, 1, 2, 3], [20, 4, 5, 6], [30, 7, 8, 9], [40, 10, 11, 12]]]
    np.testing.assert_array_equal(events.momentum_gev, expected)


def test_rows_by_slice_mask_and_index(toys):
    mask = toys.pdg[:, 0] == 11
    for which in (slice(2, 40, 3), mask, np.array([7, 7, 0])):
        part = toys.rows(which)
        np.testing.assert_array_equal(part.momentum_gev, toys.momentum_gev[which])
        np.testing.assert_array_equal(part.pdg, toys.pdg[which])
        assert part.n_events == len(toys.pdg[which])


def test_toys_are_two_bosons(toys):
    """Masses of pairs lie on the Z, everything on its shell and within the cuts."""
    p = toys.momentum_gev
    for pair in (p[:, :2].sum(axis=1), p[:, 2:].sum(axis=1)):
        assert 90.5 < np.median(mass(pair)) < 92
        assert np.mean(np.abs(mass(pair) - 91.188) < 2.5) == pytest.approx(0.7, abs=0.15)
    np.testing.assert_allclose(mass(p)[np.abs(toys.pdg) == 13], 0.10566, rtol=0.01)
    pt = np.hypot(p[..., 1], p[..., 2])
    assert pt.min() > 5
    assert np.abs(np.arcsinh(p[..., 3] / pt)).max() < 2.7
    np.testing.assert_array_equal(toys.pdg[:, ::2], -toys.pdg[:, 1::2])
    assert (np.unique(toys.pdg, axis=0, return_counts=True)[1] > 40).all()
    with pytest.raises(InputError, match="1 event or more, found 0"):
        toy_leptons(jax.random.key(0), 0)


def test_real_candidates_are_paired(tmp_path):
    """Events 172401/3729470 and 167675/876658967 of CMS Open Data."""
    different = [
        (-11, 79.8732, 45.8974, 11.8758, -64.2816),
        (11, 40.0327, -36.8614, -10.6502, -11.4204),
        (-13, 48.5643, -40.5716, -22.7848, -13.9024),
        (13, 79.4437, 30.9827, -0.575343, -73.1508),
    ]
    electrons = [
        (-11, 46.2967, -45.4721, -8.6101, -1.24072),
        (11, 45.8568, 43.5367, 14.3708, -0.940301),
        (-11, 27.2561, -13.6734, -19.6597, 13.0164),
        (11, 7.57191, -0.0913048, 7.28083, -2.07727),
    ]
    path = write(tmp_path / "cms.csv", text(CMS_NAMES, cms_row(different), cms_row(electrons)))
    assert is_four_lepton_file(path)
    events = read_four_lepton(path)
    np.testing.assert_array_equal(events.pdg, [[13, -13, 11, -11], [11, -11, 11, -11]])
    pairs = events.momentum_gev.reshape(2, 2, 2, 4).sum(axis=2)
    np.testing.assert_allclose(mass(pairs), [[90.3889, 92.539], [91.9271, 27.3974]], rtol=3e-3)
    assert (np.abs(mass(pairs)[:, 0] - 91.188) < np.abs(mass(pairs)[:, 1] - 91.188)).all()
    np.testing.assert_array_equal(events.momentum_gev[1, 0], electrons[1][1:])
    np.testing.assert_array_equal(events.momentum_gev[1, 1], electrons[0][1:])


def test_pairing_in_any_order_is_the_same(toys, tmp_path):
    """Leptons of a candidate file shuffled: the same pairs, by brute force the nearest to the Z."""
    shuffles = np.stack(
        [jax.random.permutation(key, 4) for key in jax.random.split(jax.random.key(1), 40)]
    )
    rows = {}
    for name, orders in (("a", shuffles), ("b", shuffles[::-1])):
        leptons = [
            [(toys.pdg[i, j], *(float(v) for v in toys.momentum_gev[i, j])) for j in order]
            for i, order in enumerate(orders)
        ]
        path = write(tmp_path / name, text(CMS_NAMES, *(cms_row(event) for event in leptons)))
        rows[name] = read_four_lepton(path)
    np.testing.assert_array_equal(rows["a"].momentum_gev, rows["b"].momentum_gev)
    found = mass(rows["a"].momentum_gev[:, :2].sum(axis=1))
    for i in range(40):
        p, pdg = toys.momentum_gev[i], toys.pdg[i]
        masses = [
            mass(p[j] + p[k]) for j in range(4) for k in range(j) if pdg[j] == -pdg[k]
        ]  # fmt: skip
        assert found[i] == min(masses, key=lambda m: abs(m - 91.188))
    assert (rows["a"].pdg[:, ::2] > 0).all()


def changed(column, value):
    return [value if name == column else old for name, old in zip(NAMES, ROW, strict=True)]


BAD = {
    "no such file": (None, "cannot read"),
    "empty": ("", "lacks E|lacks pdg1"),
    "only names": (text(NAMES), "holds no events"),
    "column missing": (text(NAMES[:-1], ROW[:-1]), "lacks p4z in its first line; expected E1"),
    "column twice": (text([*NAMES, "E1"], [*ROW, 1]), "more than one column E1"),
    "unknown lepton": (text(NAMES, ROW, changed("pdg3", 15)), "pdg3 of event 1 .*found 15"),
    "half a lepton": (text(NAMES, changed("pdg1", 11.5)), "pdg1 of event 0 .*found 11.5"),
    "NaN as lepton": (text(NAMES, changed("pdg1", "nan")), "pdg1 of event 0 .*found nan"),
    "NaN": (text(NAMES, changed("p2y", "NaN")), "p2y of event 0 must be finite, found nan"),
    "inf": (text(NAMES, ROW, changed("E4", "inf")), "E4 of event 1 must be finite, found inf"),
    "overflow": (text(NAMES, changed("E1", "1e999")), "E1 of event 0 must be finite, found inf"),
    "short row": (text(NAMES, ROW, ROW[:-1]), "line 3 has 19 values, .* 20 columns"),
    "long row": (text(NAMES, [*ROW, 1], [*ROW, 1]), "line 2 has 21 values"),
    "words": (text(NAMES, ROW, changed("E2", "many")), "line 3 must hold numbers, found 'many'"),
    "no value": (text(NAMES, changed("E2", "")), "line 2 must hold numbers, found ''"),
    "cms: no pairs": (
        text(CMS_NAMES, cms_row([(pdg, 5, 1, 2, 3) for pdg in (11, 11, 13, -13)])),
        "event 0 must be two pairs .*found 11, 11, 13, -13",
    ),
    "cms: column missing": (text(CMS_NAMES[:-5]), "lacks pz4 in"),
}


@pytest.mark.parametrize("name", BAD)
def test_unusable_files_in_one_line(name, tmp_path):
    content, message = BAD[name]
    path = tmp_path / "bad.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=message) as error:
        read_four_lepton(path)
    assert "\n" not in str(error.value)
    assert "bad.csv" in str(error.value)


def test_rubbish_and_folders_are_refused(tmp_path):
    rubbish = bytes(jax.random.randint(jax.random.key(0), (4096,), 0, 256).tolist())
    for content in (rubbish, b"\x00" * 100, b"\x89HDF\r\n\x1a\n", b"\xff\xfe" + b"E\x00" * 40):
        path = tmp_path / "x.csv"
        path.write_bytes(content)
        assert not is_four_lepton_file(path)
        with pytest.raises(InputError, match=r"x\.csv"):
            read_four_lepton(path)
    for path in (tmp_path, tmp_path / "none.csv"):
        assert not is_four_lepton_file(path)
        with pytest.raises(InputError, match="cannot read"):
            read_four_lepton(path)
    assert not is_four_lepton_file(write(tmp_path / "y.csv", "E1,E2\n1,2\n"))


def test_what_cannot_be_written(toys, tmp_path):
    path = write(tmp_path / "x.csv", "old")
    bad = np.array(toys.momentum_gev)
    bad[7, 2, 3] = np.nan
    for events, message in (
        (toys.rows(slice(0, 0)), "no events"),
        (LeptonEvents(toys.pdg, bad), "p3z of event 7 must be finite"),
        (LeptonEvents(toys.pdg + 1, toys.momentum_gev), "leptons of event 0 must be"),
        (LeptonEvents(toys.pdg[:, :3], toys.momentum_gev), r"expected pdg \(n, 4\)"),
    ):
        with pytest.raises(InputError, match=message):
            write_four_lepton(path, events)
    for place in (tmp_path, tmp_path / "none" / "x.csv"):
        with pytest.raises(InputError, match="cannot write"):
            write_four_lepton(place, toys)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["x.csv"]
