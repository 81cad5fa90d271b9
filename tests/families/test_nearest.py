"""Nearest neighbour against brute force, with ties, k and conditions in any unit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from point_nets import quickly

from jaxcalo.errors import InputError
from jaxcalo.families import generate
from jaxcalo.families.nearest import NearestNeighbour, evaluate_nearest, nearest
from jaxcalo.training import Batch, data_mesh, map_step, shard_batch

MESH = data_mesh(jax.devices()[:1])


def encode(key, datum):
    return datum["event"], datum["cond"]


def data(n=200, n_conditions=2, seed=0):
    """Events that say which they are; the second condition is a thousand times as wide."""
    draws = np.random.default_rng(seed)
    cond = draws.standard_normal((n, n_conditions)) * np.array([1.0, 1000.0])[:n_conditions]
    event = np.stack([np.arange(n), draws.standard_normal(n)], axis=1)
    return {"event": event.astype(np.float32), "cond": cond.astype(np.float32)}


def made(known, n_neighbours=1):
    """The model and its parameters: the whole data set."""
    model = nearest(NearestNeighbour(n_neighbours), encode=encode)
    return model, quickly(model.algorithm.init, jax.random.key(0), batch_of(known)).ema


def batch_of(known):
    return Batch(np.arange(len(known["event"]), dtype=np.int32), known)


def brute(known, cond):
    """Indices of all training events from the nearest to the farthest."""
    deviation = (known["cond"].astype(np.float64) - cond) / known["cond"].std(axis=0)
    return np.argsort(np.sum(deviation**2, axis=1))


def drawn(model, params, cond, n):
    """How often each training event is returned."""
    keys = jax.random.split(jax.random.key(2), n)
    events = quickly(jax.vmap(model.sample, (0, None, None)), keys, params, cond)
    return np.bincount(np.asarray(events)[:, 0].astype(int), minlength=len(params["event"])) / n


def test_returns_the_nearest_training_event():
    known, asked = data(), data(seed=1)
    asked["cond"][:10] = known["cond"][:10]
    model, params = made(known)
    events = generate(jax.random.key(1), model, params, asked["cond"], chunk=200, mesh=MESH)
    expected = np.array([brute(known, cond)[0] for cond in asked["cond"]])
    assert len(set(expected)) > 80
    assert list(expected[:10]) == list(range(10))
    np.testing.assert_array_equal(events, known["event"][expected])
    deviation = (known["cond"][expected] - asked["cond"]) / known["cond"].std(axis=0)
    found = evaluate_nearest(encode)(jax.random.key(0), params, asked)["condition_distance"]
    np.testing.assert_allclose(found, np.linalg.norm(deviation, axis=1).mean(), rtol=1e-4)


def test_a_step_changes_nothing():
    known = data(8)
    algorithm = nearest(NearestNeighbour(), encode=encode).algorithm
    state = algorithm.init(jax.random.key(0), batch_of(known))
    step = map_step(algorithm, MESH)
    after, metrics = step(jax.random.key(1), state, shard_batch(batch_of(data(8, 2, 1)), MESH))
    assert (int(after.step), float(metrics["loss"])) == (1, 0.0)
    for found in (after.params, after.ema):
        np.testing.assert_array_equal(found["event"], known["event"])
        np.testing.assert_array_equal(found["cond"], known["cond"])


def test_one_of_k_neighbours_is_drawn_evenly():
    known = data()
    asked = known["cond"][7] + 0.01
    share = drawn(*made(known, 4), asked, 4000)
    assert set(np.flatnonzero(share)) == set(brute(known, asked)[:4])
    np.testing.assert_allclose(share[share > 0], 0.25, atol=4 * np.sqrt(0.19 / 4000))


def test_ties_share_the_last_places():
    """Nearest: event 3; then 0, 5 and 9, equally far: two places of three for the three.

    The second condition is the same for all but for rounding: it tells nothing.
    """
    known = data(20)
    known["cond"] = np.full((20, 2), 50.1, np.float32)
    known["cond"][::2, 1] = np.nextafter(known["cond"][0, 1], np.float32(60))
    known["cond"][[0, 5, 9], 0], known["cond"][3, 0] = 1.0, 0.0
    share = drawn(*made(known, 3), jnp.zeros(2), 6000)
    np.testing.assert_allclose(share[3], 1 / 3, atol=0.03)
    np.testing.assert_allclose(share[[0, 5, 9]], 2 / 9, atol=0.03)
    assert share.sum() == share[[0, 3, 5, 9]].sum() == pytest.approx(1.0)


def test_without_condition_any_event_is_drawn():
    share = drawn(*made(data(5, 0)), jnp.zeros(0), 5000)
    np.testing.assert_allclose(share, 0.2, atol=4 * np.sqrt(0.16 / 5000))


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(InputError, match="at least 1, found 0"):
        NearestNeighbour(0)
    with pytest.raises(InputError, match="at most the 5 events"):
        made(data(5), 6)
