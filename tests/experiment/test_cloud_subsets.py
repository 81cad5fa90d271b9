"""Learning from a part of a shower's points: some, or one group of equal ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcalo.errors import InputError
from jaxcalo.experiment import CloudGan, EpicPlayers, MessagePassingPlayers
from jaxcalo.experiment.cloud_subsets import of_one_group, of_some_points
from jaxcalo.nets import GroupedGenerator

ROWS = 20
ENERGY = 0.3


def encode(key, n_points):
    """A shower whose i-th point is (i, i, i, i), from 1 on, for any number of points."""
    del key
    row = jnp.arange(1.0, ROWS + 1)
    points = jnp.where(row <= n_points, row, 0.0)[:, None] * jnp.ones(4)
    return points.reshape(-1), jnp.stack([ENERGY, n_points])


def draw_often(subset, n_points):
    """Rows (400, n) of 400 draws, and their conditions (400, 2)."""
    keys = jax.random.split(jax.random.key(n_points), 400)
    events, conds = jax.vmap(subset, (0, None))(keys, float(n_points))
    points = np.asarray(events).reshape(400, -1, 4)
    assert np.all(points == points[..., :1])
    return points[..., 0], conds


def assert_drawn(found, n_points, n_drawn):
    """Each draw has n_drawn different points at the front, and every point is drawn equally often.

    Equally: within five standard deviations.
    """
    rows, conds = found
    np.testing.assert_allclose(conds, np.tile([ENERGY, n_drawn], (400, 1)), rtol=1e-6)
    assert np.all((rows > 0) == (np.arange(rows.shape[1]) < n_drawn))
    for drawn in rows:
        assert len(set(drawn[:n_drawn])) == n_drawn
    counts = np.bincount(rows[rows > 0].astype(int), minlength=n_points + 1)[1:]
    assert len(counts) == n_points
    share = n_drawn / n_points
    error = 5 * np.sqrt(400 * share * (1 - share))
    np.testing.assert_allclose(counts, 400 * share, atol=error + 1e-9)


@pytest.mark.parametrize(("n_points", "n_drawn"), [(1, 1), (6, 6), (7, 6), (20, 6)])
def test_some_points_are_as_many_as_asked_for_or_all(n_points, n_drawn):
    assert_drawn(draw_often(of_some_points(encode, 6), n_points), n_points, n_drawn)


@pytest.mark.parametrize(
    ("n_points", "n_drawn"), [(1, 1), (6, 6), (7, 4), (12, 6), (13, 5), (20, 5)]
)
def test_a_group_is_as_large_as_one_of_the_generators(n_points, n_drawn):
    assert_drawn(draw_often(of_one_group(encode, 6), n_points), n_points, n_drawn)


def test_training_and_sampling_use_groups_of_one_size():
    CloudGan(MessagePassingPlayers(group=64), points_per_shower=64)
    CloudGan(EpicPlayers())
    for players, found in ((MessagePassingPlayers(group=64), 32), (EpicPlayers(), 64)):
        with pytest.raises(InputError, match=f"group.*, found {found}"):
            CloudGan(players, points_per_shower=found)
    generator, critic = MessagePassingPlayers(group=64).build()
    assert isinstance(generator, GroupedGenerator)
    assert generator.size == 64
    whole, _ = MessagePassingPlayers(group=None).build()
    assert not isinstance(whole, GroupedGenerator)
    assert generator.net == whole
    assert critic == MessagePassingPlayers(group=None).build()[1]
