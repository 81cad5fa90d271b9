"""Checks of shower files: every fault becomes one line that names the file and what to do."""

import os
from pathlib import Path

import h5py
import numpy as np

from jaxcalo.data.showers import Showers
from jaxcalo.errors import InputError
from jaxcalo.geometry import GEOMETRIES, Detector, load_geometry

# What h5py raises on damaged files: mostly OSError, and the others where it turns a damaged header
# into a Python object.
HDF5_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError)

# Files of other hands have chunks of any shape, e.g. (313, 102); the cache must hold a band of
# them, or reading row by row unpacks each chunk many times.
_CACHE_BYTES = 2**26
_CACHE_SLOTS = 100_003


def one_line(error: Exception) -> str:
    """Return the error's text on one line; the system's own words where it has a number."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return " ".join(str(error).split())


def damaged(path: Path, error: Exception) -> InputError:
    """Return the error for a file whose content HDF5 cannot follow."""
    return InputError(
        f"{path} is damaged or cut short ({one_line(error)}); copy or download it again"
    )


def open_hdf5(path: Path) -> h5py.File:
    """Open an HDF5 file for reading.

    Raises:
        InputError: no such file, a folder, empty, another format, or cut short.
    """
    try:
        with open(path, "rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check the path") from error
    if empty:
        raise InputError(f"{path} is empty (0 bytes); copy or download it again")
    if not h5py.is_hdf5(path):
        raise InputError(
            f"{path} is not an HDF5 file; expected showers or clouds in HDF5 (.h5, .hdf5), unpacked"
        )
    try:
        return h5py.File(path, "r", rdcc_nbytes=_CACHE_BYTES, rdcc_nslots=_CACHE_SLOTS)
    except HDF5_ERRORS as error:
        raise damaged(path, error) from error


_LAYOUT = "rename or convert to 'incident_energies' (n, 1) and 'showers' (n, voxels)"


def numeric_dataset(path: Path, file: h5py.File, name: str, advice: str = _LAYOUT) -> h5py.Dataset:
    """Return a data set that must be there and hold real numbers."""
    found = file.get(name)
    if not isinstance(found, h5py.Dataset):
        names = ", ".join(file) or "nothing"
        raise InputError(f"{path} lacks the data set {name!r}, found {names}; {advice}")
    if found.dtype.kind not in "fiu":
        raise InputError(f"{path}: {name!r} must hold numbers, found the type {found.dtype}")
    return found


def check_shapes(path: Path, incident: tuple[int, ...], showers: tuple[int, ...]) -> None:
    """Raise InputError unless the shapes are (n, 1) or (n,), and (n, voxels), with n > 0."""
    if len(showers) != 2 or showers[1] == 0:
        raise InputError(
            f"{path}: 'showers' must have shape (n, voxels), found {showers};"
            " flatten each shower with layers slowest, radius fastest"
        )
    if len(incident) not in (1, 2) or incident[1:] not in ((), (1,)):
        raise InputError(f"{path}: 'incident_energies' must have shape (n, 1), found {incident}")
    if incident[0] != showers[0]:
        raise InputError(
            f"{path}: {incident[0]} incident energies but {showers[0]} showers;"
            " each shower needs one"
        )
    if showers[0] == 0:
        raise InputError(f"{path} holds no showers; at least one is needed")


def check_voxel_count(path: Path, n_voxels: int, detector: Detector) -> None:
    """Raise InputError unless the file has the detector's number of voxels."""
    if n_voxels == detector.n_voxels:
        return
    fitting = [name for name in GEOMETRIES if load_geometry(name).n_voxels == n_voxels]
    advice = f"use {' or '.join(fitting)}" if fitting else "give the binning XML file of this data"
    raise InputError(
        f"{path} has {n_voxels} voxels a shower, but geometry {detector.name!r} has"
        f" {detector.n_voxels}; {advice}"
    )


def check_showers(showers: Showers, where: str, first_row: int = 0) -> None:
    """Raise InputError, naming the first bad row, unless the energies are physical.

    Voxel energies must be finite and not negative, incident energies finite and positive.

    Args:
        showers: n showers.
        where: beginning of the message, e.g. the file's name.
        first_row: number of the first shower in the file.
    """
    incident, voxels = showers.incident_energy_mev, showers.voxel_energy_mev
    # minimum and maximum hand NaN on, and no comparison with NaN holds
    if incident.size and not (incident.min() > 0 and incident.max() < np.inf):
        row = int(np.argmin((incident > 0) & (incident < np.inf)))
        raise InputError(
            f"{where}: incident energy of shower {first_row + row} must be positive and finite,"
            f" found {incident[row]:g} MeV; remove that shower"
        )
    if voxels.size and not (voxels.min() >= 0 and voxels.max() < np.inf):
        good = (voxels >= 0) & (voxels < np.inf)
        row = int(np.argmin(good.all(axis=1)))
        voxel = int(np.argmin(good[row]))
        raise InputError(
            f"{where}: voxel {voxel} of shower {first_row + row} must be finite and not negative,"
            f" found {voxels[row, voxel]:g} MeV; set it to 0 or remove that shower"
        )
