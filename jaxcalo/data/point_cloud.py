"""Showers as point clouds, and the HDF5 files that hold them; `cloud_writer` writes such files.

A point is what one cell of a fine grid received: [x_mm, y_mm, layer, energy_mev], `layer` counting
from 0. A file has `energy` (n, 1), incident energies in GeV, and `events` in one of two layouts,
told apart by the shape; energies are in GeV, x and z in mm, and a row whose energy is 0 is padding:

    CaloClouds    (n, 4, m): x, layer, z, E; the layer is a whole number
    CaloClouds 3  (n, m, 4): x, depth, z, E; depth = layer + U(0, 1), so layer = floor(depth)

Real points stand behind the padding in both; here they may stand anywhere. The transverse
coordinate that the files call z is `y_mm` here. That the depth of CaloClouds 3 is a layer number
with uniform noise was found in its sample: floor(depth) never falls along a shower, and what is
above it is uniform. Further data sets (`p_norm_local`) are not read.

Source: CaloClouds, github.com/FLC-QU-hep/CaloClouds-2; CaloClouds 3, the sample in its repository.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import h5py
import jax
import numpy as np

from jaxcalo.data.calochallenge import plain_value
from jaxcalo.data.validation import HDF5_ERRORS, damaged, numeric_dataset, open_hdf5
from jaxcalo.errors import InputError
from jaxcalo.geometry import Detector
from jaxcalo.units import GeV

ENERGY = "energy"
EVENTS = "events"

_ADVICE = "rename or convert to 'energy' (n, 1) and 'events' (n, 4, points)"
_PIECE_BYTES = 2**26


class Clouds(NamedTuple):
    """Showers as points, cloud after cloud, without padding.

    Attributes:
        incident_energy_mev: (n,) float32, energy of the incident particle, MeV.
        points: (sum of n_points, 4) float32, rows [x_mm, y_mm, layer, energy_mev].
        n_points: (n,) int32, how many of them each shower has; 0 is possible.
    """

    incident_energy_mev: np.ndarray
    points: np.ndarray
    n_points: np.ndarray

    @property
    def n_showers(self) -> int:
        """Number of showers."""
        return len(self.n_points)

    @property
    def shower(self) -> np.ndarray:
        """(sum of n_points,) int64, the number of the shower that each point belongs to."""
        return np.repeat(np.arange(self.n_showers), self.n_points)

    def rows(self, which: np.ndarray | slice) -> "Clouds":
        """Return the showers that an index array, a mask or a slice names, in its order."""
        n_points = self.n_points[which]
        first = (np.cumsum(self.n_points, dtype=np.int64) - self.n_points)[which]
        # place in the result minus place in `points`, the same for all points of a shower
        shift = np.cumsum(n_points, dtype=np.int64) - n_points - first
        places = np.arange(n_points.sum(dtype=np.int64)) - np.repeat(shift, n_points)
        return Clouds(self.incident_energy_mev[which], self.points[places], n_points)


class PaddedClouds(NamedTuple):
    """Clouds of one size: the first n_points rows are real, rows of zeros stand behind.

    Numpy or JAX arrays; a batch has a leading axis b on all three.

    Attributes:
        incident_energy_mev: () or (b,) float32, MeV.
        points: (s, 4) or (b, s, 4) float32, rows [x_mm, y_mm, layer, energy_mev].
        n_points: () or (b,) int32.
    """

    incident_energy_mev: np.ndarray | jax.Array
    points: np.ndarray | jax.Array
    n_points: np.ndarray | jax.Array


def pad(clouds: Clouds, size: int) -> PaddedClouds:
    """Return the clouds as one array (n, size, 4) with zeros behind the points.

    Raises:
        InputError: a cloud has more than `size` points.
    """
    most = int(clouds.n_points.max(initial=0))
    if most > size:
        raise InputError(f"a cloud of {most} points does not fit into {size}; choose a larger size")
    points = np.zeros((clouds.n_showers, size, 4), np.float32)
    points[np.arange(size) < clouds.n_points[:, None]] = clouds.points
    return PaddedClouds(clouds.incident_energy_mev, points, clouds.n_points)


def unpad(incident_energy_mev: np.ndarray | jax.Array, points: np.ndarray | jax.Array) -> Clouds:
    """Return the rows with energy, wherever they stand.

    Args:
        incident_energy_mev: (n,).
        points: (n, s, 4) rows [x_mm, y_mm, layer, energy_mev]; those of energy 0 are padding.
    """
    rows = np.asarray(points, np.float32)
    real = rows[:, :, 3] > 0
    n_points = real.sum(axis=1, dtype=np.int32)
    return Clouds(np.asarray(incident_energy_mev, np.float32), rows[real], n_points)


def concatenate(parts: list[Clouds]) -> Clouds:
    """Return the showers of several Clouds, at least one, as one."""
    return Clouds(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


class CloudFile:
    """An open file of clouds; made by `open_clouds`, closed by its `with` block.

    Attributes:
        path: the file.
        layout: "CaloClouds" or "CaloClouds 3".
        n_showers: number of showers.
        max_points: rows that the file has for each, padding included.
        attributes: the file's attributes as plain Python values.
    """

    def __init__(self, path: Path, file: h5py.File):
        self.path = path
        self._file = file
        self._energy = numeric_dataset(path, file, ENERGY, _ADVICE)
        self._events = numeric_dataset(path, file, EVENTS, _ADVICE)
        _check_shapes(path, self._energy.shape, self._events.shape)
        # (n, 4, 4) could be either and counts as the older layout
        is_older = self._events.shape[1] == 4
        self.layout = "CaloClouds" if is_older else "CaloClouds 3"
        self.n_showers = self._events.shape[0]
        self.max_points = self._events.shape[2 if is_older else 1]
        self.attributes = {name: plain_value(value) for name, value in file.attrs.items()}
        chunk_rows = self._events.chunks[0] if self._events.chunks else 1
        chunks = _PIECE_BYTES // (16 * self.max_points * chunk_rows)
        self._piece_rows = max(1, chunks) * chunk_rows

    def __enter__(self) -> "CloudFile":
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, start: int, stop: int) -> Clouds:
        """Read the showers start, ..., stop - 1 and check them.

        The padding is read in pieces and dropped, so that memory holds what is returned, twice for
        a moment, and 64 MB.

        Raises:
            InputError: the range is not inside the file, the file is damaged, or a shower holds
                NaN, infinity, a negative energy, a layer that is none, or an incident energy that
                is not positive.
        """
        if not 0 <= start <= stop <= self.n_showers:
            raise InputError(
                f"{self.path}: showers {start} to {stop} are not there, the file has"
                f" {self.n_showers}; ask for rows inside it"
            )
        firsts = range(start, stop, self._piece_rows)
        try:
            parts = [self._read(first, min(first + self._piece_rows, stop)) for first in firsts]
            return concatenate(parts or [self._read(start, stop)])
        except MemoryError as error:
            raise InputError(
                f"{self.path}: {stop - start} showers do not fit into memory; read fewer at a time"
            ) from error

    def _read(self, start: int, stop: int) -> Clouds:
        """Read one piece."""
        try:
            incident = self._energy[start:stop].astype(np.float64).reshape(-1)
            events = self._events[start:stop].astype(np.float32, copy=False)
        except HDF5_ERRORS as error:
            raise damaged(self.path, error) from error
        rows = events.transpose(0, 2, 1) if self.layout == "CaloClouds" else events
        _check_values(rows, str(self.path), start)
        x, layer, y, energy = np.moveaxis(rows[rows[:, :, 3] > 0], 1, 0)
        if self.layout == "CaloClouds 3":
            layer = np.floor(layer)
        energy_mev = energy.astype(np.float64) * GeV
        with np.errstate(over="ignore"):  # what is too large becomes infinite and is refused
            points = np.stack([x, y, layer, energy_mev], axis=1, dtype=np.float32)
        n_points = np.count_nonzero(rows[:, :, 3] > 0, axis=1).astype(np.int32)
        clouds = Clouds((incident * GeV).astype(np.float32), points, n_points)
        check_clouds(clouds, str(self.path), start)
        return clouds

    def chunks(self, size: int) -> Iterator[Clouds]:
        """Read the whole file in order, at most `size` showers at a time."""
        for start in range(0, self.n_showers, size):
            yield self.read(start, min(start + size, self.n_showers))


def open_clouds(path: str | os.PathLike) -> CloudFile:
    """Open a file of clouds and check its layout; the showers are checked as they are read.

    Raises:
        InputError: no such file, not a whole HDF5 file, a data set is missing, empty, not numeric
            or of the wrong shape.
    """
    path = Path(path)
    file = open_hdf5(path)
    try:
        return CloudFile(path, file)
    except InputError:
        file.close()
        raise
    except HDF5_ERRORS as error:
        file.close()
        raise damaged(path, error) from error


def read_clouds(path: str | os.PathLike) -> Clouds:
    """Read a whole file of clouds into memory.

    Raises:
        InputError: as `open_clouds` and `CloudFile.read`.
    """
    with open_clouds(path) as file:
        return file.read(0, file.n_showers)


def is_cloud_file(path: str | os.PathLike) -> bool:
    """Whether a file has the data set `events`; False for what cannot be opened as HDF5."""
    try:
        with open_hdf5(Path(path)) as file:
            return EVENTS in file
    except (InputError, *HDF5_ERRORS):
        # whoever opens it next says what is wrong with it
        return False


def check_clouds(clouds: Clouds, where: str, first_row: int = 0) -> None:
    """Raise InputError, naming the first bad shower, unless the clouds are physical.

    Incident energies must be positive, energies of points too, layers whole numbers of 0 or more,
    and everything finite.

    Args:
        clouds: n showers.
        where: beginning of the message, e.g. the file's name.
        first_row: number of the first shower in the file.
    """
    incident = clouds.incident_energy_mev
    good = (incident > 0) & (incident < np.inf)
    if not good.all():
        row = int(np.argmin(good))
        raise InputError(
            f"{where}: incident energy of shower {first_row + row} must be positive and finite,"
            f" found {incident[row]:g} MeV; remove that shower"
        )
    layer, energy = clouds.points[:, 2], clouds.points[:, 3]
    good = np.isfinite(clouds.points).all(axis=1) & (energy > 0)
    good &= (layer >= 0) & (layer == np.floor(layer))
    if not good.all():
        point = int(np.argmin(good))
        x, y, layer, energy = clouds.points[point]
        raise InputError(
            f"{where}: a point of shower {first_row + clouds.shower[point]} must be finite, its"
            f" layer a whole number of 0 or more, its energy positive, found x {x:g} mm, y {y:g}"
            f" mm, layer {layer:g}, energy {energy:g} MeV; mend or remove that point"
        )


def check_layers(clouds: Clouds, detector: Detector, where: str, first_row: int = 0) -> None:
    """Raise InputError for a point in a layer that the detector does not have.

    Args:
        clouds: n showers.
        detector: the readout.
        where: beginning of the message, e.g. the file's name.
        first_row: number of the first shower in the file.
    """
    beyond = np.flatnonzero(clouds.points[:, 2] >= detector.n_layers)
    if len(beyond):
        raise InputError(
            f"{where}: a point of shower {first_row + clouds.shower[beyond[0]]} is in layer"
            f" {clouds.points[beyond[0], 2]:.0f}, expected layers 0 to {detector.n_layers - 1} for"
            f" geometry {detector.name!r}; choose the geometry that the file was made for"
        )


def _check_values(rows: np.ndarray, where: str, first_row: int) -> None:
    """Raise InputError unless the rows (n, m, 4) of a file, padding too, are finite, E >= 0."""
    good = np.isfinite(rows).all(axis=2) & (rows[:, :, 3] >= 0)
    if not good.all():
        row, place = np.unravel_index(int(np.argmin(good)), good.shape)
        found = ", ".join(f"{value:g}" for value in rows[row, place])
        raise InputError(
            f"{where}: row {place} of shower {first_row + row} must be finite and its energy not"
            f" negative, found {found} (x, layer, z, E); set it to 0 or remove that shower"
        )


def _check_shapes(path: Path, energy: tuple[int, ...], events: tuple[int, ...]) -> None:
    """Raise InputError unless the shapes are (n, 1) or (n,), and (n, 4, m) or (n, m, 4), n > 0."""
    if len(events) != 3 or 4 not in events[1:] or 0 in events[1:]:
        raise InputError(
            f"{path}: 'events' must have shape (n, 4, points) or (n, points, 4), found {events};"
            " store x, layer, z and energy of each point"
        )
    if len(energy) not in (1, 2) or energy[1:] not in ((), (1,)):
        raise InputError(f"{path}: 'energy' must have shape (n, 1), found {energy}; reshape it")
    if energy[0] != events[0]:
        raise InputError(
            f"{path}: {energy[0]} incident energies but {events[0]} showers; each shower needs one"
        )
    if events[0] == 0:
        raise InputError(f"{path} holds no showers; at least one is needed")
