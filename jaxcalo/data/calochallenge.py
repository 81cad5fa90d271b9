"""Shower files in the format of the CaloChallenge, read and written in pieces.

HDF5 with two data sets: `incident_energies` (n, 1) and `showers` (n, n_voxels), both in MeV, voxels
in file order (layer slowest, then azimuth, then radius). What is read is checked: finite, no
negative voxel, positive incident energy. What is written passes the same check.

Source: CaloChallenge, github.com/CaloChallenge/homepage, README.md.
"""

import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import h5py
import numpy as np

from jaxcalo.data.disk_sink import DiskSink
from jaxcalo.data.showers import Showers
from jaxcalo.data.validation import (
    HDF5_ERRORS,
    check_shapes,
    check_showers,
    check_voxel_count,
    damaged,
    numeric_dataset,
    one_line,
    open_hdf5,
)
from jaxcalo.errors import InputError
from jaxcalo.geometry import Detector

Attribute = str | int | float | bool

_INCIDENT = "incident_energies"
_SHOWERS = "showers"

# Measured on Geant4 showers of 6480 voxels: level 4 packs 7 % smaller and writes 30 % slower than
# level 2; the shuffle filter makes mostly empty showers 15 to 40 % larger and slower, so it is off.
_GZIP_LEVEL = 2
_CHUNK_BYTES = 2**20
_PIECE_BYTES = 2**26


class ShowerFile:
    """An open shower file; made by `open_showers`, closed by its `with` block.

    Attributes:
        path: the file.
        n_showers: number of showers.
        n_voxels: number of voxels of each.
        chunk_rows: showers that are packed together; reading in multiples of it is fastest.
        attributes: the file's attributes as plain Python values.
    """

    def __init__(self, path: Path, file: h5py.File):
        self.path = path
        self._file = file
        self._incident = numeric_dataset(path, file, _INCIDENT)
        self._showers = numeric_dataset(path, file, _SHOWERS)
        check_shapes(path, self._incident.shape, self._showers.shape)
        self.n_showers, self.n_voxels = self._showers.shape
        self.chunk_rows = self._showers.chunks[0] if self._showers.chunks else 1
        self.attributes = {name: _plain(value) for name, value in file.attrs.items()}

    def __enter__(self) -> "ShowerFile":
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, start: int, stop: int) -> Showers:
        """Read the showers start, ..., stop - 1 and check them.

        Raises:
            InputError: the range is not inside the file, the file is damaged, or a shower holds
                NaN, infinity, a negative voxel energy or an incident energy that is not positive.
        """
        if not 0 <= start <= stop <= self.n_showers:
            raise InputError(
                f"{self.path}: showers {start} to {stop} are not there, the file has"
                f" {self.n_showers}; ask for rows inside it"
            )
        try:
            incident = self._incident[start:stop].astype(np.float32).reshape(-1)
            voxels = self._showers[start:stop].astype(np.float32, copy=False)
        except HDF5_ERRORS as error:
            raise damaged(self.path, error) from error
        showers = Showers(incident, voxels)
        check_showers(showers, str(self.path), start)
        return showers

    def empty(self, n: int) -> Showers:
        """Return uninitialised room for n showers.

        Raises:
            InputError: they do not fit into memory.
        """
        try:
            return Showers(np.empty(n, np.float32), np.empty((n, self.n_voxels), np.float32))
        except (MemoryError, ValueError) as error:
            raise InputError(
                f"{self.path}: {n} showers of {self.n_voxels} voxels do not fit into memory;"
                " read fewer at a time"
            ) from error

    def read_into(self, start: int, showers: Showers) -> None:
        """Fill arrays with the showers from `start` on, in pieces, so that no second copy is held.

        Raises:
            InputError: as `read`.
        """
        n = len(showers.incident_energy_mev)
        piece = max(1, _PIECE_BYTES // (4 * self.n_voxels * self.chunk_rows)) * self.chunk_rows
        for first in range(0, n, piece):
            last = min(first + piece, n)
            read = self.read(start + first, start + last)
            showers.incident_energy_mev[first:last] = read.incident_energy_mev
            showers.voxel_energy_mev[first:last] = read.voxel_energy_mev

    def chunks(self, size: int) -> Iterator[Showers]:
        """Read the whole file in order, at most `size` showers at a time."""
        for start in range(0, self.n_showers, size):
            yield self.read(start, min(start + size, self.n_showers))


def open_showers(path: str | os.PathLike, detector: Detector | None = None) -> ShowerFile:
    """Open a shower file and check its layout; the showers are checked as they are read.

    Args:
        path: the HDF5 file.
        detector: the readout that the showers must have; None accepts any number of voxels.

    Raises:
        InputError: no such file, not a whole HDF5 file, a data set is missing, empty, not numeric
            or of the wrong shape, or the number of voxels is not the detector's.
    """
    path = Path(path)
    file = open_hdf5(path)
    try:
        showers = ShowerFile(path, file)
        if detector is not None:
            check_voxel_count(path, showers.n_voxels, detector)
    except InputError:
        file.close()
        raise
    except HDF5_ERRORS as error:
        file.close()
        raise damaged(path, error) from error
    return showers


def read_showers(path: str | os.PathLike, detector: Detector | None = None) -> Showers:
    """Read a whole shower file into memory.

    Raises:
        InputError: as `open_showers` and `ShowerFile.read`, or the file does not fit into memory.
    """
    with open_showers(path, detector) as file:
        showers = file.empty(file.n_showers)
        file.read_into(0, showers)
        return showers


class ShowerWriter:
    """Write a shower file piece by piece: `with ShowerWriter(path, n_voxels) as writer`.

    The file appears complete or not at all: it is written beside its place under another name and
    renamed when the `with` block ends well; otherwise it is removed and an older file stays.

    Args:
        path: the file to make; an existing one is replaced at the end.
        n_voxels: number of voxels of every shower.
        attributes: facts to store with the file, such as {"particle": "electron"}.

    Raises:
        InputError: the folder does not exist or cannot be written to, the disk is full, no shower
            was written, or a shower is not one that `open_showers` would accept.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        n_voxels: int,
        attributes: Mapping[str, Attribute] | None = None,
    ):
        self.path = Path(path)
        self.n_voxels = n_voxels
        self.n_showers = 0
        self._attributes = dict(attributes or {})
        self._temporary = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex}.tmp")

    def __enter__(self) -> "ShowerWriter":
        if self.path.is_dir():
            raise InputError(f"cannot write {self.path}: it is a folder; name a file")
        try:
            self._sink = DiskSink(self._temporary)
        except OSError as error:
            raise self._failure(error) from error
        self._file = h5py.File(self._sink, "w")
        try:
            self._create_datasets()
            self._file.attrs.update(self._attributes)
        except BaseException:
            self._discard()
            raise
        return self

    def _create_datasets(self) -> None:
        """Make the two empty data sets."""
        rows = min(256, max(1, _CHUNK_BYTES // (4 * self.n_voxels)))
        self._incident = self._file.create_dataset(
            _INCIDENT, (0, 1), np.float32, maxshape=(None, 1), chunks=(1024, 1)
        )
        self._showers = self._file.create_dataset(
            _SHOWERS,
            (0, self.n_voxels),
            np.float32,
            maxshape=(None, self.n_voxels),
            chunks=(rows, self.n_voxels),
            compression="gzip",
            compression_opts=_GZIP_LEVEL,
        )

    def append(self, showers: Showers) -> None:
        """Check some showers and write them."""
        n = len(showers.incident_energy_mev)
        if showers.voxel_energy_mev.shape != (n, self.n_voxels):
            raise InputError(
                f"cannot write {self.path}: expected {n} showers of {self.n_voxels} voxels, found"
                f" an array of shape {showers.voxel_energy_mev.shape}"
            )
        showers = Showers(*(np.asarray(part, np.float32) for part in showers))
        check_showers(showers, f"cannot write {self.path}", self.n_showers)
        rows = slice(self.n_showers, self.n_showers + n)
        self._incident.resize(rows.stop, axis=0)
        self._showers.resize(rows.stop, axis=0)
        self._incident[rows] = showers.incident_energy_mev[:, None]
        self._showers[rows] = showers.voxel_energy_mev
        try:
            self._sink.check()
        except OSError as error:
            raise self._failure(error) from error
        self.n_showers += n

    def __exit__(self, kind, value, traceback) -> None:
        try:
            if kind is None:
                self._finish()
        except OSError as error:
            raise self._failure(error) from error
        finally:
            self._discard()

    def _finish(self) -> None:
        """Bring the data to the disk, then the file to its place."""
        if self.n_showers == 0:
            raise InputError(f"cannot write {self.path}: there are no showers; append at least one")
        self._file.close()
        self._sink.sync()
        os.replace(self._temporary, self.path)

    def _discard(self) -> None:
        """Close both files and remove what was not renamed."""
        self._file.close()
        self._sink.close()
        self._temporary.unlink(missing_ok=True)

    def _failure(self, error: Exception) -> InputError:
        """Return the one-line error for a failed write."""
        return InputError(
            f"cannot write {self.path}: {one_line(error)};"
            " check the folder, its rights and its free space"
        )


def _plain(value: object) -> object:
    """Return an HDF5 attribute as a plain Python value."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    return value.decode(errors="replace") if isinstance(value, bytes) else value
