"""A program from the folder is the one that was traced; whatever it depends on is in its name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from jaxcalo.families import GenerativeModel, ProgramStore, generate_chunks
from jaxcalo.families.program_store import _read
from jaxcalo.training import Algorithm, data_mesh

PARAMS = {"scale": jnp.asarray(2.0)}
COND = np.linspace(0, 1, 150, dtype=np.float32)[:, None]


def events(sample, store, params=PARAMS, cond=COND, chunk=100, n_devices=1):
    model = GenerativeModel(Algorithm(lambda *_: None, lambda *_: None), sample)
    mesh = data_mesh(jax.devices()[:n_devices])
    params = jax.device_put(params, NamedSharding(mesh, P()))  # as they come from a run
    key = jax.random.key(3)
    chunks = generate_chunks(key, model, params, cond, chunk=chunk, mesh=mesh, store=store)
    return np.concatenate(list(chunks))


def noisy(key, params, cond):
    return params["scale"] * jax.random.normal(key, (4,)) + cond


def untraced(key, params, cond):
    raise AssertionError("traced again")


@pytest.fixture
def store(tmp_path):
    return ProgramStore(tmp_path / "traced", "a model")


def test_second_process_makes_the_same_events_without_tracing(store):
    plain = events(noisy, None)
    np.testing.assert_array_equal(events(noisy, store), plain)
    np.testing.assert_array_equal(events(untraced, store), plain)


def test_parameters_are_arguments(store):
    events(noisy, store)
    other = {"scale": jnp.asarray(3.0)}
    np.testing.assert_array_equal(events(untraced, store, other), events(noisy, None, other))


@pytest.mark.parametrize(
    "changed",
    [
        {"store": ProgramStore(None, "another model")},
        {"params": {"scale": jnp.asarray([2.0])}},
        {"params": {"scale": jnp.asarray(2.0), "shift": jnp.asarray(0.0)}},
        {"chunk": 30},
        {"cond": np.tile(COND, (1, 4))},
    ],
    ids=["model", "shapes", "tree", "size", "condition"],
)
def test_what_a_program_depends_on_is_in_its_name(store, changed):
    events(noisy, store)
    other = changed.pop("store", store)._replace(folder=store.folder)
    with pytest.raises(AssertionError, match="traced again"):
        events(untraced, other, **changed)


@pytest.mark.parametrize("damage", [lambda text: text[:-1], lambda _: b"", lambda text: text[::-1]])
def test_damaged_file_is_made_anew(store, damage):
    plain = events(noisy, store)
    (path,) = store.folder.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    np.testing.assert_array_equal(events(noisy, store), plain)
    np.testing.assert_array_equal(events(untraced, store), plain)


def test_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("in the way")
    store = ProgramStore(tmp_path / "file", "a model")
    np.testing.assert_array_equal(events(noisy, store), events(noisy, None))


def test_program_that_cannot_leave_its_process(store):
    def called_back(key, params, cond):
        shape = jax.ShapeDtypeStruct((1,), jnp.float32)
        return noisy(
            key, params, jax.pure_callback(np.negative, shape, cond, vmap_method="expand_dims")
        )

    np.testing.assert_array_equal(events(called_back, store), events(called_back, None))
    assert not store.folder.exists()


@pytest.mark.parametrize(("n_devices", "n", "used"), [(2, 150, 2), (8, 150, 3), (8, 5, 2)])
def test_several_devices_keep_theirs_and_no_more_are_used_than_have_a_block(
    store, n_devices, n, used
):
    plain = events(noisy, None)[:n]
    for sample in (noisy, untraced):
        found = events(sample, store, cond=COND[:n], chunk=20, n_devices=n_devices)
        np.testing.assert_allclose(found, plain, rtol=1e-6)
    (path,) = store.folder.iterdir()
    assert _read(path).nr_devices == used
    with pytest.raises(AssertionError, match="traced again"):
        events(untraced, store, cond=COND[:n], chunk=20)
