"""Further data sets of shower files: written and read back, and every kind of bad one."""

import h5py
import jax
import numpy as np
import pytest

from jaxcalo.data import ConditionSpec, Showers, ShowerWriter, open_showers, read_showers
from jaxcalo.errors import InputError

N = 300
COLUMNS = {"impact_mm": 2, "pdg": 1}


def conditioned(n=N):
    """Showers of one voxel whose impact position and particle tell their row."""
    row = np.arange(n, dtype=np.float32)
    conditions = np.stack([row / 7, -row, 11 + row % 3], axis=1)
    return Showers(row + 1, row[:, None], conditions)


def write(path, showers=None, columns=COLUMNS, whole=("pdg",)):
    showers = conditioned() if showers is None else showers
    with ShowerWriter(path, 1, None, columns, whole) as writer:
        for start in range(0, len(showers.incident_energy_mev), 130):
            part = slice(start, start + 130)
            writer.append(jax.tree.map(lambda column, part=part: column[part], showers))
    return path


def write_raw(path, **datasets):
    with h5py.File(path, "w") as file:
        file["incident_energies"], file["showers"] = np.ones((N, 1)), np.ones((N, 2))
        for name, data in datasets.items():
            file[name] = data
    return path


def refused(path, message, *names):
    """Check that reading is refused in one line that names the file."""
    with pytest.raises(InputError, match=message) as caught:
        read_showers(path, conditions=names)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_round_trip(tmp_path):
    path, showers = write(tmp_path / "x.h5"), conditioned()
    with h5py.File(path) as file:
        assert file["impact_mm"].shape == (N, 2)
        assert file["impact_mm"].dtype == np.float32
        assert file["pdg"].shape == (N,)
        assert file["pdg"].dtype == np.int32
        np.testing.assert_array_equal(file["pdg"], showers.conditions[:, 2])
        np.testing.assert_array_equal(file["impact_mm"], showers.conditions[:, :2])
    with open_showers(path, conditions=("impact_mm", "pdg")) as file:
        assert file.conditions == (
            ConditionSpec("impact_mm", 2, False),
            ConditionSpec("pdg", 1, True),
        )
        assert file.n_condition_columns == 3
        np.testing.assert_array_equal(file.read(100, 150).conditions, showers.conditions[100:150])
        np.testing.assert_array_equal(file.read_conditions(5, 9), showers.conditions[5:9])
    found = read_showers(path, conditions=("impact_mm", "pdg")).conditions
    np.testing.assert_array_equal(found, showers.conditions)
    assert found.dtype == np.float32


def test_what_is_read_is_what_was_asked_for_in_that_order(tmp_path):
    path, expected = write(tmp_path / "x.h5"), conditioned().conditions
    turned = read_showers(path, conditions=("pdg", "impact_mm")).conditions
    np.testing.assert_array_equal(turned, expected[:, [2, 0, 1]])
    alone = read_showers(path, conditions=("pdg",)).conditions
    np.testing.assert_array_equal(alone, expected[:, 2:])
    assert read_showers(path).conditions is None


def test_pieces_join_to_the_whole(tmp_path, monkeypatch):
    path, expected = write(tmp_path / "x.h5"), conditioned().conditions
    monkeypatch.setattr("jaxcalo.data.calochallenge._PIECE_BYTES", 1)
    np.testing.assert_array_equal(
        read_showers(path, conditions=("pdg",)).conditions, expected[:, 2:]
    )
    with open_showers(path, conditions=("impact_mm",)) as file:
        parts = [chunk.conditions for chunk in file.chunks(70)]
    assert [len(part) for part in parts] == [70, 70, 70, 70, 20]
    np.testing.assert_array_equal(np.concatenate(parts), expected[:, :2])


def test_other_types_are_welcome(tmp_path):
    """Double precision, unsigned and large whole numbers, one column as (n, 1)."""
    angle, number = np.linspace(0, 1, N), 2**24 - 1 - np.arange(N)
    path = write_raw(tmp_path / "x.h5", angle=angle[:, None], a=number.astype(np.uint64), b=-number)
    found = read_showers(path, conditions=("angle", "a", "b")).conditions
    np.testing.assert_array_equal(found[:, 0], angle.astype(np.float32))
    np.testing.assert_array_equal(found[:, 1:].astype(int), np.stack([number, -number], axis=1))


def test_a_file_tells_what_could_be_a_condition(tmp_path):
    path = write_raw(
        tmp_path / "x.h5",
        angle=np.ones((N, 3)),
        pdg=np.ones(N, int),
        name=np.full(N, b"x"),
        short=np.ones(3),
        cube=np.ones((N, 2, 2)),
    )
    with open_showers(path) as file:
        found = set(file.further_datasets())
    assert found == {ConditionSpec("angle", 3, False), ConditionSpec("pdg", 1, True)}


def put(row, value, dtype=np.float64):
    values = np.ones(N, dtype)
    values[row] = value
    return values


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "lacks the data set 'x', found angle, incident_energies, showers; .* are angle;"),
        (np.ones(N - 1), "299 rows of 'x' but 300 showers"),
        (np.ones((N, 2, 2)), r"'x' must have shape \(n,\) or \(n, k\) .* found \(300, 2, 2\)"),
        (np.ones((N, 0)), r"found \(300, 0\)"),
        (3.0, r"'x' must have shape .* found \(\)"),
        (np.full(N, b"pi"), "'x' must hold numbers, found the type"),
        (np.ones(N, complex), "'x' must hold numbers, found the type complex128"),
        (put(7, np.nan), "'x' of shower 7 must be finite, found nan"),
        (put(270, -np.inf), "'x' of shower 270 must be finite, found -inf"),
        (put(3, 1e60), r"'x' of shower 3 must be finite, found 1e\+60"),
        (put(4, 2**24, int), "'x' of shower 4 must be a whole number below 2.24, found 1.67772e"),
        (put(4, 2**24 + 1, int), "'x' of shower 4 must be a whole number below"),
        (put(5, -(2**63), int), "'x' of shower 5 must be a whole number below"),
    ],
)
def test_bad_data_sets(tmp_path, data, message):
    datasets = {"angle": np.ones(N)} if data is None else {"x": data}
    refused(write_raw(tmp_path / "bad.h5", **datasets), message, "x")


def test_bad_wishes(tmp_path):
    path = write(tmp_path / "x.h5")
    refused(path, "different data sets .* found pdg, pdg", "pdg", "pdg")
    refused(path, "'incident_energies' cannot be a further condition", "incident_energies")
    refused(path, "'showers' cannot be a further condition", "pdg", "showers")
    with h5py.File(path, "r+") as file:
        del file["pdg"], file["impact_mm"]
    refused(path, "its further data sets are none", "pdg")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: None, r"expected 3 columns of conditions for 10 showers \(impact_mm, pdg\)"),
        (lambda c: c[:, :2], r"expected 3 columns .* found an array of shape \(10, 2\)"),
        (lambda c: c[:9], r"for 10 showers .* found an array of shape \(9, 3\)"),
        (lambda c: c * np.nan, "'impact_mm' of shower 0 must be finite, found nan"),
        (lambda c: c + 0.5, "'pdg' of shower 0 must be a whole number .* found 11.5"),
    ],
)
def test_writer_refuses_conditions_that_could_not_be_read(tmp_path, change, message):
    showers = conditioned(10)
    with pytest.raises(InputError, match=f"cannot write .*{message}"):
        write(tmp_path / "x.h5", showers._replace(conditions=change(showers.conditions)))
    assert list(tmp_path.iterdir()) == []


def test_writer_refuses_conditions_it_was_not_told_of(tmp_path):
    with pytest.raises(InputError, match=r"expected 0 columns of conditions .* \(none\), found"):
        write(tmp_path / "x.h5", columns=None)
