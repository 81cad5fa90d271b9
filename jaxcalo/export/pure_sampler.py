"""A trained sampler as one pure function of arrays, and what its file says of it."""

import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax import Array, export

from jaxcalo.errors import InputError

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


def write_described(path: Path, content: bytes, record: dict[str, Any]) -> None:
    """Write FILE and FILE.json; each appears whole or not at all.

    Raises:
        InputError: The folder cannot be written.
    """
    write_whole(path.with_name(f"{path.name}.json"), json.dumps(record, indent=2).encode())
    write_whole(path, content)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside its place, then rename it.

    Raises:
        InputError: The folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(
            f"{path}: cannot be written ({error.strerror}); choose another --out"
        ) from error
