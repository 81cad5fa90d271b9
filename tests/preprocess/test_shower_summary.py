"""Shower summaries: exact there and back, physical from anything, normal after the fit."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcalo.data.toy_clouds import toy_clouds
from jaxcalo.errors import InputError
from jaxcalo.preprocess.apportion import share_energy, share_points
from jaxcalo.preprocess.conditional_normal import (
    fit_normal_map,
    from_normal,
    quadratic,
    to_normal,
)
from jaxcalo.preprocess.shower_summary import (
    Summary,
    SummaryScales,
    fit_summary,
    no_summary_constants,
    summarise,
    summary_transform,
)

L, N_SHOWERS = 6, 600
# Compiles in half the time.
quick_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
CONFIG = SummaryScales(max_points=300, symmetric=True)
N_COMPONENTS = 2 * L + 5


@functools.cache
def showers():
    """Energies and summaries of toy showers; some layers of some showers are empty."""
    clouds = toy_clouds(jax.random.key(0), N_SHOWERS, n_layers=L, mean_points=40)
    shower = np.repeat(np.arange(N_SHOWERS), clouds.n_points)
    x, y, layer, energy = clouds.points.T
    n_points, energy_mev = np.zeros((2, N_SHOWERS, L), np.float32)
    np.add.at(n_points, (shower, layer.astype(int)), 1.0)
    np.add.at(energy_mev, (shower, layer.astype(int)), energy)
    total = energy_mev.sum(axis=1)
    centre = [np.bincount(shower, weights=energy * a, minlength=N_SHOWERS) / total for a in (x, y)]
    assert 0.02 < np.mean(n_points == 0) < 0.5
    summaries = Summary(n_points, energy_mev, np.stack(centre, 1).astype(np.float32))
    return clouds.incident_energy_mev, summaries


@quick_jit
def forward(constants, keys, summaries, energy):
    return jax.vmap(summary_transform(CONFIG, constants).forward)(keys, summaries, energy)


@quick_jit
def inverse_of(constants, vectors, energy):
    return jax.vmap(summary_transform(CONFIG, constants).inverse)(vectors, energy)


def transforms(constants, summaries, energy):
    """The vectors of some showers, and the batched inverse."""
    keys = jax.random.split(jax.random.key(1), N_SHOWERS)

    def inverse(vectors, energy):
        return jax.tree.map(np.asarray, inverse_of(constants, vectors, energy))

    return np.asarray(forward(constants, keys, summaries, energy)), inverse


@functools.cache
def fitted():
    """The vectors of all showers, and the batched inverse."""
    energy, summaries = showers()
    return transforms(fit_summary(CONFIG, energy, summaries), summaries, energy)


def test_there_and_back_is_exact():
    energy, summaries = showers()
    vectors, inverse = fitted()
    assert vectors.shape == (N_SHOWERS, N_COMPONENTS)
    back = inverse(vectors, energy)
    np.testing.assert_array_equal(back.n_points, summaries.n_points)
    np.testing.assert_allclose(back.energy_mev, summaries.energy_mev, rtol=1e-4)
    np.testing.assert_allclose(back.centre_mm, summaries.centre_mm, atol=1e-4)


@pytest.mark.parametrize("width", [1.0, 10.0, 1e30])
def test_any_vector_gives_a_physical_shower(width):
    energy, _ = showers()
    vectors = width * jax.random.normal(jax.random.key(2), (N_SHOWERS, N_COMPONENTS))
    n_points, energy_mev, centre = fitted()[1](vectors, energy)
    assert np.isfinite(energy_mev).all()
    assert np.isfinite(centre).all()
    np.testing.assert_array_equal(n_points, np.round(n_points))
    assert np.all(n_points >= 0)
    total = np.sum(n_points, axis=1)
    assert np.all((total >= 1) & (total <= CONFIG.max_points))
    assert np.all(energy_mev[n_points == 0] == 0.0)
    assert np.all(energy_mev >= np.float32(CONFIG.threshold_mev) * n_points)
    assert np.all(np.sum(energy_mev, axis=1) > 0.0)


def test_the_untrained_model_has_the_showers_moments_given_the_energy():
    energy, summaries = showers()
    vectors, inverse = fitted()
    np.testing.assert_allclose(np.mean(vectors, axis=0), 0.0, atol=0.15)
    np.testing.assert_allclose(np.std(vectors, axis=0), 1.0, atol=0.1)
    parts = [
        inverse(jax.random.normal(jax.random.key(3 + i), vectors.shape), energy) for i in range(4)
    ]
    drawn = Summary(*(np.concatenate(part) for part in zip(*parts, strict=True)))
    high = energy > np.median(energy)
    for number in (
        lambda s: np.sum(s.n_points, axis=1),
        lambda s: np.sum(s.energy_mev, axis=1),
        lambda s: s.energy_mev @ np.arange(L) / np.sum(s.energy_mev, axis=1),
        lambda s: s.centre_mm[:, 0],
        *((lambda s, i=i: s.n_points[:, i]) for i in range(L)),
        *((lambda s, i=i: s.energy_mev[:, i]) for i in range(L)),
    ):
        for rows in (high, ~high):
            real, fake = number(summaries)[rows], number(drawn)[np.tile(rows, 4)]
            # 300 showers know their mean to 0.06 of their spread.
            assert abs(np.mean(fake) - np.mean(real)) < 0.2 * np.std(real)
            # 0.1 are known; the energy of a layer that is mostly empty has long tails.
            assert abs(np.std(fake) / np.std(real) - 1.0) < 0.3


def test_symmetric_fit_prefers_no_direction():
    energy, summaries = showers()
    vectors, inverse = fitted()
    turned = summaries._replace(centre_mm=summaries.centre_mm[:, ::-1] * np.float32([1, -1]))
    _, other_inverse = transforms(fit_summary(CONFIG, energy, turned), turned, energy)
    one, other = inverse(vectors, energy), other_inverse(vectors, energy)
    np.testing.assert_allclose(other.energy_mev, one.energy_mev, rtol=1e-3)
    # x and y stand alone, without offset: the opposite vector has the opposite centre.
    np.testing.assert_allclose(inverse(-vectors, energy).centre_mm, -one.centre_mm, atol=1e-4)


def test_constants_before_a_fit_have_its_shapes():
    energy, summaries = showers()
    empty, full = no_summary_constants(CONFIG, L), fit_summary(CONFIG, energy, summaries)
    assert jax.tree.map(np.shape, empty) == jax.tree.map(np.shape, full)
    assert {a.dtype for a in jax.tree.leaves(full)} == {np.dtype("float32")}


def test_a_layer_that_is_always_empty_and_one_energy_are_no_fault():
    energy, summaries = showers()
    blind = np.arange(L) != 2
    summaries = Summary(
        summaries.n_points * blind, summaries.energy_mev * blind, summaries.centre_mm
    )
    same = np.full_like(energy, 5e4)
    vectors, inverse = transforms(fit_summary(CONFIG, same, summaries), summaries, same)
    assert np.isfinite(vectors).all()
    back = inverse(vectors, same)
    np.testing.assert_array_equal(back.n_points, summaries.n_points)
    np.testing.assert_allclose(back.energy_mev, summaries.energy_mev, rtol=1e-4)


def test_too_few_or_empty_showers_are_refused():
    energy, summaries = showers()
    few = Summary(*(a[:5] for a in summaries))
    with pytest.raises(InputError, match="found 5"):
        fit_summary(CONFIG, energy[:5], few)
    none = summaries._replace(n_points=np.zeros_like(summaries.n_points))
    with pytest.raises(InputError, match="600 of them empty"):
        fit_summary(CONFIG, energy, none)
    with pytest.raises(InputError, match="max_points"):
        SummaryScales(max_points=0)


def test_summarise_counts_rows_with_energy():
    points = jnp.array(
        [[1.0, 2.0, 0.0, 3.0], [-1.0, 4.0, 2.0, 1.0], [5.0, 0.0, 2.0, 4.0], [9.0, 9.0, 1.0, 0.0]]
    )
    summary = summarise(points, 3)
    np.testing.assert_array_equal(summary.n_points, [1, 0, 2])
    np.testing.assert_array_equal(summary.energy_mev, [3, 0, 5])
    np.testing.assert_allclose(summary.centre_mm, [22 / 8, 10 / 8])
    np.testing.assert_array_equal(summarise(jnp.zeros((2, 4)), 3).centre_mm, [0, 0])


def test_shares_have_the_sum_and_what_has_it_is_left_alone():
    share = quick_jit(share_points)
    wanted = np.float32([3.7, 0.9, 12.2, 0.0])
    np.testing.assert_array_equal(share(wanted, 15.0), [3, 0, 12, 0])
    np.testing.assert_array_equal(np.sum(share(np.zeros(4, np.float32), 2.0)), 2)
    for total in (1.0, 2.0, 16.0, 1000.0):
        shares = share(wanted, total)
        np.testing.assert_array_equal(np.sum(shares), total)
        assert np.max(np.abs(shares - total * wanted / np.sum(wanted))) <= 1.5

    n_points, threshold = jnp.array([2.0, 0.0, 5.0]), 0.01
    plenty = share_energy(jnp.array([1.0, 0.0, 3.0]), n_points, jnp.float32(8.0), threshold)
    np.testing.assert_allclose(plenty, [2.0, 0.0, 6.0], rtol=1e-6)
    scarce = share_energy(jnp.array([1e-3, 0.0, 3.0]), n_points, jnp.float32(1.0), threshold)
    np.testing.assert_allclose(scarce, [0.02, 0.0, 0.98], rtol=1e-6)
    nothing = share_energy(jnp.array([1.0, 0.0, 1.0]), n_points, jnp.float32(0.0), threshold)
    assert np.all(nothing >= threshold * n_points)
    assert nothing.sum() < 0.071


def test_a_normal_map_removes_mean_scale_and_skew():
    draws = np.random.default_rng(0)
    u = draws.standard_normal((4000, 1))
    noise = draws.gamma(4.0, size=4000) - 4.0
    y = 1.0 + 2.0 * u[:, 0] + u[:, 0] ** 2 + np.exp(0.5 * u[:, 0]) * noise
    features = quadratic(u)
    fitted_map, z = fit_normal_map(features, y)
    np.testing.assert_allclose(fitted_map.log_scale[1], 0.5, atol=0.05)
    for rows in (u[:, 0] > 0.5, u[:, 0] < -0.5):
        assert abs(z[rows].mean()) < 0.12
        assert abs(z[rows].std() - 1.0) < 0.1
    assert abs(np.mean(z**3)) < 0.1 < np.mean(((noise - noise.mean()) / noise.std()) ** 3)
    there = quick_jit(jax.vmap(to_normal, (None, 0, 0)))(fitted_map, features, y)
    np.testing.assert_allclose(there, z, atol=1e-3)
    back = quick_jit(jax.vmap(from_normal, (None, 0, 0)))(fitted_map, features, there)
    np.testing.assert_allclose(back, y, atol=1e-4)
