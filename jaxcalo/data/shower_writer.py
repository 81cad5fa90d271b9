"""Shower files in the format of the CaloChallenge, written in pieces: see `calochallenge`.

What is written passes the checks of what is read.
"""

import os
from collections.abc import Collection, Mapping
from itertools import pairwise

import h5py
import jax
import numpy as np

from jaxcalo.data.calochallenge import INCIDENT, SHOWERS
from jaxcalo.data.condition_data import ConditionSpec, checked_condition
from jaxcalo.data.hdf5_writer import CHUNK_BYTES, GZIP_LEVEL, Attribute, Hdf5Writer
from jaxcalo.data.showers import Showers
from jaxcalo.data.validation import check_showers
from jaxcalo.errors import InputError


class ShowerWriter(Hdf5Writer):
    """Write a shower file piece by piece: `with ShowerWriter(path, n_voxels) as writer`.

    The file appears complete or not at all, see `Hdf5Writer`.

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
        super().__init__(path, attributes)
        self.n_voxels = n_voxels
        self._specs = [
            ConditionSpec(name, n_columns, name in whole_numbers)
            for name, n_columns in (conditions or {}).items()
        ]

    def _create_datasets(self, file: h5py.File) -> None:
        rows = min(256, max(1, CHUNK_BYTES // (4 * self.n_voxels)))
        self._incident = file.create_dataset(
            INCIDENT, (0, 1), np.float32, maxshape=(None, 1), chunks=(1024, 1)
        )
        self._showers = file.create_dataset(
            SHOWERS,
            (0, self.n_voxels),
            np.float32,
            maxshape=(None, self.n_voxels),
            chunks=(rows, self.n_voxels),
            compression="gzip",
            compression_opts=GZIP_LEVEL,
        )
        self._conditions = {}
        for spec in self._specs:
            columns = (spec.n_columns,) if spec.n_columns > 1 else ()
            self._conditions[spec] = file.create_dataset(
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
        self._check_disk()
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
