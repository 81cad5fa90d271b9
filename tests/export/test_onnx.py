"""ONNX Runtime makes JAX's showers of the same noise; needs the extra jaxcalo[onnx]."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxcalo.diffusion import Ddim
from jaxcalo.experiment import UNetNet
from jaxcalo.experiment.exported import noise_sampler, par04_sampler
from jaxcalo.export import export_onnx
from jaxcalo.export.onnx_primitives import plain_program
from jaxcalo.families import Sampling


def run_onnx(path, sampler, values):
    """The output of a file, and its meta-data."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    assert [given.name for given in session.get_inputs()] == [p.name for p in sampler.inputs]
    given = {port.name: value for port, value in zip(sampler.inputs, values, strict=True)}
    (found,) = session.run([sampler.output.name], given)
    return found, json.loads(session.get_modelmeta().custom_metadata_map["jaxcalo"])


def test_par04_in_onnx_runtime(changed, tmp_path, evaluate, assert_same_showers):
    trained = changed(energies=None, sampling=Sampling(Ddim(), 1))
    sampler, path = par04_sampler(trained), tmp_path / "showers.onnx"
    export_onnx(sampler, path)
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(3, sampler.inputs[0].shape[1])).astype(np.float32)
    rows[:, -4] = np.asarray([2.0, 10.0, 40.0]) / 1024.0
    for batch in (rows, rows[:1]):  # Par04 asks for one shower a time
        found, record = run_onnx(path, sampler, [batch])
        expected = evaluate(sampler.function, batch)
        energy = batch[:, -4:-3] * 1_024_000.0
        assert_same_showers(found * energy, expected * energy, trained.detector.threshold_mev)
    assert record == json.loads((tmp_path / "showers.onnx.json").read_text())


@pytest.mark.slow
def test_a_unet_in_two_stages_in_onnx_runtime(
    changed, tmp_path, arguments, evaluate, assert_same_showers
):
    trained = changed(net=UNetNet(channels=(8, 8, 8)))
    sampler, path = noise_sampler(trained), tmp_path / "showers.onnx"
    export_onnx(sampler, path)
    values = arguments(sampler, 2)
    found, _ = run_onnx(path, sampler, values)
    expected = evaluate(sampler.function, *values)
    assert_same_showers(found, expected, trained.detector.threshold_mev)


CASES = {
    "pad": lambda x: lax.pad(x, 2.0, [(1, -1, 0), (-2, 3, 2)]),
    "cumprod": lambda x: lax.cumprod(x, axis=1) + lax.cumprod(x, axis=0, reverse=True),
    "logistic": lambda x: jax.nn.sigmoid(-10.0 * x) + jax.nn.sigmoid(jnp.exp(50.0 * x)),
    "expm1": lambda x: jnp.expm1(1e-6 * x) / 1e-6,
    "log1p": lambda x: jnp.log1p(1e-6 * x) / 1e-6,
    "scan": lambda x: lax.scan(lambda c, row: (c + jnp.expm1(row), c), x[0], x)[1],
}


@pytest.mark.parametrize("name", CASES)
def test_what_jax2onnx_lacks_is_written_otherwise(name):
    x = jnp.asarray(np.random.default_rng(0).uniform(0.5, 2.0, (5, 7)), jnp.float32)
    program = plain_program(jax.make_jaxpr(CASES[name])(x))
    np.testing.assert_allclose(program(x)[0], CASES[name](x), rtol=1e-5)
    left = str(jax.make_jaxpr(program)(x))
    assert not any(f" {word}" in left for word in ("pad", "cumprod", "expm1", "log1p", "logistic"))
