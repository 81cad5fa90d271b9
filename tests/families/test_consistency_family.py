"""Consistency: the exact function has no loss; a small network learns it, taught or alone."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracle_nets import MEAN, STD, BumpNet, N, PathEndNet, TaughtNet, as_student, batch, encode
from oracles import GaussianOracle

from jaxcalo.diffusion import Consistency, VarianceExploding, X0Prediction
from jaxcalo.errors import InputError
from jaxcalo.families import (
    ConsistencyDistillation,
    ConsistencyTraining,
    Diffusion,
    Sampling,
    consistency,
    generate,
)
from jaxcalo.families.process import plain_denoiser
from jaxcalo.training import data_mesh, init_state, map_step, shard_batch

MESH = data_mesh(jax.devices()[:1])
CONFIG = Diffusion()
ONE_STEP = Sampling(Consistency(), 1)
NET = BumpNet()


def model_of(net, method, optimizer, config=CONFIG, n_steps=400, **options):
    return consistency(
        net,
        config,
        method,
        options.pop("sampling", ONE_STEP),
        optimizer,
        encode=encode,
        n_components=N,
        ema_decay=0.98,
        n_steps=n_steps,
        **options,
    )


def one_step(model, n=256):
    """The state and the metrics after the first step."""
    state = init_state(model.algorithm, jax.random.key(0), batch(0, n), MESH)
    step = map_step(model.algorithm, MESH)
    return step(jax.random.key(7), state, shard_batch(batch(0, n), MESH))


def test_exact_function_has_no_loss_and_is_pushed_back_to():
    model = model_of(PathEndNet(CONFIG), ConsistencyDistillation(n_intervals=40), optax.sgd(1e-3))
    state = init_state(model.algorithm, jax.random.key(0), batch(0), MESH)
    step, losses = map_step(model.algorithm, MESH), {}
    for shift in (0.0, 0.1, -0.1):
        moved = {"student": jnp.ones(()), "shift": jnp.asarray(shift)}
        start = jax.tree.map(jnp.copy, state._replace(params=moved))
        after, metrics = step(jax.random.key(7), start, shard_batch(batch(0), MESH))
        losses[shift] = float(metrics["loss"])
        change = float(after.params["shift"]) - shift
        if shift:
            assert change * shift < 0
    assert losses[0.0] < 0.02 * min(losses[0.1], losses[-0.1])


def trained(model, n_steps, prepare=lambda state: state):
    state = prepare(init_state(model.algorithm, jax.random.key(0), batch(0), MESH))
    step = map_step(model.algorithm, MESH)
    for i in range(n_steps):
        state, metrics = step(jax.random.key(1), state, shard_batch(batch(i % 20), MESH))
    assert np.isfinite(float(metrics["loss"]))
    return state


def errors_of(model, net, state):
    """Root mean square of one-step answers against the paths' ends; mean and std of samples."""
    oracle = GaussianOracle(MEAN + 0.5, STD)
    cond = np.full((2000, 1), 0.5, np.float32)
    x_T = jax.random.normal(jax.random.key(5), (2000, N))
    student = plain_denoiser(net, state.ema, CONFIG)
    found = jax.vmap(lambda x, c: student(x, jnp.ones(()), c))(x_T, cond)
    expected = oracle.flow(CONFIG.schedule, x_T, jnp.ones(()), jnp.zeros(()))
    events = generate(jax.random.key(3), model, state.ema, cond, chunk=2000, mesh=MESH)
    rms = float(jnp.sqrt(jnp.mean((found - expected) ** 2))) / STD
    return rms, abs(events.mean() - oracle.mean) / STD, abs(events.std() / STD - 1)


def test_small_student_learns_the_map_of_its_exact_teacher():
    net, n_steps = TaughtNet(CONFIG, NET), 1000
    optimizer = optax.adam(optax.cosine_decay_schedule(3e-2, n_steps))
    model = model_of(net, ConsistencyDistillation(), optimizer)
    rms, mean_error, std_error = errors_of(model, net, trained(model, n_steps, as_student))
    assert rms < 0.15
    assert mean_error < 0.06
    assert std_error < 0.12


def test_training_alone_learns_the_same_more_loosely():
    n_steps = 400
    optimizer = optax.adam(optax.cosine_decay_schedule(3e-2, n_steps))
    model = model_of(NET, ConsistencyTraining(), optimizer, n_steps=n_steps)
    rms, mean_error, std_error = errors_of(model, NET, trained(model, n_steps))
    assert rms < 0.3
    assert mean_error < 0.1
    assert std_error < 0.25


def test_training_alone_is_finite_where_levels_are_clipped_to_the_data():
    """Of 4096 levels a few lie beyond the end of the schedule; two equal times teach nothing."""
    config = Diffusion(schedule=VarianceExploding())
    model = model_of(NET, ConsistencyTraining(), optax.adam(1e-3), config)
    after, metrics = one_step(model, n=4096)
    assert np.isfinite(float(metrics["loss"]))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(after.params))
    assert float(metrics["gradient_norm"]) > 0


def test_slow_copy_is_the_average_of_the_student_and_the_teacher_stays():
    net = TaughtNet(CONFIG, NET)
    model = model_of(net, ConsistencyDistillation(target_decay=0.9), optax.adam(1e-2))
    state = as_student(init_state(model.algorithm, jax.random.key(0), batch(0), MESH))
    step = map_step(model.algorithm, MESH)
    teacher, slow = jax.device_get((state.target["teacher"], state.target["student"]))
    for i in range(5):
        state, _ = step(jax.random.key(1), state, shard_batch(batch(i), MESH))
        slow = jax.tree.map(lambda a, p: 0.9 * a + 0.1 * np.asarray(p), slow, state.params)
    for a, b in zip(jax.tree.leaves(slow), jax.tree.leaves(state.target["student"]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    jax.tree.map(np.testing.assert_array_equal, teacher, jax.device_get(state.target["teacher"]))
    moved = jax.tree.map(
        lambda a, b: float(np.abs(a - b).max()), teacher["net"], state.params["net"]
    )
    assert max(jax.tree.leaves(moved)) > 1e-3


def test_without_decay_there_is_no_copy_and_alone_no_teacher():
    for method, copies in ((ConsistencyDistillation(), 1), (ConsistencyTraining(), 0)):
        algorithm = model_of(NET, method, optax.adam(1e-3)).algorithm
        state = jax.eval_shape(algorithm.init, jax.random.key(0), batch(0))
        n_params = len(jax.tree.leaves(state.params))
        assert len(jax.tree.leaves(state.target)) == copies * n_params


def test_student_starts_at_its_teacher():
    teacher = NET.init(jax.random.key(9), jnp.zeros((1, N)), jnp.zeros(1), jnp.zeros((1, 1)))
    model = model_of(NET, ConsistencyDistillation(), optax.adam(1e-3), teacher=teacher)
    state = model.algorithm.init(jax.random.key(0), batch(0))
    jax.tree.map(np.testing.assert_array_equal, state.params, teacher)
    jax.tree.map(np.testing.assert_array_equal, state.target["teacher"], teacher)


def test_guidance_of_the_teacher_changes_what_is_learned():
    config = Diffusion(condition_dropout=0.1)
    params = NET.init(jax.random.key(9), jnp.zeros((1, N)), jnp.zeros(1), jnp.zeros((1, 2)))

    def spread(p):
        return p + np.linspace(-0.3, 0.4, p.size).reshape(p.shape)

    params = jax.tree.map(spread, params)  # a new network returns zero
    losses = []
    for scale in (1.0, 3.0):
        model = model_of(
            NET,
            ConsistencyDistillation(),
            optax.adam(1e-3),
            config,
            teacher=params,
            teacher_guidance=scale,
        )
        losses.append(float(one_step(model, n=64)[1]["loss"]))
    assert abs(losses[1] / losses[0] - 1) > 0.1


@pytest.mark.parametrize(
    ("config", "options", "message"),
    [
        (Diffusion(parametrization=X0Prediction()), {}, "X0Prediction"),
        (Diffusion(learned_variance=True), {}, "learned variance"),
        (Diffusion(), {"teacher_guidance": 2.0}, "condition-dropout"),
        (
            Diffusion(condition_dropout=0.1),
            {"sampling": Sampling(Consistency(), 1, guidance=2.0)},
            "expected 1 for a student",
        ),
    ],
)
def test_impossible_students_are_refused(config, options, message):
    with pytest.raises(InputError, match=message):
        model_of(NET, ConsistencyDistillation(), optax.adam(1e-3), config, **options)


@pytest.mark.parametrize("settings", [{"n_intervals": 0}, {"target_decay": 1.0}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(InputError, match="consistency distillation"):
        ConsistencyDistillation(**settings)
