"""Point clouds: ragged and padded arrays, both file layouts, every bad input, and the writer."""

import resource
import tracemalloc

import h5py
import jax
import numpy as np
import pytest

import jaxcalo.data.point_cloud as module
from jaxcalo.data import (
    Clouds,
    CloudWriter,
    is_cloud_file,
    open_clouds,
    pad,
    read_clouds,
    sample_path,
    unpad,
)
from jaxcalo.data.toy_clouds import toy_clouds
from jaxcalo.errors import InputError

# GeV and MeV are both rounded to float32: twice half of 2^-23
ROUNDING = 2.0**-23


@pytest.fixture(scope="module")
def clouds():
    """Toy clouds and, in the third place, a shower without a point."""
    drawn = toy_clouds(jax.random.key(3), 100, mean_points=40)
    kept = drawn.points[drawn.shower != 2]
    n_points = np.where(np.arange(100) == 2, 0, drawn.n_points).astype(np.int32)
    return Clouds(drawn.incident_energy_mev, kept, n_points)


def write(path, clouds, max_points=200, attributes=None):
    with CloudWriter(path, max_points, attributes) as writer:
        writer.append(clouds)
    return path


def write_raw(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, data in datasets.items():
            file[name] = data
    return path


def events(n=5, m=7):
    """Rows (n, m, 4) of x, layer, z, E as files have them, the first two of each shower padding."""
    rows = np.arange(n * m * 4, dtype=np.float32).reshape(n, m, 4)
    rows[:, :2] = 0
    return rows


def refused(path, message):
    """Check that reading is refused in one line that names the file."""
    with pytest.raises(InputError, match=message) as caught:
        read_clouds(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def same(found, expected, energy_error=0.0):
    """Check that clouds are equal, energies to a relative error."""
    np.testing.assert_array_equal(found.n_points, expected.n_points)
    np.testing.assert_array_equal(found.points[:, :3], expected.points[:, :3])
    for one, other in (
        (found.incident_energy_mev, expected.incident_energy_mev),
        (found.points[:, 3], expected.points[:, 3]),
    ):
        np.testing.assert_allclose(one, other, rtol=energy_error, atol=0)
    assert [column.dtype for column in found] == [np.float32, np.float32, np.int32]


@pytest.mark.parametrize(
    "which", [slice(None), slice(2, 9), slice(50, None, -7), np.asarray([2, 9, 9, 0]), []]
)
def test_rows_are_those_of_a_list(clouds, which):
    which = np.asarray(which, int) if isinstance(which, list) else which
    single = np.split(clouds.points, np.cumsum(clouds.n_points)[:-1])
    found = clouds.rows(which)
    chosen = np.arange(100)[which]
    np.testing.assert_array_equal(found.incident_energy_mev, clouds.incident_energy_mev[chosen])
    assert found.n_showers == len(chosen)
    expected = np.concatenate([np.zeros((0, 4)), *(single[row] for row in chosen)])
    np.testing.assert_array_equal(found.points, expected)
    np.testing.assert_array_equal(
        found.shower, [place for place, row in enumerate(chosen) for _ in single[row]]
    )
    same(clouds.rows(np.isin(np.arange(100), chosen)), clouds.rows(np.unique(chosen)))


def test_padding_stands_behind_and_comes_off(clouds):
    padded = pad(clouds, 150)
    assert padded.points.shape == (100, 150, 4)
    for points, n in zip(padded.points, padded.n_points, strict=True):
        assert (points[:n, 3] > 0).all()
        assert not points[n:].any()
    same(unpad(padded.incident_energy_mev, padded.points), clouds)
    # wherever the padding stands
    mixed = jax.numpy.asarray(padded.points[:, ::-1])
    backwards = unpad(padded.incident_energy_mev, mixed)
    np.testing.assert_array_equal(backwards.n_points, clouds.n_points)
    same(unpad(backwards.incident_energy_mev, pad(backwards, 99).points[:, ::-1]), clouds)
    most = clouds.n_points.max()
    with pytest.raises(InputError, match=f"a cloud of {most} points does not fit into {most - 1}"):
        pad(clouds, most - 1)


def test_round_trip(tmp_path, clouds):
    attributes = {"particle": "photon", "threshold_mev": 0.01, "n": 3}
    path = tmp_path / "clouds.h5"
    with CloudWriter(path, 130, attributes) as writer:
        for start in range(0, 100, 23):
            writer.append(clouds.rows(slice(start, start + 23)))
        assert writer.n_showers == 100
    with open_clouds(path) as file:
        assert (file.n_showers, file.max_points, file.layout) == (100, 130, "CaloClouds")
        assert file.attributes == attributes
        assert type(file.attributes["threshold_mev"]) is float
        same(file.read(1, 40), clouds.rows(slice(1, 40)), ROUNDING)
        assert file.read(100, 100).points.shape == (0, 4)
        parts = list(file.chunks(30))
        assert [part.n_showers for part in parts] == [30, 30, 30, 10]
        same(module.concatenate(parts), clouds, ROUNDING)
    same(read_clouds(path), clouds, ROUNDING)
    # written again, nothing moves any more
    once = read_clouds(path)
    same(read_clouds(write(tmp_path / "again.h5", once)), once, ROUNDING)


def test_file_has_the_published_layout(tmp_path, clouds):
    with h5py.File(write(tmp_path / "clouds.h5", clouds)) as file:
        energy, rows = file["energy"], file["events"]
        assert energy.shape == (100, 1)
        assert (rows.shape, rows.dtype) == ((100, 4, 200), np.float32)
        assert rows.compression == "gzip"
        np.testing.assert_allclose(energy[:, 0], clouds.incident_energy_mev / 1e3, rtol=1e-6)
        # zeros in front, then x, layer, z in mm and E in GeV in their order
        first = np.stack([rows[0, row, -clouds.n_points[0] :] for row in (0, 2, 1, 3)], axis=1)
        expected = clouds.points[: clouds.n_points[0]] * np.float32([1, 1, 1, 1e-3])
        np.testing.assert_allclose(first, expected, rtol=1e-6)
        assert not rows[0, :, : -clouds.n_points[0]].any()


def test_the_three_layouts_are_told_apart(tmp_path):
    rows = events()
    expected = rows[:, 2:].reshape(-1, 4)[:, [0, 2, 1, 3]] * np.float32([1, 1, 1, 1e3])
    energy = np.linspace(10, 90, 5)
    older = write_raw(tmp_path / "a.h5", energy=energy, events=rows.transpose(0, 2, 1))
    # behind and in between, other types, and energies without the second axis
    mixed = rows[:, [3, 0, 2, 4, 1, 5, 6]].astype(np.float64)
    mixed[:, :, 1] += np.where(mixed[:, :, 3] > 0, 0.9, 0.0)
    newer = write_raw(tmp_path / "b.h5", energy=energy[:, None], events=mixed)
    for path, layout in ((older, "CaloClouds"), (newer, "CaloClouds 3")):
        with open_clouds(path) as file:
            assert (file.layout, file.n_showers, file.max_points) == (layout, 5, 7)
            assert file.attributes == {}
        found = read_clouds(path)
        np.testing.assert_allclose(found.incident_energy_mev, 1e3 * energy, rtol=1e-6)
        np.testing.assert_array_equal(found.n_points, [5] * 5)
    np.testing.assert_allclose(read_clouds(older).points, expected, rtol=1e-6)
    found = read_clouds(newer).points.reshape(5, 5, 4)[:, [1, 0, 2, 3, 4]].reshape(-1, 4)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    # four points of four numbers: the older layout
    both = write_raw(tmp_path / "c.h5", energy=energy, events=np.ones((5, 4, 4)))
    with open_clouds(both) as file:
        assert file.layout == "CaloClouds"


def test_reading_in_pieces_changes_nothing_but_memory(tmp_path, monkeypatch):
    n, m = 600, 2000
    incident = np.linspace(1e4, 9e4, n, dtype=np.float32)
    points = np.stack([np.arange(n), -np.arange(n), np.arange(n) % 30, np.ones(n)], axis=1)
    few = Clouds(incident, points.astype(np.float32), np.ones(n, np.int32))
    path = tmp_path / "clouds.h5"

    def peak(action):
        tracemalloc.start()
        result = action()
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size, result

    # the padded array has 19 MB
    written, _ = peak(lambda: write(path, few, m))
    assert written < 8e6
    monkeypatch.setattr(module, "_PIECE_BYTES", 10**6)
    read, found = peak(lambda: read_clouds(path))
    assert read < 8e6
    same(found, few, ROUNDING)


def test_cloud_files_are_recognised(tmp_path, clouds):
    assert is_cloud_file(write(tmp_path / "clouds.h5", clouds))
    assert not is_cloud_file(sample_path("par04_lite_test"))
    assert not is_cloud_file(tmp_path / "none.h5")
    text = tmp_path / "text.h5"
    text.write_text("events")
    assert not is_cloud_file(text)
    refused(tmp_path / "none.h5", "cannot read .*No such file")
    refused(text, "is not an HDF5 file")


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.9, 0.999])
def test_truncated_files(tmp_path, clouds, kept):
    path = write(tmp_path / "clouds.h5", clouds)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    refused(path, "is damaged or cut short .*copy or download it again")


def test_damaged_compressed_data(tmp_path, clouds):
    path = write(tmp_path / "clouds.h5", clouds)
    with h5py.File(path) as file:
        chunk = file["events"].id.get_chunk_info(0)
    data = bytearray(path.read_bytes())
    middle = chunk.byte_offset + chunk.size // 2
    data[middle : middle + 64] = bytes(64)
    path.write_bytes(data)
    refused(path, "is damaged or cut short")


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        ({}, "lacks the data set 'energy', found nothing; rename or convert to 'energy'"),
        ({"energies": np.ones(5), "events": events()}, "lacks .* 'energy', found energies, events"),
        ({"energy": np.ones(5), "showers": events()}, "lacks the data set 'events', found energy"),
        ({"energy": np.ones(5), "events/a": events()}, "lacks the data set 'events'"),
        ({"energy": np.ones(5), "events": np.ones((5, 7))}, r"'events' must have .*\(5, 7\)"),
        ({"energy": np.ones(5), "events": np.ones((5, 3, 7))}, r"found \(5, 3, 7\)"),
        ({"energy": np.ones(5), "events": np.ones((5, 4, 0))}, r"found \(5, 4, 0\)"),
        ({"energy": np.ones((5, 2)), "events": events()}, r"'energy' must have shape \(n, 1\)"),
        ({"energy": 1.0, "events": events()}, r"'energy' must have shape \(n, 1\), found \(\)"),
        ({"energy": np.ones(4), "events": events()}, "4 incident energies but 5 showers"),
        ({"energy": np.ones(0), "events": np.ones((0, 4, 7))}, "holds no showers"),
        ({"energy": np.full(5, b"x"), "events": events()}, "'energy' must hold numbers"),
        ({"energy": np.ones(5), "events": np.full((5, 4, 7), b"x")}, "'events' must hold numbers"),
    ],
)
def test_wrong_layouts(tmp_path, datasets, message):
    refused(write_raw(tmp_path / "bad.h5", **datasets), message)


@pytest.mark.parametrize(
    ("place", "column", "value", "message"),
    [
        (3, 0, np.nan, "row 3 of shower 4 must be finite and its energy not negative, found nan, "),
        (3, 3, np.inf, "row 3 of shower 4 must be finite"),
        (3, 3, -1e-9, "row 3 of shower 4 must be finite and .* -1e-09 .x, layer, z, E.; set it"),
        (0, 2, -np.inf, "row 0 of shower 4 must be finite"),
        (3, 1, -1.0, "a point of shower 4 .* layer a whole number of 0 or more.* layer -1,"),
        (3, 3, 1e37, "a point of shower 4 must be finite.* energy inf MeV"),
    ],
)
def test_bad_points_are_named(tmp_path, monkeypatch, place, column, value, message):
    monkeypatch.setattr(module, "_PIECE_BYTES", 1)
    rows = events()
    rows[4, place, column] = value
    for name, data in (("a.h5", rows.transpose(0, 2, 1)), ("b.h5", rows)):
        path = write_raw(tmp_path / name, energy=np.ones(5), events=data)
        refused(path, message)
        with open_clouds(path) as file:
            assert file.read(0, 4).n_showers == 4


def test_layers_of_the_older_layout_are_whole(tmp_path):
    rows = events()
    rows[1, 5, 1] = 3.5
    path = write_raw(tmp_path / "a.h5", energy=np.ones(5), events=rows.transpose(0, 2, 1))
    refused(path, "a point of shower 1 .* layer a whole number .* layer 3.5,")


@pytest.mark.parametrize(("value", "found"), [(np.nan, "nan"), (np.inf, "inf"), (0, "0"), (-5, "")])
def test_bad_incident_energies_are_named(tmp_path, value, found):
    energy = np.ones((5, 1))
    energy[3] = value
    path = write_raw(tmp_path / "bad.h5", energy=energy, events=events())
    refused(path, f"energy of shower 3 must be positive and finite, found {found}")


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (5, 4), (0, 6)])
def test_rows_outside_the_file(tmp_path, start, stop):
    path = write_raw(tmp_path / "a.h5", energy=np.ones(5), events=events())
    with (
        open_clouds(path) as file,
        pytest.raises(InputError, match=f"showers {start} to {stop} are not there.* has 5"),
    ):
        file.read(start, stop)


def test_what_the_writer_refuses(tmp_path, clouds):
    path = tmp_path / "clouds.h5"
    path.write_text("old")
    most = clouds.n_points.max()
    row = int(np.argmax(clouds.n_points))
    bad = clouds.points.copy()
    bad[-1, 3] = 0
    halves = clouds.points * np.float32([1, 1, 0.5, 1])
    for found, size, message in (
        (clouds, most - 1, f"shower {row} has {most} points, expected {most - 1} at most"),
        (clouds._replace(points=bad), most, "a point of shower 99 .* energy 0 MeV"),
        (clouds._replace(points=halves), most, "layer a whole number"),
        (clouds._replace(points=bad[1:]), most, "expected 100 incident energies and .* points"),
        (clouds._replace(incident_energy_mev=np.zeros(100)), most, "incident energy of shower 0"),
        (clouds, 0, "max_points must be 1 or more, found 0"),
    ):
        with pytest.raises(InputError, match=f"cannot write .*{message}") as caught:
            write(path, found, size)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="there are no showers"), CloudWriter(path, 9):
        pass
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_full_disk_is_one_line_and_leaves_nothing(tmp_path, clouds):
    # a limit on the size of files stands in for the full disk
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
        with pytest.raises(InputError, match=r"cannot write .*; check the folder"):  # noqa: PT012, SIM117
            with CloudWriter(tmp_path / "clouds.h5", 2000) as writer:
                for _ in range(20):
                    writer.append(clouds)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert writer.n_showers < 20 * 100
    assert list(tmp_path.iterdir()) == []
