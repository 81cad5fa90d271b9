"""Summary, points and calibration joined: the sizes change nothing, and each takes its own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcalo.families import GenerativeModel, evaluate_point_cloud, generate, point_cloud
from jaxcalo.preprocess import Summary
from jaxcalo.training import Algorithm, data_mesh

NOTHING = Algorithm(lambda *_: None, lambda *_: None)
ENERGIES = np.asarray([3.0, 40.0, 64.0, 65.0, 128.0, 7.0], np.float32)[:, None]


class Physics:
    """N is the energy; a point's energy is 1 and its place the random number of its row."""

    def summary_condition(self, energy):
        return energy[None]

    def summary(self, vector, energy):
        return Summary(jnp.stack([energy, 0.0 * energy]), vector, jnp.zeros(2))

    def points_condition(self, energy, n_points):
        return jnp.stack([energy, n_points, n_points])

    def points(self, key, event, summary):
        cloud = event.reshape(-1, 4).at[:, 3].set(1.0) + summary.energy_mev[0]
        return jnp.where(jnp.arange(len(cloud))[:, None] < jnp.sum(summary.n_points), cloud, 0.0)


def summary_model(key, params, cond):
    return params["shift"] + jax.random.normal(key, (2,)) + 0.0 * cond


def points_model(rows):
    def sample(key, params, cond):
        return params["scale"] * jax.random.normal(key, (4 * rows,))

    return GenerativeModel(NOTHING, sample)


PARAMS = {"summary": {"shift": jnp.asarray(2.0)}, "points": {"scale": jnp.asarray(3.0)}}


def made(sizes, **options):
    model = point_cloud(
        GenerativeModel(NOTHING, summary_model), [(n, points_model(n)) for n in sizes], Physics()
    )
    options = {"chunk": 4, "mesh": data_mesh(jax.devices()[:1])} | options
    return generate(jax.random.key(5), model, PARAMS, ENERGIES, **options)


@pytest.fixture(scope="module")
def one_size():
    return made([128])


def test_a_cloud_has_its_points_and_zeros_behind(one_size):
    assert one_size.shape == (6, 128, 4)
    np.testing.assert_array_equal((one_size[..., 3] != 0).sum(axis=1), ENERGIES[:, 0])
    assert np.std(one_size[4, :, 0]) == pytest.approx(3.0, rel=0.3)


def test_sizes_change_nothing(one_size):
    np.testing.assert_allclose(made([32, 64, 128]), one_size, rtol=1e-6)


def test_chunks_and_devices_change_nothing_with_several_sizes():
    expected = made([64, 128])
    np.testing.assert_array_equal(made([64, 128], chunk=1), expected)
    eight = made([64, 128], mesh=data_mesh(jax.devices()))
    np.testing.assert_allclose(eight, expected, rtol=1e-6)


def test_only_the_size_of_a_cloud_is_computed():
    """With several sizes events are not vmapped, or every branch would be computed for each."""
    computed = []

    def counted(rows):
        def sample(key, params, cond):
            jax.debug.callback(lambda: computed.append(rows))
            return params["scale"] * jax.random.normal(key, (4 * rows,))

        return GenerativeModel(NOTHING, sample)

    model = point_cloud(
        GenerativeModel(NOTHING, summary_model), [(n, counted(n)) for n in (64, 128)], Physics()
    )
    mesh = data_mesh(jax.devices()[:1])
    generate(jax.random.key(0), model, PARAMS, ENERGIES, chunk=6, mesh=mesh)
    jax.effects_barrier()
    assert sorted(computed) == [64, 64, 64, 64, 128, 128]


def test_held_out_numbers_of_both_families():
    def half(name):
        return lambda key, params, data: {name: params["x"] * data}

    params = {"summary": {"x": 2.0}, "points": {"x": 3.0}}
    both = evaluate_point_cloud(half("validation_loss"), half("validation_loss"))
    assert both(jax.random.key(0), params, 5.0) == {
        "validation_loss_summary": 10.0,
        "validation_loss": 15.0,
    }
    alone = evaluate_point_cloud(half("validation_loss"), None)
    assert alone(jax.random.key(0), params, 5.0) == {"validation_loss_summary": 10.0}
