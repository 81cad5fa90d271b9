"""Diffusion and consistency on padded clouds: padding has no influence, and nothing is there."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracle_nets import MEAN, STD, OracleNet
from point_nets import PoolNet, assert_same_step, cloud_batch, clouds, encode, first_step, quickly

from jaxcalo.diffusion import Consistency, DpmSolver, Heun, randn
from jaxcalo.errors import InputError
from jaxcalo.families import (
    ConsistencyDistillation,
    ConsistencyTraining,
    Diffusion,
    Sampling,
    TransportPairing,
    cloud_mask,
    consistency,
    diffusion,
    evaluate_diffusion,
    generate,
)
from jaxcalo.training import Batch, data_mesh

MESH = data_mesh(jax.devices()[:1])
NET = PoolNet()
ONE_STEP = Sampling(Consistency(), 1)
COMMON = {"encode": encode, "ema_decay": 0.9}


def plain(mask, config=None, sampling=None, rows=6, net=NET):
    return diffusion(
        net,
        config or Diffusion(),
        sampling or Sampling(n_steps=4),
        optax.sgd(1.0),
        n_components=4 * rows,
        mask=mask,
        **COMMON,
    )


def student(method, mask, sampling=ONE_STEP, rows=6):
    return consistency(
        NET,
        Diffusion(),
        method,
        sampling,
        optax.sgd(1.0),
        n_components=4 * rows,
        n_steps=10,
        mask=mask,
        **COMMON,
    )


FAMILIES = {
    "edm": (lambda mask: plain(mask, Diffusion(noises_per_event=3)), (3, 5)),
    "distilled": (lambda mask: student(ConsistencyDistillation(), mask), (3,)),
    "trained-alone": (lambda mask: student(ConsistencyTraining(), mask), (3,)),
}


def test_mask_is_of_the_last_condition():
    np.testing.assert_array_equal(cloud_mask(jnp.array([7.0, 2.0]), 16), [1] * 8 + [0] * 8)
    np.testing.assert_array_equal(cloud_mask(jnp.array([4.0]), 16), np.ones(16))


def test_random_numbers_for_more_rows_begin_with_those_for_fewer():
    """Otherwise noise would depend on the padding."""
    key = jax.random.key(3)
    np.testing.assert_array_equal(randn(key, (20,)), randn(key, (4001,))[:20])


@pytest.mark.parametrize(("make", "sizes"), FAMILIES.values(), ids=FAMILIES)
def test_padding_changes_neither_loss_nor_gradient(make, sizes):
    """Each event alone, at its own size and without a mask, gives the same, all of equal weight."""
    found = first_step(make(cloud_mask), cloud_batch(sizes=sizes))
    data = clouds(sizes=sizes)
    parts = []
    for n_points in sizes:
        chosen = np.flatnonzero(data["cond"][:, 1] == n_points).astype(np.int32)
        rows = {"event": data["event"][chosen, : 4 * n_points], "cond": data["cond"][chosen]}
        parts.append(first_step(make(None), Batch(chosen, rows)))
    loss = np.mean([loss for loss, _, _ in parts])
    gradient = jax.tree.map(lambda *g: np.mean(g, axis=0), *(g for _, g, _ in parts))
    assert_same_step(found, (loss, gradient), 3e-6)


def test_samples_are_zero_on_padding_which_changes_nothing():
    """Also with a sampler that adds noise to all rows on its way."""
    sampler = Heun(churn=0.2)
    params = NET.init(jax.random.key(5), jnp.zeros((1, 8)), jnp.zeros(1), jnp.zeros((1, 2)))
    key, cond, real = jax.random.key(6), jnp.array([0.3, 5.0]), 20

    def drawn(rows, mask):
        model = plain(mask, sampling=Sampling(sampler, 3), rows=rows)
        return quickly(model.sample, key, params, cond)

    alone, padded = drawn(5, None), drawn(8, cloud_mask)
    assert alone.std() > 0.1
    np.testing.assert_array_equal(padded[real:], 0)
    np.testing.assert_allclose(padded[:real], alone, atol=3e-6 * float(jnp.abs(alone).max()))


def test_a_students_samples_in_one_step_are_zero_on_padding():
    model = student(ConsistencyDistillation(), cloud_mask)
    params = model.algorithm.init(jax.random.key(0), cloud_batch()).params
    n_points = np.array([0, 1, 3, 6])
    cond = np.stack([np.zeros(4), n_points], axis=1).astype(np.float32)
    keys = jax.random.split(jax.random.key(2), 4)
    events = quickly(jax.vmap(model.sample, (0, None, 0)), keys, params, cond)
    np.testing.assert_array_equal(events != 0, np.arange(24) < 4 * n_points[:, None])


def test_an_exact_network_samples_its_points_whatever_their_number():
    config = Diffusion()
    model = plain(cloud_mask, config, Sampling(DpmSolver(), 16), rows=8, net=OracleNet(config))
    cond = np.stack([np.full(600, 0.5), 1 + np.arange(600) % 8], axis=1).astype(np.float32)
    params = {"nothing": jnp.zeros(1)}
    events = generate(jax.random.key(0), model, params, cond, chunk=600, mesh=MESH)
    real = np.arange(32) < 4 * cond[:, 1:]
    np.testing.assert_array_equal(events[~real], 0)
    points = events[real]
    assert abs(points.mean() - MEAN - 0.5) < 4 * STD / np.sqrt(points.size) + 0.01
    assert abs(points.std() / STD - 1) < 4 / np.sqrt(2 * points.size) + 0.03


def test_held_out_loss_does_not_see_padding_and_comes_alone():
    config = Diffusion()
    params = NET.init(jax.random.key(5), jnp.zeros((1, 8)), jnp.zeros(1), jnp.zeros((1, 2)))
    evaluate = evaluate_diffusion(NET, config, encode=encode, mask=cloud_mask)
    few, many = (quickly(evaluate, jax.random.key(0), params, clouds(rows=rows)) for rows in (6, 9))
    assert few.keys() == {"validation_loss"}
    np.testing.assert_allclose(many["validation_loss"], few["validation_loss"], rtol=2e-6)


def test_a_masked_model_has_no_density():
    assert plain(cloud_mask).log_prob is None
    assert plain(None).log_prob is not None


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (Diffusion(condition_dropout=0.1), "condition-dropout"),
        (Diffusion(pairing=TransportPairing()), "pairing"),
        (Diffusion(learned_variance=True), "learned-variance"),
    ],
)
def test_settings_that_padding_does_not_know_are_refused(config, name):
    with pytest.raises(InputError, match=f"point clouds.*--diffusion.{name}"):
        plain(cloud_mask, config)
    with pytest.raises(InputError, match=name):
        evaluate_diffusion(NET, config, encode=encode, mask=cloud_mask)
