"""A sampler as StableHLO: a file that JAX runs without this package, and any PJRT plugin from C++.

`jax.export.deserialize(bytes).call(...)` runs it; the format is kept readable by JAX for six months
at least (jax.export's promise).
"""

from pathlib import Path

import jax
from jax import export

from jaxcalo.export.pure_sampler import (
    PureSampler,
    description,
    shapes,
    write_described,
)

PLATFORMS = ("cpu", "cuda", "tpu")
MODULE_SUFFIX = ".mlirbc"


def export_stablehlo(sampler: PureSampler, path: Path, batch_size: int | None = None) -> None:
    """Write a sampler for every platform; with a batch size also the bare module for C++.

    Args:
        sampler: What to write.
        path: The file of `jax.export`; beside it FILE.json and, with a batch size, FILE.mlirbc: the
            module alone, as the C API of PJRT compiles it. It has no code of one platform only.
        batch_size: Showers of a call; None: any number.

    Raises:
        InputError: The file cannot be written.
    """
    arguments = shapes(sampler, batch_size)
    function = jax.jit(sampler.function)
    content = export.export(function, platforms=PLATFORMS)(*arguments).serialize()
    record = description(sampler, batch_size) | {"platforms": PLATFORMS}
    files = {"": bytes(content)}
    if batch_size is not None:
        # For several platforms it would take the platform's number as a further input.
        module = export.export(function, platforms=PLATFORMS[:1])(*arguments)
        files[MODULE_SUFFIX] = module.mlir_module_serialized
    write_described(path, record, files)
