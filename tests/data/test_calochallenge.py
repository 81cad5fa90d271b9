"""Shower files: round trip, the shipped samples, every kind of bad input, and the atomic writer."""

import resource

import h5py
import jax
import numpy as np
import pytest

from jaxcalo.data import Showers, ShowerWriter, open_showers, read_showers, sample_path
from jaxcalo.errors import InputError
from jaxcalo.geometry import load_geometry

LITE = load_geometry("par04_lite")


def some_showers(n=10, n_voxels=6):
    incident = np.linspace(1000, 5000, n, dtype=np.float32)
    voxels = np.arange(n * n_voxels, dtype=np.float32).reshape(n, n_voxels)
    return Showers(incident, voxels)


def write(path, showers, attributes=None):
    with ShowerWriter(path, showers.voxel_energy_mev.shape[1], attributes) as writer:
        writer.append(showers)
    return path


def write_raw(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, data in datasets.items():
            file[name] = data
    return path


def refused(path, message, detector=None):
    """Check that reading is refused in one line that names the file."""
    with pytest.raises(InputError, match=message) as caught:
        read_showers(path, detector)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_round_trip(tmp_path):
    showers = some_showers(n=700)
    attributes = {"particle": "electron", "threshold_mev": 0.5, "n": 3, "real": True}
    path = tmp_path / "showers.h5"
    with ShowerWriter(path, 6, attributes) as writer:
        for start in range(0, 700, 130):
            writer.append(Showers(*(part[start : start + 130] for part in showers[:2])))
        assert writer.n_showers == 700
    with open_showers(path) as file:
        assert (file.n_showers, file.n_voxels) == (700, 6)
        assert file.attributes == attributes
        assert type(file.attributes["threshold_mev"]) is float
        part = file.read(255, 300)
        np.testing.assert_array_equal(part.voxel_energy_mev, showers.voxel_energy_mev[255:300])
        assert file.read(700, 700).voxel_energy_mev.shape == (0, 6)
    found = read_showers(path)
    np.testing.assert_array_equal(found.incident_energy_mev, showers.incident_energy_mev)
    np.testing.assert_array_equal(found.voxel_energy_mev, showers.voxel_energy_mev)
    assert found.voxel_energy_mev.dtype == found.incident_energy_mev.dtype == np.float32
    with h5py.File(path) as file:
        assert file["incident_energies"].shape == (700, 1)
        assert file["showers"].shape == (700, 6)
        assert file["showers"].compression == "gzip"


def test_chunks_cover_the_file_in_order(tmp_path):
    showers = some_showers(n=10)
    with open_showers(write(tmp_path / "showers.h5", showers)) as file:
        chunks = list(file.chunks(4))
    assert [len(chunk.incident_energy_mev) for chunk in chunks] == [4, 4, 2]
    found = jax.tree.map(lambda *columns: np.concatenate(columns), *chunks)
    jax.tree.map(np.testing.assert_array_equal, found, showers)


def test_same_showers_give_the_same_bytes(tmp_path):
    first = write(tmp_path / "first.h5", some_showers(), {"a": 1})
    second = write(tmp_path / "second.h5", some_showers(), {"a": 1})
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(("name", "n_showers"), [("train", 2728), ("test", 800)])
def test_shipped_samples_are_what_their_readme_says(name, n_showers):
    with open_showers(sample_path(f"par04_lite_{name}"), LITE) as file:
        assert file.n_showers == n_showers
        assert file.attributes["geant4_cpu_ms_per_shower"] == 471.0
        assert file.attributes["threshold_mev"] == LITE.threshold_mev
    incident, voxels, _ = read_showers(sample_path(f"par04_lite_{name}"), LITE)
    assert incident.min() >= 1e3
    assert incident.max() <= 5e4
    # log-uniform: the mean of log E is the middle, within 5 standard errors
    width = np.log(50)
    middle = np.log(1e3) + width / 2
    assert abs(np.log(incident).mean() - middle) < 5 * width / np.sqrt(12 * n_showers)
    assert voxels[voxels > 0].min() >= LITE.threshold_mev
    # the sampling fraction was divided out
    assert 0.8 < voxels.sum() / incident.sum() < 1.0


def test_samples_have_names():
    with pytest.raises(InputError, match=r"no sample 'x'; choose one of par04_lite_train, par"):
        sample_path("x")


def test_other_layouts_that_are_welcome(tmp_path):
    showers = some_showers()
    path = write_raw(
        tmp_path / "a.h5",
        incident_energies=showers.incident_energy_mev.astype(np.float64),
        showers=showers.voxel_energy_mev.astype(np.int32),
        extra=np.arange(3),
    )
    for found, expected in zip(read_showers(path)[:2], showers[:2], strict=True):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == np.float32


def test_missing_and_foreign_files(tmp_path):
    refused(tmp_path / "none.h5", "cannot read .*No such file")
    refused(tmp_path, "cannot read .*Is a directory")
    empty = tmp_path / "empty.h5"
    empty.touch()
    refused(empty, r"is empty \(0 bytes\)")
    text = tmp_path / "text.h5"
    text.write_text("incident_energies")
    refused(text, "is not an HDF5 file")


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.9, 0.999])
def test_truncated_files(tmp_path, kept):
    data = sample_path("par04_lite_test").read_bytes()
    path = tmp_path / "cut.h5"
    path.write_bytes(data[: int(kept * len(data))])
    refused(path, "is damaged or cut short .*copy or download it again")


def test_damaged_compressed_data(tmp_path):
    path = tmp_path / "damaged.h5"
    data = bytearray(sample_path("par04_lite_test").read_bytes())
    with h5py.File(sample_path("par04_lite_test")) as file:
        # the second chunk, rows 256 to 511
        chunk = file["showers"].id.get_chunk_info(1)
    middle = chunk.byte_offset + chunk.size // 2
    data[middle : middle + 64] = bytes(64)
    path.write_bytes(data)
    refused(path, "is damaged or cut short")
    with open_showers(path, LITE) as file:
        assert len(file.read(0, 256).incident_energy_mev) == 256
        with pytest.raises(InputError, match="is damaged"):
            file.read(255, 257)


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        ({}, "lacks the data set 'incident_energies', found nothing"),
        (
            {"showers": np.ones((2, 3)), "energy": np.ones(2)},
            "'incident_en.* found energy, showers",
        ),
        (
            {"incident_energies": np.ones(2)},
            "lacks the data set 'showers', found incident_energies",
        ),
        (
            {"incident_energies": np.ones(2), "showers/a": np.ones(2)},
            "lacks the data set 'showers'",
        ),
        (
            {"incident_energies": np.ones(2), "showers": np.ones((2, 3, 4))},
            r"'showers' must have shape \(n, voxels\), found \(2, 3, 4\)",
        ),
        ({"incident_energies": np.ones(2), "showers": np.ones((2, 0))}, r"found \(2, 0\)"),
        (
            {"incident_energies": np.ones((2, 2)), "showers": np.ones((2, 3))},
            r"'incident_energies' must have shape \(n, 1\), found \(2, 2\)",
        ),
        (
            {"incident_energies": 1.0, "showers": np.ones((2, 3))},
            r"'incident_energies' must have shape \(n, 1\), found \(\)",
        ),
        (
            {"incident_energies": np.ones((3, 1)), "showers": np.ones((2, 3))},
            "3 incident energies but 2 showers",
        ),
        ({"incident_energies": np.ones((0, 1)), "showers": np.ones((0, 3))}, "holds no showers"),
        (
            {"incident_energies": np.ones(2), "showers": np.full((2, 3), b"x")},
            "'showers' must hold numbers, found the type",
        ),
        (
            {"incident_energies": np.ones(2, complex), "showers": np.ones((2, 3))},
            "'incident_energies' must hold numbers, found the type complex128",
        ),
    ],
)
def test_wrong_layouts(tmp_path, datasets, message):
    refused(write_raw(tmp_path / "bad.h5", **datasets), message)


def test_wrong_number_of_voxels_names_the_geometry_that_fits(tmp_path):
    path = write(tmp_path / "photons.h5", some_showers(n_voxels=368))
    refused(path, "368 voxels a shower, but geometry 'par04_lite' has 720; use ds1-photons", LITE)
    path = write(tmp_path / "mine.h5", some_showers(n_voxels=7))
    refused(path, "7 voxels a shower, .* give the binning XML file of this data", LITE)


@pytest.mark.parametrize(
    ("value", "found"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf"), (-1e-30, "-1e-30")]
)
def test_bad_voxel_energies_are_named(tmp_path, value, found):
    showers = some_showers(n=200)
    showers.voxel_energy_mev[150, 4] = value
    showers.voxel_energy_mev[160, 1] = np.nan
    message = f"voxel 4 of shower 150 must be finite and not negative, found {found} MeV"
    path = write_raw(
        tmp_path / "bad.h5",
        incident_energies=showers.incident_energy_mev,
        showers=showers.voxel_energy_mev,
    )
    refused(path, message)
    with open_showers(path) as file:
        assert len(file.read(0, 150).incident_energy_mev) == 150
        chunks = file.chunks(40)
        for _ in range(3):
            next(chunks)
        with pytest.raises(InputError, match=message):
            next(chunks)
    with pytest.raises(InputError, match=f"cannot write .*{message}"):
        write(tmp_path / "new.h5", showers)
    assert [file.name for file in tmp_path.iterdir()] == ["bad.h5"]


@pytest.mark.parametrize(
    ("value", "found"), [(np.nan, "nan"), (np.inf, "inf"), (0.0, "0"), (-5.0, "-5")]
)
def test_bad_incident_energies_are_named(tmp_path, value, found):
    showers = some_showers()
    showers.incident_energy_mev[7] = value
    path = write_raw(
        tmp_path / "bad.h5",
        incident_energies=showers.incident_energy_mev[:, None],
        showers=showers.voxel_energy_mev,
    )
    refused(path, f"energy of shower 7 must be positive and finite, found {found} MeV")


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (5, 4), (0, 11)])
def test_rows_outside_the_file(tmp_path, start, stop):
    with (
        open_showers(write(tmp_path / "showers.h5", some_showers())) as file,
        pytest.raises(InputError, match=f"showers {start} to {stop} are not there.* has 10"),
    ):
        file.read(start, stop)


def test_error_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "showers.h5"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), ShowerWriter(path, 6) as writer:  # noqa: PT012
        writer.append(some_showers())
        assert path.read_text() == "old"
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_file_appears_only_when_complete(tmp_path):
    path = tmp_path / "showers.h5"
    path.write_text("old")
    with ShowerWriter(path, 6) as writer:
        writer.append(some_showers())
        assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    assert len(read_showers(path).incident_energy_mev) == 10


def test_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    # a limit on the size of files stands in for the full disk
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Python ignores SIGXFSZ, so that the write fails as on a full disk
    noise = np.asarray(jax.random.uniform(jax.random.key(0), (500, 1000)))
    showers = Showers(np.ones(500, np.float32), noise)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
        with pytest.raises(InputError, match=r"cannot write .*; check the folder") as caught:  # noqa: PT012, SIM117
            with ShowerWriter(tmp_path / "showers.h5", 1000) as writer:
                for _ in range(20):
                    writer.append(showers)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    # it stops at once, not after hours of generation
    assert writer.n_showers < 20 * 500
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written_to(tmp_path):
    with pytest.raises(InputError, match=r"cannot write .*No such file or directory"):
        write(tmp_path / "none" / "showers.h5", some_showers())
    with pytest.raises(InputError, match=r"cannot write .*it is a folder"):
        write(tmp_path, some_showers())


def test_writer_refuses_nothing_and_other_shapes(tmp_path):
    path = tmp_path / "showers.h5"
    with pytest.raises(InputError, match="there are no showers"), ShowerWriter(path, 6):
        pass
    with (
        pytest.raises(InputError, match=r"expected 10 showers of 5 voxels, found .*\(10, 6\)"),
        ShowerWriter(path, 5) as writer,
    ):
        writer.append(some_showers())
    assert list(tmp_path.iterdir()) == []
