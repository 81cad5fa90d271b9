"""A file of StableHLO runs where jaxcalo cannot be imported."""

import json
import subprocess
import sys

import jax
import numpy as np

from jaxcalo.experiment.exported import noise_sampler, seeded_sampler
from jaxcalo.export import export_stablehlo

ALONE = """
import sys
sys.modules["jaxcalo"] = sys.modules["flax"] = None  # importing them fails
import numpy as np
from jax import export
path, given, made = sys.argv[1:]
program = export.deserialize(bytearray(open(path, "rb").read()))
assert program.platforms == ("cpu", "cuda", "tpu")
arrays = np.load(given)
np.save(made, program.call(*(arrays[name] for name in arrays.files)))
"""


def run_alone(tmp_path, path, arrays):
    """The output for named arrays, from a process with JAX alone."""
    np.savez(tmp_path / "in.npz", **arrays)
    files = [path, tmp_path / "in.npz", tmp_path / "out.npy"]
    command = [sys.executable, "-I", "-c", ALONE, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return np.load(tmp_path / "out.npy")


def test_any_number_of_showers_of_a_seed(trained, tmp_path, evaluate, assert_same_showers):
    sampler, path = seeded_sampler(trained), tmp_path / "showers.stablehlo"
    export_stablehlo(sampler, path)
    energies = np.asarray([2e3, 1e4, 4e4], np.float32)
    values = (np.uint32(1), np.uint32(0), energies)
    names = [port.name for port in sampler.inputs]
    assert names == ["seed", "first_shower", "incident_energy_mev"]
    found = run_alone(tmp_path, path, dict(zip(names, values, strict=True)))
    expected = evaluate(sampler.function, *values)
    assert_same_showers(found, expected, trained.detector.threshold_mev)
    record = json.loads((tmp_path / "showers.stablehlo.json").read_text())
    assert record["output"]["shape"] == ["n", 720]
    assert record["geometry"] == "par04_lite"
    assert record["trained_steps"] == 1


def test_a_batch_size_also_gives_the_bare_module(
    trained, tmp_path, arguments, evaluate, assert_same_showers
):
    sampler, path = noise_sampler(trained), tmp_path / "showers"
    export_stablehlo(sampler, path, batch_size=2)
    module = (tmp_path / "showers.mlirbc").read_bytes()
    assert module.startswith(b"ML\xefR")  # the magic number of MLIR's bytecode
    program = jax.export.deserialize(bytearray(path.read_bytes()))
    assert [aval.shape for aval in program.in_avals] == [(2, 735), (2,)]
    values = arguments(sampler, 2)
    found, expected = (evaluate(of, *values) for of in (program.call, sampler.function))
    assert_same_showers(found, expected, trained.detector.threshold_mev)
    assert {file.name for file in tmp_path.iterdir()} == {
        "showers", "showers.json", "showers.mlirbc"
    }  # fmt: skip
