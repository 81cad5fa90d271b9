"""GANs on point clouds that learn from groups of a shower's points."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcalo.errors import InputError
from jaxcalo.experiment import CloudGan, EpicPlayers, MessagePassingPlayers
from jaxcalo.experiment.cloud_subsets import of_one_group
from jaxcalo.nets import GroupedGenerator


@pytest.mark.parametrize(
    ("n_points", "n_drawn"), [(1, 1), (6, 6), (7, 4), (12, 6), (13, 5), (20, 5)]
)
def test_a_group_is_as_large_as_one_of_the_generators(n_points, n_drawn):
    def encode(key, datum):
        del key
        row = jnp.arange(1.0, 21.0)
        points = jnp.where(row <= datum, row, 0.0)[:, None] * jnp.ones(4)
        return points.reshape(-1), jnp.stack([0.3, datum])

    draw = jax.vmap(of_one_group(encode, 6), (0, None))
    events, conds = draw(jax.random.split(jax.random.key(n_points), 400), float(n_points))
    np.testing.assert_allclose(conds, np.tile([0.3, n_drawn], (400, 1)), rtol=1e-6)
    rows = np.asarray(events).reshape(400, 6, 4)[..., 0]
    assert np.all((rows > 0) == (np.arange(6) < n_drawn))
    for drawn in rows:
        assert len(set(drawn[:n_drawn])) == n_drawn
    # Every point of the shower is drawn equally often: within five standard deviations.
    counts = np.bincount(rows[rows > 0].astype(int), minlength=n_points + 1)[1:]
    share = n_drawn / n_points
    assert len(counts) == n_points
    error = 5 * np.sqrt(400 * share * (1 - share))
    np.testing.assert_allclose(counts, 400 * share, atol=error + 1e-9)


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
