import jax
import jax.numpy as jnp
import numpy as np
import pytest
from net_cases import random_params

from jaxcalo.nets import (
    ConditionEmbedding,
    ScalarEmbedding,
    cylindrical_encoding,
    fourier_features,
    planar_encoding,
)


def test_scalar_embedding_has_the_published_size():
    params = jax.eval_shape(ScalarEmbedding().init, jax.random.key(0), jnp.ones((1, 1)))
    assert sum(a.size for a in jax.tree.leaves(params)) == 6336


def test_fourier_features_are_what_they_say():
    x = jnp.asarray([0.0, 0.3, -2.0])
    frequencies = 0.25 * 256 ** (np.arange(4) / 3)
    phase = np.asarray(x)[:, None] * frequencies
    expected = np.concatenate([np.sin(phase), np.cos(phase)], -1)
    np.testing.assert_allclose(fourier_features(x, 4), expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(5, 8, 3), (1, 1, 1), (4, 7, 2)])
def test_no_two_cells_of_a_cylinder_are_encoded_alike(shape):
    encoding = cylindrical_encoding(shape)
    distance = np.linalg.norm(encoding[:, None] - encoding[None], axis=-1)
    assert encoding.shape[0] == np.prod(shape)
    assert np.all(distance[~np.eye(len(encoding), dtype=bool)] > 0.1)


def test_cylindrical_encoding_knows_azimuth_only_up_to_a_turn():
    n_azimuth = 6
    encoding = cylindrical_encoding((2, n_azimuth, 3)).reshape(2, n_azimuth, 3, -1)[1, :, 1]
    likeness = encoding @ encoding.T
    for shift in range(n_azimuth):
        turned = np.roll(likeness, (shift, shift), (0, 1))
        np.testing.assert_allclose(turned, likeness, atol=1e-5)
    # An open axis has two ends that are far from each other.
    radial = cylindrical_encoding((2, 3, n_azimuth)).reshape(2, 3, n_azimuth, -1)[0, 0]
    assert np.linalg.norm(radial[0] - radial[-1]) > np.linalg.norm(radial[0] - radial[1])


def test_first_axis_is_slowest():
    encoding = planar_encoding((2, 4)).reshape(2, 4, -1)
    n_y = 4  # sine and cosine of two octaves
    np.testing.assert_array_equal(encoding[0, 0, :n_y], encoding[0, 3, :n_y])
    np.testing.assert_array_equal(encoding[0, 2, n_y:], encoding[1, 2, n_y:])
    assert np.any(encoding[0, 0, :n_y] != encoding[1, 0, :n_y])


def test_condition_embedding_sees_both_inputs():
    module = ConditionEmbedding(6, hidden=8)
    noise, cond = jnp.asarray([0.1, 0.2]), jnp.asarray([[0.0, 1.0], [0.0, 1.0]])
    params = random_params(module, noise, cond)
    apply = jax.jit(module.apply)
    out = apply(params, noise, cond)
    assert not np.allclose(out[0], out[1])
    other = apply(params, noise, cond.at[0, 1].set(2.0))
    assert not np.allclose(out[0], other[0])
    np.testing.assert_array_equal(out[1], other[1])
