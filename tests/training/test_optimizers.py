"""AdamW's learning rate over a run, in one cycle or several."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcalo.training import AdamW


def rates(optimizer, n_steps, n_cycles=1):
    """The learning rates that were used: with a constant gradient Adam moves by just those."""
    transformation = optimizer.build(n_steps, n_cycles)
    params = jnp.zeros(1)
    state = transformation.init(params)

    @jax.jit
    def step(params, state):
        updates, state = transformation.update(jnp.full(1, 0.5), state, params)
        return optax.apply_updates(params, updates), state, -updates[0]

    found = []
    for _ in range(n_steps):
        params, state, rate = step(params, state)
        found.append(float(rate))
    return np.asarray(found)


PLAIN = AdamW(learning_rate=1e-2, final_fraction=0.1, warmup_steps=4, weight_decay=0.0)


def test_one_cycle_warms_up_and_decays():
    found = rates(PLAIN, 40)
    np.testing.assert_allclose(found[:5], [0, 2.5e-3, 5e-3, 7.5e-3, 1e-2], rtol=1e-4, atol=1e-9)
    assert np.all(np.diff(found[4:]) < 0)
    assert 1e-3 < found[-1] < 1.1e-3


def test_every_cycle_is_a_short_run_of_its_own():
    np.testing.assert_allclose(rates(PLAIN, 36, 3), np.tile(rates(PLAIN, 12), 3), rtol=1e-4)


def test_the_steps_that_are_left_over_keep_the_last_rate():
    found = rates(PLAIN, 38, 3)
    np.testing.assert_allclose(found[:36], rates(PLAIN, 36, 3), rtol=1e-4)
    np.testing.assert_allclose(found[36:], 1e-3, rtol=1e-4)


def test_cycles_count_updates_not_batches():
    accumulated = AdamW(
        learning_rate=1e-2, final_fraction=0.1, warmup_steps=4, weight_decay=0.0, accumulate=2
    )
    found = rates(accumulated, 48, 2)
    np.testing.assert_array_equal(found[::2], 0.0)
    np.testing.assert_allclose(found[1::2], rates(PLAIN, 24, 2), rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize(("n_steps", "n_cycles"), [(1, 1), (2, 1), (4, 4), (3, 4)])
def test_the_shortest_runs_have_a_rate(n_steps, n_cycles):
    found = rates(PLAIN, n_steps, n_cycles)
    assert np.all((found >= 0) & (found <= PLAIN.learning_rate * (1 + 1e-4)))
