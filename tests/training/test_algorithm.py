"""The training step: one loss, any number of devices, the same result."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcalo.training import (
    AXIS,
    Batch,
    Ratio,
    Target,
    data_mesh,
    init_state,
    map_step,
    minimise,
    minimise_towards,
    shard_batch,
)


def linear_regression(ema_decay=0.9):
    """Noise per event, so that a wrong split of the randomness shows."""

    def init_params(key, batch):
        return {"w": jax.random.normal(key, (batch.data["x"].shape[1],))}

    def loss_fn(key, params, batch):
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(batch.index)
        noise = jax.vmap(jax.random.normal)(keys)
        error = batch.data["x"] @ params["w"] + 0.1 * noise - batch.data["y"]
        return jnp.mean(error**2), {"large": Ratio(jnp.mean(error**2 > 1), jnp.asarray(1.0))}

    return minimise(init_params, loss_fn, optax.adam(1e-2), ema_decay)


def make_batch(n=16, width=5):
    x = np.asarray(jax.random.normal(jax.random.key(1), (n, width)))
    return Batch(np.arange(n, dtype=np.int32), {"x": x, "y": x.sum(1)})


def run_steps(devices, n_steps=5):
    algorithm, batch, mesh = linear_regression(), make_batch(), data_mesh(devices)
    state = init_state(algorithm, jax.random.key(0), batch, mesh)
    step = map_step(algorithm, mesh)
    for _ in range(n_steps):
        state, metrics = step(jax.random.key(2), state, shard_batch(batch, mesh))
    return jax.device_get((state, metrics))


def test_eight_devices_equal_one():
    one = run_steps(jax.devices()[:1])
    eight = run_steps(jax.devices()[:8])
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(eight), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)


def test_the_same_step_runs_under_pmap():
    algorithm, batch = linear_regression(), make_batch()
    state = algorithm.init(jax.random.key(0), batch)
    step = jax.pmap(algorithm.step, axis_name=AXIS, in_axes=(None, None, 0), out_axes=None)
    split = jax.tree.map(lambda x: x.reshape(8, -1, *x.shape[1:]), batch)
    for _ in range(5):
        state, metrics = step(jax.random.key(2), state, split)
    expected = run_steps(jax.devices()[:1])
    found = jax.device_get((state, metrics))
    for a, b in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)


def test_ema_follows_its_formula():
    algorithm, batch, mesh = (
        linear_regression(ema_decay=0.5),
        make_batch(),
        data_mesh(jax.devices()[:1]),
    )
    state = init_state(algorithm, jax.random.key(0), batch, mesh)
    step = map_step(algorithm, mesh)
    ema = np.asarray(state.params["w"])
    for i in range(6):
        state, _ = step(jax.random.key(2), state, shard_batch(batch, mesh))
        decay = min(0.5, (1 + i) / (10 + i))
        ema = decay * ema + (1 - decay) * np.asarray(state.params["w"])
    np.testing.assert_allclose(state.ema["w"], ema, rtol=1e-5)


def test_state_is_donated():
    algorithm, batch, mesh = linear_regression(), make_batch(), data_mesh(jax.devices()[:1])
    state = init_state(algorithm, jax.random.key(0), batch, mesh)
    map_step(algorithm, mesh)(jax.random.key(2), state, shard_batch(batch, mesh))
    assert state.params["w"].is_deleted()


def test_devices_must_divide_the_batch():
    with pytest.raises(ValueError, match="multiple of the 8 devices"):
        shard_batch(make_batch(n=12), data_mesh(jax.devices()[:8]))


def test_ratio_averages_counts_not_ratios():
    assert Ratio(np.array([3.0, 0.0]), np.array([4.0, 0.0])).ratio()[0] == 0.75
    assert np.isnan(Ratio(np.array(0.0), np.array(0.0)).ratio())


def towards(devices, n_steps=6, decay=0.8):
    """Regression pulled to a slow copy of itself, which the loss sees with the step."""

    def init_params(key, batch):
        return {"w": jax.random.normal(key, (batch.data["x"].shape[1],))}

    def loss_fn(key, params, batch, state):
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(batch.index)
        noise = jax.vmap(jax.random.normal)(keys)
        error = batch.data["x"] @ params["w"] + 0.1 * noise - batch.data["y"]
        pull = jnp.sum((params["w"] - state.target["slow"]["w"]) ** 2)
        return jnp.mean(error**2) + 0.1 * state.step * pull, {"at": state.step}

    def update(state):
        slow = jax.tree.map(
            lambda s, p: decay * s + (1 - decay) * p, state.target["slow"], state.params
        )
        return state.target | {"slow": slow}

    target = Target(lambda params: {"first": params, "slow": params}, update)
    algorithm = minimise_towards(target, init_params, loss_fn, optax.adam(1e-2), 0.9)
    batch, mesh = make_batch(), data_mesh(devices)
    state = init_state(algorithm, jax.random.key(0), batch, mesh)
    step, path = map_step(algorithm, mesh), [jax.device_get(state)]
    for i in range(n_steps):
        state, metrics = step(jax.random.key(2), state, shard_batch(batch, mesh))
        assert metrics["at"] == i
        path.append(jax.device_get(state))
    return path


def test_eight_devices_equal_one_with_a_target():
    one, eight = towards(jax.devices()[:1]), towards(jax.devices()[:8])
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(eight), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)


def test_a_target_is_updated_after_the_step_from_the_new_parameters():
    path = towards(jax.devices()[:1])
    slow = path[0].params["w"]
    np.testing.assert_array_equal(path[0].target["slow"]["w"], slow)
    for state in path[1:]:
        slow = 0.8 * slow + 0.2 * state.params["w"]
        np.testing.assert_allclose(state.target["slow"]["w"], slow, rtol=1e-6)
        np.testing.assert_array_equal(state.target["first"]["w"], path[0].params["w"])
    assert np.abs(slow - path[0].params["w"]).max() > 1e-3


def test_the_target_is_a_constant_of_the_loss():
    def loss_fn(key, params, batch, state):
        return jnp.sum((params - state.target) ** 2), {}

    target = Target(lambda params: params - 1.0, lambda state: state.target)
    algorithm = minimise_towards(target, lambda *_: jnp.zeros(3), loss_fn, optax.sgd(0.25), 0.9)
    batch, mesh = make_batch(), data_mesh(jax.devices()[:1])
    state = init_state(algorithm, jax.random.key(0), batch, mesh)
    state, metrics = map_step(algorithm, mesh)(jax.random.key(2), state, shard_batch(batch, mesh))
    np.testing.assert_allclose(state.params, -0.5)
    np.testing.assert_allclose(state.target, -1.0)
    np.testing.assert_allclose(metrics["gradient_norm"], 2 * np.sqrt(3), rtol=1e-6)


def test_without_a_target_the_state_holds_none():
    state = linear_regression().init(jax.random.key(0), make_batch())
    assert state.target == ()
