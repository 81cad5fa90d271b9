"""One key a shower: the same events for any batch, devices and shard."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcalo.families import GenerativeModel, generate, generate_chunks
from jaxcalo.training import Algorithm, data_mesh


def noisy(key, params, cond):
    return params["scale"] * jax.random.normal(key, (4,)) + cond


MODEL = GenerativeModel(Algorithm(lambda *_: None, lambda *_: None), noisy)
PARAMS = {"scale": jnp.asarray(2.0)}
COND = np.linspace(0, 1, 150, dtype=np.float32)[:, None]


def run(chunk=150, n_devices=1, cond=COND, first_index=0):
    mesh = data_mesh(jax.devices()[:n_devices])
    key = jax.random.key(3)
    return generate(key, MODEL, PARAMS, cond, chunk=chunk, mesh=mesh, first_index=first_index)


def test_equals_the_obvious_loop():
    key = jax.random.key(3)
    loop = [noisy(jax.random.fold_in(key, i), PARAMS, COND[i]) for i in range(len(COND))]
    np.testing.assert_allclose(run(), np.stack(loop), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("chunk", "n_devices"), [(10, 1), (5, 4), (150, 8), (1000, 1), (1, 1)])
def test_chunks_and_devices_change_nothing(chunk, n_devices):
    np.testing.assert_array_equal(run(), run(chunk, n_devices))


def test_shards_join():
    halves = [run(cond=COND[:70]), run(cond=COND[70:], first_index=70)]
    np.testing.assert_array_equal(run(), np.concatenate(halves))


def test_one_compilation_for_all_chunks():
    calls = []

    def counted(key, params, cond):
        calls.append(1)
        return noisy(key, params, cond)

    mesh = data_mesh(jax.devices()[:1])
    model = MODEL._replace(sample=counted)
    chunks = list(generate_chunks(jax.random.key(0), model, PARAMS, COND, chunk=10, mesh=mesh))
    assert [len(chunk) for chunk in chunks] == [64, 64, 22]
    assert len(calls) == 2  # once for its shape, once for the program
