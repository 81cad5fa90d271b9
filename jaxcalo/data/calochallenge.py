"""Shower files in the format of the CaloChallenge, read in pieces; `shower_writer` writes them.

HDF5 with two data sets: `incident_energies` (n, 1) and `showers` (n, n_voxels), both in MeV, voxels
in file order (layer slowest, then azimuth, then radius); and further data sets of n rows, if there
are any, for what else the showers depend on. What is read is checked: finite, no negative voxel,
positive incident energy.

Source: CaloChallenge, github.com/CaloChallenge/homepage, README.md.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from jaxcalo.data.condition_data import (
    ConditionSpec,
    checked_condition,
    condition_datasets,
    further_datasets,
)
from jaxcalo.data.showers import Showers
from jaxcalo.data.validation import (
    HDF5_ERRORS,
    check_shapes,
    check_showers,
    check_voxel_count,
    damaged,
    numeric_dataset,
    open_hdf5,
)
from jaxcalo.errors import InputError
from jaxcalo.geometry import Detector

INCIDENT = "incident_energies"
SHOWERS = "showers"

_PIECE_BYTES = 2**26


class ShowerFile:
    """An open shower file; made by `open_showers`, closed by its `with` block.

    Attributes:
        path: the file.
        n_showers: number of showers.
        n_voxels: number of voxels of each.
        chunk_rows: showers that are packed together; reading in multiples of it is fastest.
        attributes: the file's attributes as plain Python values.
        conditions: the further data sets asked for, in that order.
    """

    def __init__(self, path: Path, file: h5py.File, conditions: tuple[str, ...] = ()):
        self.path = path
        self._file = file
        self._incident = numeric_dataset(path, file, INCIDENT)
        self._showers = numeric_dataset(path, file, SHOWERS)
        check_shapes(path, self._incident.shape, self._showers.shape)
        self.n_showers, self.n_voxels = self._showers.shape
        self.chunk_rows = self._showers.chunks[0] if self._showers.chunks else 1
        self.attributes = {name: plain_value(value) for name, value in file.attrs.items()}
        self._conditions = condition_datasets(
            path, file, conditions, (INCIDENT, SHOWERS), self.n_showers
        )
        self.conditions = tuple(self._conditions)

    def __enter__(self) -> "ShowerFile":
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def n_condition_columns(self) -> int:
        """Columns of `Showers.conditions`."""
        return sum(spec.n_columns for spec in self.conditions)

    def further_datasets(self) -> tuple[ConditionSpec, ...]:
        """Return what the file has that could be asked for as conditions."""
        return further_datasets(self._file, (INCIDENT, SHOWERS), self.n_showers)

    def read(self, start: int, stop: int) -> Showers:
        """Read the showers start, ..., stop - 1 and check them.

        Raises:
            InputError: the range is not inside the file, the file is damaged, or a shower holds
                NaN, infinity, a negative voxel energy or an incident energy that is not positive.
        """
        self._check_rows(start, stop)
        try:
            incident = self._incident[start:stop].astype(np.float32).reshape(-1)
            voxels = self._showers[start:stop].astype(np.float32, copy=False)
        except HDF5_ERRORS as error:
            raise damaged(self.path, error) from error
        showers = Showers(incident, voxels, self.read_conditions(start, stop))
        check_showers(showers, str(self.path), start)
        return showers

    def read_conditions(self, start: int, stop: int) -> np.ndarray | None:
        """Read the further conditions of the showers start, ..., stop - 1, and no voxels.

        Returns:
            (stop - start, n_condition_columns) float32, or None if none were asked for.

        Raises:
            InputError: as `read`; a value is not finite, or a class not a whole number below 2^24.
        """
        self._check_rows(start, stop)
        if not self._conditions:
            return None
        try:
            parts = [dataset[start:stop] for dataset in self._conditions.values()]
        except HDF5_ERRORS as error:
            raise damaged(self.path, error) from error
        pairs = zip(self.conditions, parts, strict=True)
        columns = [checked_condition(*pair, str(self.path), start) for pair in pairs]
        return np.concatenate(columns, axis=1)

    def _check_rows(self, start: int, stop: int) -> None:
        if not 0 <= start <= stop <= self.n_showers:
            raise InputError(
                f"{self.path}: showers {start} to {stop} are not there, the file has"
                f" {self.n_showers}; ask for rows inside it"
            )

    def empty(self, n: int) -> Showers:
        """Return uninitialised room for n showers.

        Raises:
            InputError: they do not fit into memory.
        """
        try:
            conditions = np.empty((n, self.n_condition_columns), np.float32)
            return Showers(
                np.empty(n, np.float32),
                np.empty((n, self.n_voxels), np.float32),
                conditions if self.conditions else None,
            )
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
            if showers.conditions is not None:
                showers.conditions[first:last] = read.conditions

    def chunks(self, size: int) -> Iterator[Showers]:
        """Read the whole file in order, at most `size` showers at a time."""
        for start in range(0, self.n_showers, size):
            yield self.read(start, min(start + size, self.n_showers))


def open_showers(
    path: str | os.PathLike, detector: Detector | None = None, conditions: tuple[str, ...] = ()
) -> ShowerFile:
    """Open a shower file and check its layout; the showers are checked as they are read.

    Args:
        path: the HDF5 file.
        detector: the readout that the showers must have; None accepts any number of voxels.
        conditions: further data sets to read, of shape (n,) or (n, k).

    Raises:
        InputError: no such file, not a whole HDF5 file, a data set is missing, empty, not numeric
            or of the wrong shape, or the number of voxels is not the detector's.
    """
    path = Path(path)
    file = open_hdf5(path)
    try:
        showers = ShowerFile(path, file, conditions)
        if detector is not None:
            check_voxel_count(path, showers.n_voxels, detector)
    except InputError:
        file.close()
        raise
    except HDF5_ERRORS as error:
        file.close()
        raise damaged(path, error) from error
    return showers


def read_showers(
    path: str | os.PathLike, detector: Detector | None = None, conditions: tuple[str, ...] = ()
) -> Showers:
    """Read a whole shower file into memory.

    Raises:
        InputError: as `open_showers` and `ShowerFile.read`, or the file does not fit into memory.
    """
    with open_showers(path, detector, conditions) as file:
        showers = file.empty(file.n_showers)
        file.read_into(0, showers)
        return showers


def plain_value(value: object) -> object:
    """Return an HDF5 attribute as a plain Python value."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    return value.decode(errors="replace") if isinstance(value, bytes) else value
