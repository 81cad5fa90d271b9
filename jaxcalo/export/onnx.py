"""A sampler as ONNX, which ONNX Runtime runs inside Geant4 and elsewhere.

Random numbers have no place in it: the noise is an input. Three-dimensional convolutions have none
either: the program is traced on a CPU, where they are folded into two dimensions.
"""

import json
from pathlib import Path

import jax
from jax.extend.core import jaxpr_as_fun

from jaxcalo.errors import InputError
from jaxcalo.export.onnx_primitives import plain_program
from jaxcalo.export.pure_sampler import PureSampler, description, shapes, write_described

# Chosen: what ONNX Runtime 1.17 (2024) reads, so that it need not be new to run in Geant4.
OPSET = 20


def export_onnx(sampler: PureSampler, path: Path, batch_size: int | None = None) -> None:
    """Write a sampler; what FILE.json says is inside too, as the model's meta-data.

    Args:
        sampler: What to write.
        path: The file.
        batch_size: Showers of a call; None: any number.

    Raises:
        InputError: jax2onnx is not installed, JAX is not on a CPU, or the file cannot be written.
    """
    try:
        from jax2onnx import to_onnx
    except ImportError as error:
        raise InputError(
            f"ONNX: expected the package jax2onnx, found none ({error}); "
            "install the extra: pip install 'jaxcalo[onnx]'"
        ) from error
    if jax.default_backend() != "cpu":
        raise InputError(
            f"ONNX: expected JAX on a CPU, found {jax.default_backend()}; set JAX_PLATFORMS=cpu"
        )
    arguments = shapes(sampler, batch_size)
    program = plain_program(jax.make_jaxpr(sampler.function)(*arguments))
    # Traced here, since jax2onnx traces with functions of its own in the place of many of JAX.
    traced = jaxpr_as_fun(jax.make_jaxpr(program)(*arguments))
    model = to_onnx(
        lambda *inputs: traced(*inputs)[0],
        inputs=arguments,
        model_name="jaxcalo",
        opset=OPSET,
        input_names=[port.name for port in sampler.inputs],
        output_names=[sampler.output.name],
    )
    record = description(sampler, batch_size) | {"onnx_opset": OPSET}
    model.metadata_props.add(key="jaxcalo", value=json.dumps(record))
    write_described(path, record, {"": model.SerializeToString()})
