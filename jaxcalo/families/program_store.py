"""Sampling programs that are traced once and kept in a folder for the next process.

Tracing a sampler takes a second or two, which JAX's own cache of compiled programs does not save:
it is asked only when the program has been traced and lowered.
"""

import hashlib
import json
import logging
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array, export
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxcalo.training.sharding import AXIS, first_devices
from jaxcalo.typing import Key, Params
from jaxcalo.whole_files import write_all

_PACKAGE = Path(__file__).parents[1]
# Of JAX, that decide what is traced.
_SETTINGS = (
    "jax_enable_x64",
    "jax_default_matmul_precision",
    "jax_default_prng_impl",
    "jax_threefry_partitionable",
)
_SUM_BYTES = hashlib.sha256().digest_size


class Program(NamedTuple):
    """A sampling program.

    Attributes:
        call: Jitted: (key, parameters, indices (size,), conditions (size, c)) -> (size, ...).
        size: Events that it makes.
        mesh: The devices it is for.
    """

    call: Callable[..., Any]
    size: int
    mesh: Mesh


class ProgramStore(NamedTuple):
    """A folder of traced programs of one model; a file of it that is damaged is made anew.

    Attributes:
        folder: Where they are; made if it does not exist.
        model: Names what decides the program of the model beside the shapes of its arguments.
    """

    folder: Path
    model: str

    def program(
        self,
        asked: tuple[int, int],
        key: Key,
        given: tuple[Params, np.ndarray],
        mesh: Mesh,
        make: Callable[[], Program],
    ) -> Program:
        """The program for a number of events.

        Args:
            asked: The number, and how many one call is to make, which is rounded up.
            key: Of the whole sample.
            given: The parameters and the condition of one event, (c,).
            mesh: The devices there are; the program is for the first of them.
            make: Makes the program if there is none.
        """
        path = self.folder / f"{self._name(asked, given, mesh)}.stablehlo"
        kept = _read(path)
        if kept is None:
            made = make()
            try:
                kept = _export(made, key, *given)
            except (NotImplementedError, ValueError):
                return made  # not every program can leave its process
            _write(path, kept)
        used = first_devices(kept.nr_devices, mesh)
        whole = _on_devices(kept.call, used)

        def of_key(key: Key, *arguments: Any) -> Any:
            return whole(jax.random.key_data(key), *arguments)

        return Program(of_key, kept.in_avals[-1].shape[0], used)

    def _name(self, asked: tuple[int, int], given: tuple[Params, np.ndarray], mesh: Mesh) -> str:
        """Of everything that decides the program."""
        packages = ("jaxcalo", "jax", "jaxlib", "flax")
        sources = sorted(_PACKAGE.rglob("*.py"))
        leaves, tree = jax.tree.flatten(given)
        decides = (
            self.model,
            asked,
            mesh.size,
            [(leaf.shape, str(leaf.dtype)) for leaf in leaves],
            str(tree),
            [version(package) for package in packages],
            [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in sources],
            [platform.machine(), jax.default_backend(), mesh.devices.flat[0].device_kind],
            [getattr(jax.config, name) for name in _SETTINGS],
        )
        return hashlib.sha256(json.dumps(decides).encode()).hexdigest()


def _export(program: Program, key: Key, params: Params, cond: np.ndarray) -> export.Exported:
    """The program with the key's data in place of the key, which JAX places on one device only."""

    def of_key_data(key_data: Array, *arguments: Any) -> Any:
        return program.call(jax.random.wrap_key_data(key_data), *arguments)

    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), params)
    index = jax.ShapeDtypeStruct((program.size,), np.uint32)
    rows = jax.ShapeDtypeStruct((program.size, *cond.shape), cond.dtype)
    exported = export.export(_on_devices(of_key_data, program.mesh))
    return exported(jax.random.key_data(key), shapes, index, rows)


def _on_devices(program: Callable[..., Any], mesh: Mesh) -> jax.stages.Wrapped:
    """A program of (key data, parameters, indices, conditions), the rows of the last two spread."""
    rows = NamedSharding(mesh, P(AXIS))
    return jax.jit(program, in_shardings=(None, None, rows, rows))


def _read(path: Path) -> export.Exported | None:
    """The program in a file; None if there is none that is whole."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    found, program = content[:_SUM_BYTES], content[_SUM_BYTES:]
    if hashlib.sha256(program).digest() != found:
        return None
    return export.deserialize(bytearray(program))


def _write(path: Path, program: export.Exported) -> None:
    """Keep a program if the folder can be written to."""
    content = bytes(program.serialize())
    try:
        write_all(path.parent, {path.name: hashlib.sha256(content).digest() + content})
    except OSError as error:
        logging.getLogger(__name__).debug("%s is not kept: %s", path, error)
