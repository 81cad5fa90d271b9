"""A trained sampler as one pure function of arrays, and what its file says of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax import Array, export

from jaxcalo.errors import InputError
from jaxcalo.whole_files import write_all

BATCH = "n"
"""The name of the axis of showers in a shape."""


class Port(NamedTuple):
    """One array that goes into an exported sampler, or comes out.

    Attributes:
        name: What the file calls it.
        shape: Sizes of its axes; BATCH is the number of showers.
        dtype: Type of its numbers.
        meaning: What it holds, with units.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: str
    meaning: str


class PureSampler(NamedTuple):
    """A sampler with its parameters inside.

    Attributes:
        function: (one array an input) -> the output's array; of any number of showers.
        inputs: Its arguments.
        output: Its result.
        facts: What else the file says: the run, its geometry, how it samples.
    """

    function: Callable[..., Array]
    inputs: tuple[Port, ...]
    output: Port
    facts: dict[str, Any]


def shapes(sampler: PureSampler, batch_size: int | None) -> list[jax.ShapeDtypeStruct]:
    """Of the inputs, for one number of showers or (None) for any."""
    size = export.symbolic_shape(BATCH)[0] if batch_size is None else batch_size
    return [
        jax.ShapeDtypeStruct([size if axis == BATCH else axis for axis in port.shape], port.dtype)
        for port in sampler.inputs
    ]


def description(sampler: PureSampler, batch_size: int | None) -> dict[str, Any]:
    """What is written beside an exported file, as JSON.

    Args:
        sampler: What was exported.
        batch_size: Showers of a call; None for any number.
    """

    def described(port: Port) -> dict[str, Any]:
        size = BATCH if batch_size is None else batch_size
        shape = [size if axis == BATCH else axis for axis in port.shape]
        return port._asdict() | {"shape": shape}

    ports = {
        "inputs": [described(port) for port in sampler.inputs],
        "output": described(sampler.output),
    }
    return ports | sampler.facts


def write_described(path: Path, record: dict[str, Any], by_suffix: dict[str, bytes]) -> None:
    """Write FILE.json and the files whose names are FILE and a suffix: all of them, whole, or none.

    Raises:
        InputError: The folder cannot be written.
    """
    contents = by_suffix | {".json": json.dumps(record, indent=2).encode()}
    try:
        write_all(path.parent, {path.name + suffix: text for suffix, text in contents.items()})
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror}); choose another --out"
        ) from error
