"""Ensembles: members learn as if alone, repulsion drives them apart, its release loses nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from point_nets import compiled, quickly

from jaxcalo.errors import InputError
from jaxcalo.families import GenerativeModel
from jaxcalo.families.ensemble import (
    Repulsion,
    draw_member,
    ensemble,
    fix_member,
    member,
    with_member,
)
from jaxcalo.families.process import event_keys
from jaxcalo.training import Batch, data_mesh, init_state, map_step, minimise, shard_batch

MESH = data_mesh(jax.devices()[:1])


def init(key, batch):
    return {"w": 0.01 * jax.random.normal(key, (3,))}


def loss(key, params, batch):
    """Says 1 of the first weight, and nothing of the others."""
    return jnp.mean((params["w"][0] * batch.data - batch.data) ** 2), {}


def sample(key, params, cond):
    return params["w"] + cond + jax.random.normal(key, (3,))


def density(key, params, event, cond):
    return jnp.sum(event * params["w"]) + cond[0]


ALGORITHM = minimise(init, loss, optax.sgd(0.2), 0.9)
MODEL = GenerativeModel(ALGORITHM, sample, density)
BATCH = Batch(np.arange(16, dtype=np.int32), np.linspace(0.5, 1.5, 16, dtype=np.float32))
STRONG = Repulsion(rate=0.5, n_steps=60, width=1.0)


def respond(key, params, batch):
    """Two answers an event, of all weights and of the event's own noise."""
    noise = jax.vmap(lambda key: jax.random.normal(key, (2,)))(event_keys(key, batch))
    answer = params["w"][0] * batch.data + params["w"][1]
    return answer[:, None] + 0.5 * noise * params["w"][2]


def trained(model, n_steps, mesh=MESH):
    state = init_state(model.algorithm, jax.random.key(0), BATCH, mesh)
    batch, found = shard_batch(BATCH, mesh), []
    step = compiled(map_step(model.algorithm, mesh), jax.random.key(1), state, batch)
    for _ in range(n_steps):
        state, metrics = step(jax.random.key(1), state, batch)
        found.append(jax.device_get(metrics))
    return jax.device_get(state), found


def test_members_without_repulsion_train_as_if_alone():
    state, metrics = trained(ensemble(MODEL, 3, None, respond), 2)
    assert int(state.step) == 2
    for m, key in enumerate(jax.random.split(jax.random.key(0), 3)):
        alone = init_state(ALGORITHM, key, BATCH, MESH)
        first = np.array(alone.params["w"])
        slope = 2 * (first[0] - 1) * np.mean(BATCH.data**2)
        first[0] -= 0.2 * slope
        second = first[0] - 0.2 * 2 * (first[0] - 1) * np.mean(BATCH.data**2)
        np.testing.assert_allclose(state.params["w"][m], [second, *first[1:]], rtol=1e-5)
    assert metrics[0]["loss"].shape == ()


@pytest.fixture(scope="module")
def repelled():
    return trained(ensemble(MODEL, 3, STRONG, respond), 100)


def test_repulsion_drives_members_apart_and_its_release_loses_nothing(repelled):
    state, metrics = repelled
    plain, plain_metrics = trained(ensemble(MODEL, 3, None, respond), 100)
    free = np.ptp(state.params["w"][:, 1]), np.ptp(plain.params["w"][:, 1])
    assert free[0] > 0.5 > 0.1 > free[1]
    # pushed off the data's answer while it lasts, then as good as without
    assert metrics[10]["loss"] > 1e-4 + plain_metrics[10]["loss"]
    np.testing.assert_allclose(state.params["w"][:, 0], 1.0, atol=1e-3)
    np.testing.assert_allclose(state.ema["w"][:, 0], 1.0, atol=2e-2)
    assert metrics[99]["loss"] < 1e-6
    differences = [m["member_difference"] for m in metrics]
    assert differences[50] > 5 * differences[0] > 0
    assert differences[60] == 0.0  # nothing pushes any more


def test_a_push_goes_down_the_gradient_of_the_kernel(repelled):
    """The whole loss is (1) of the module, with its exponential differentiated."""
    key = jax.random.key(7)
    still = MODEL._replace(algorithm=minimise(init, loss, optax.sgd(0.0), 0.9))
    own = ensemble(still, 3, STRONG, respond).algorithm
    params = {"w": np.random.default_rng(3).standard_normal((3, 3)).astype(np.float32)}
    state = init_state(own, jax.random.key(0), BATCH, MESH)._replace(params=params)
    after, _ = compiled(map_step(own, MESH), key, state, BATCH)(key, state, BATCH)
    push_key = jax.random.fold_in(jax.random.split(key)[1], 0)

    def pressure(w):
        answers = jax.vmap(lambda w: respond(push_key, {"w": w}, BATCH))(w)
        pairs = [jnp.mean((answers[i] - answers[j]) ** 2) for i, j in ((0, 1), (0, 2), (1, 2))]
        return jnp.mean(jnp.exp(-jnp.stack(pairs) / (2 * STRONG.width**2)))

    expected = params["w"] - STRONG.rate * quickly(jax.grad(pressure), params["w"])
    np.testing.assert_allclose(after.params["w"], expected, rtol=1e-5)
    assert np.abs(after.params["w"] - params["w"]).max() > 1e-3


def test_eight_devices_equal_one():
    model = ensemble(MODEL, 3, STRONG, respond)
    one, _ = trained(model, 3)
    eight, _ = trained(model, 3, data_mesh(jax.devices()))
    np.testing.assert_allclose(one.params["w"], eight.params["w"], rtol=1e-4, atol=1e-6)


def test_events_are_of_a_member_drawn_at_random(repelled):
    params, cond = repelled[0].ema, jnp.ones(3)
    model = ensemble(MODEL, 3, None, respond)

    def drawn(key):
        noise = jax.random.normal(jax.random.split(key)[1], (3,))
        event = model.sample(key, params, cond) - cond - noise
        return jnp.abs(event - params["w"]).sum(axis=1)

    keys = jax.random.split(jax.random.key(4), 600)
    distance = np.asarray(quickly(jax.vmap(drawn), keys))
    assert distance.min(axis=1).max() < 1e-5
    counts = np.bincount(distance.argmin(axis=1), minlength=3)
    assert abs(counts - 200).max() < 4 * np.sqrt(600 * 2 / 9)


def test_a_member_alone_has_its_own_parameters(repelled):
    params, cond, key = repelled[0].ema, jnp.ones(3), jax.random.key(5)
    for m in range(3):
        own = {"w": jnp.asarray(params["w"][m])}
        alone = member(MODEL, m)
        event = sample(key, own, cond)
        np.testing.assert_array_equal(alone.sample(key, params, cond), event)
        found = alone.log_prob(key, params, event, cond)
        np.testing.assert_allclose(found, density(key, own, event, cond))


def encode(key, datum):
    return datum + jax.random.normal(key, (2,)), datum[:1]


def test_each_event_is_learned_by_one_member_drawn_at_random():
    keys = jax.random.split(jax.random.key(6), 900)
    encoded = jax.vmap(with_member(encode, 3), (0, None))
    events, conds = quickly(encoded, keys, jnp.asarray([0.5, 1.5]))
    counts = np.bincount(np.asarray(conds[:, 1]).astype(int), minlength=3)
    assert abs(counts - 300).max() < 4 * np.sqrt(900 * 2 / 9)
    np.testing.assert_array_equal(conds[:, 0], 0.5)
    assert abs(float(events[:, 1].mean()) - 1.5) < 4 / np.sqrt(900)


def test_sampling_appends_the_member_that_is_asked_or_drawn():
    told = GenerativeModel(ALGORITHM, lambda key, params, cond: cond, density)
    key = jax.random.key(0)
    given = fix_member(told, 2).sample(key, (), jnp.asarray([0.5]))
    np.testing.assert_array_equal(given, [0.5, 2.0])
    keys = jax.random.split(key, 600)
    drawn = jax.vmap(draw_member(told, 3).sample, (0, None, None))(keys, (), jnp.asarray([0.5]))
    counts = np.bincount(np.asarray(drawn[:, 1]).astype(int), minlength=3)
    assert abs(counts - 200).max() < 4 * np.sqrt(600 * 2 / 9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ensemble(MODEL, 1, None, respond), "at least 2 members"),
        (lambda: with_member(encode, 0), "at least 2 members"),
        (lambda: member(MODEL, -1), "number from 0"),
        (lambda: fix_member(MODEL, -1), "number from 0"),
        (lambda: Repulsion(rate=0.0), "above 0"),
    ],
)
def test_unusable_ensembles(make, message):
    with pytest.raises(InputError, match=message):
        make()
