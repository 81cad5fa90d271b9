"""Shower files in the format of the CaloChallenge, written in pieces: see `calochallenge`.

What is written passes the checks of what is read.
"""

import os
import uuid
from collections.abc import Collection, Mapping
from itertools import pairwise
from pathlib import Path

import h5py
import jax
import numpy as np

from jaxcalo.data.calochallenge import INCIDENT, SHOWERS
from jaxcalo.data.condition_data import ConditionSpec, checked_condition
from jaxcalo.data.disk_sink import DiskSink
from jaxcalo.data.showers import Showers
from jaxcalo.data.validation import check_showers, one_line
from jaxcalo.errors import InputError

Attribute = str | int | float | bool

# Measured on Geant4 showers of 6480 voxels: level 4 packs 7 % smaller and writes 30 % slower than
# level 2; the shuffle filter makes mostly empty showers 15 to 40 % larger and slower, so it is off.
_GZIP_LEVEL = 2
_CHUNK_BYTES = 2**20


class ShowerWriter:
    """Write a shower file piece by piece: `with ShowerWriter(path, n_voxels) as writer`.

    The file appears complete or not at all: it is written beside its place under another name and
    renamed when the `with` block ends well; otherwise it is removed and an older file stays.

    Args:
        path: the file to make; an existing one is replaced at the end.
        n_voxels: number of voxels of every shower.
        attributes: facts to store with the file, such as {"particle": "electron"}.
        conditions: further data sets and their numbers of columns, such as {"impact_mm": 2}; every
            shower must bring them, in this order.
        whole_numbers: which of them are classes and stored as integers.

    Raises:
        InputError: the folder does not exist or cannot be written to, the disk is full, no shower
            was written, or a shower is not one that `open_showers` would accept.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        n_voxels: int,
        attributes: Mapping[str, Attribute] | None = None,
        conditions: Mapping[str, int] | None = None,
        whole_numbers: Collection[str] = (),
    ):
        self.path = Path(path)
        self.n_voxels = n_voxels
        self.n_showers = 0
        self._attributes = dict(attributes or {})
        self._specs = [
            ConditionSpec(name, n_columns, name in whole_numbers)
            for name, n_columns in (conditions or {}).items()
        ]
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
        """Make the empty data sets."""
        rows = min(256, max(1, _CHUNK_BYTES // (4 * self.n_voxels)))
        self._incident = self._file.create_dataset(
            INCIDENT, (0, 1), np.float32, maxshape=(None, 1), chunks=(1024, 1)
        )
        self._showers = self._file.create_dataset(
            SHOWERS,
            (0, self.n_voxels),
            np.float32,
            maxshape=(None, self.n_voxels),
            chunks=(rows, self.n_voxels),
            compression="gzip",
            compression_opts=_GZIP_LEVEL,
        )
        self._conditions = {}
        for spec in self._specs:
            columns = (spec.n_columns,) if spec.n_columns > 1 else ()
            self._conditions[spec] = self._file.create_dataset(
                spec.name,
                (0, *columns),
                np.int32 if spec.is_whole else np.float32,
                maxshape=(None, *columns),
                chunks=(1024, *columns),
            )

    def append(self, showers: Showers) -> None:
        """Check some showers and write them."""
        n = len(showers.incident_energy_mev)
        if showers.voxel_energy_mev.shape != (n, self.n_voxels):
            raise InputError(
                f"cannot write {self.path}: expected {n} showers of {self.n_voxels} voxels, found"
                f" an array of shape {showers.voxel_energy_mev.shape}"
            )
        showers = jax.tree.map(lambda part: np.asarray(part, np.float32), showers)
        check_showers(showers, f"cannot write {self.path}", self.n_showers)
        columns = self._condition_columns(showers)
        rows = slice(self.n_showers, self.n_showers + n)
        self._incident.resize(rows.stop, axis=0)
        self._showers.resize(rows.stop, axis=0)
        self._incident[rows] = showers.incident_energy_mev[:, None]
        self._showers[rows] = showers.voxel_energy_mev
        for spec, dataset in self._conditions.items():
            dataset.resize(rows.stop, axis=0)
            dataset[rows] = columns[spec] if spec.n_columns > 1 else columns[spec][:, 0]
        try:
            self._sink.check()
        except OSError as error:
            raise self._failure(error) from error
        self.n_showers += n

    def _condition_columns(self, showers: Showers) -> dict[ConditionSpec, np.ndarray]:
        """Return the checked columns of each further data set."""
        n, where = len(showers.incident_energy_mev), f"cannot write {self.path}"
        found = np.empty((n, 0)) if showers.conditions is None else showers.conditions
        stops = np.cumsum([0, *(spec.n_columns for spec in self._specs)])
        if found.shape != (n, stops[-1]):
            raise InputError(
                f"{where}: expected {stops[-1]} columns of conditions for {n} showers"
                f" ({', '.join(spec.name for spec in self._specs) or 'none'}), found an array of"
                f" shape {found.shape}"
            )
        return {
            spec: checked_condition(spec, found[:, start:stop], where, self.n_showers)
            for spec, (start, stop) in zip(self._specs, pairwise(stops), strict=True)
        }

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
