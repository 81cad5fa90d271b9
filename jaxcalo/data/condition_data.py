"""Further data sets of a shower file, beside energies and voxels: angles, positions, particles."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from jaxcalo.data.validation import numeric_dataset
from jaxcalo.errors import InputError

# Single precision holds every whole number below it.
_EXACT = 2**24


class ConditionSpec(NamedTuple):
    """One further data set.

    Attributes:
        name: of the data set.
        n_columns: numbers for each shower.
        is_whole: whether they are whole numbers, hence classes.
    """

    name: str
    n_columns: int
    is_whole: bool


def condition_datasets(
    path: Path, file: h5py.File, names: Sequence[str], taken: Sequence[str], n_showers: int
) -> dict[ConditionSpec, h5py.Dataset]:
    """Find the data sets asked for, in the order asked for.

    Args:
        path: of the file, for messages.
        file: the open file.
        names: what is asked for.
        taken: data sets that are no conditions.
        n_showers: rows they must have.

    Raises:
        InputError: a data set is missing, asked for twice, not numeric or of the wrong shape.
    """
    if len(set(names)) < len(names):
        raise InputError(
            f"{path}: expected different data sets as conditions, found {', '.join(names)};"
            " name each once"
        )
    found = {}
    for name in names:
        if name in taken:
            raise InputError(
                f"{path}: {name!r} cannot be a further condition; leave it out"
                " (the incident energy always is one)"
            )
        others = ", ".join(str(other) for other in file if other not in taken) or "none"
        dataset = numeric_dataset(
            path, file, name, f"its further data sets are {others}; name one of them"
        )
        _check_shape(path, name, dataset.shape, n_showers)
        found[_spec(name, dataset)] = dataset
    return found


def further_datasets(
    file: h5py.File, taken: Sequence[str], n_showers: int
) -> tuple[ConditionSpec, ...]:
    """Every data set of the file that could be a condition."""
    return tuple(
        _spec(name, found)
        for name, found in file.items()
        if name not in taken
        and isinstance(found, h5py.Dataset)
        and found.dtype.kind in "fiu"
        and found.ndim in (1, 2)
        and found.shape[0] == n_showers
    )


def checked_condition(
    spec: ConditionSpec, values: np.ndarray, where: str, first_row: int = 0
) -> np.ndarray:
    """Bring the values of one data set to single precision, if nothing is lost by it.

    Args:
        spec: which data set.
        values: (n,) or (n, n_columns).
        where: beginning of the message, e.g. the file's name.
        first_row: number of the first shower in the file.

    Returns:
        (n, n_columns) float32.

    Raises:
        InputError: a value is not finite, or a class is not a whole number below 2^24.
    """
    values = values.reshape(len(values), spec.n_columns)
    with np.errstate(over="ignore"):  # what does not fit becomes infinite and is found below
        single = values.astype(np.float32)
    if spec.is_whole:
        good = (single == np.trunc(single)) & (np.abs(single) < _EXACT)
        wanted, advice = "a whole number below 2^24", "number the classes anew"
    else:
        good = np.isfinite(single)
        wanted, advice = "finite", "mend or remove that shower"
    if not good.all():
        row = int(np.argmin(good.all(axis=1)))
        bad = values[row][~good[row]][0]
        raise InputError(
            f"{where}: {spec.name!r} of shower {first_row + row} must be {wanted}, found {bad:g};"
            f" {advice}"
        )
    return single


def _spec(name: str, dataset: h5py.Dataset) -> ConditionSpec:
    n_columns = 1 if dataset.ndim == 1 else dataset.shape[1]
    return ConditionSpec(name, n_columns, dataset.dtype.kind in "iu")


def _check_shape(path: Path, name: str, shape: tuple[int, ...], n_showers: int) -> None:
    if len(shape) not in (1, 2) or 0 in shape:
        raise InputError(
            f"{path}: {name!r} must have shape (n,) or (n, k) to be a condition, found {shape}"
        )
    if shape[0] != n_showers:
        raise InputError(
            f"{path}: {shape[0]} rows of {name!r} but {n_showers} showers; each shower needs one"
        )
