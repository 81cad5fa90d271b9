from dataclasses import replace

import jax
import numpy as np
import pytest

from jaxcalo.data import Showers
from jaxcalo.data.toy import toy_showers
from jaxcalo.geometry import Detector, PolarLayer
from jaxcalo.metrics import condense, discrete_energies
from jaxcalo.metrics.discrete_energies import discrete_values

ENERGIES = 2.0 ** np.arange(8, 23)


N = 40
DETECTOR = Detector(
    "small", "photon", 22, tuple(PolarLayer(i, (0, 10, 40), 4) for i in range(3)), 0.5
)


def _showers(seed, scale=1.0, energies=ENERGIES):
    """N toy showers at each energy, sorted by energy as the files are."""
    key = jax.random.key(seed)
    parts = [
        toy_showers(jax.random.fold_in(key, i), DETECTOR, N, (e, e)) for i, e in enumerate(energies)
    ]
    energy = np.concatenate([part.voxel_energy_mev for part in parts])
    return Showers(np.repeat(energies, N).astype(np.float32), energy * np.float32(scale))


def _density_power(first, second, edges):
    h1, h2 = (np.histogram(x, edges, density=True)[0] * np.diff(edges) for x in (first, second))
    return 0.5 * np.sum((h1 - h2) ** 2 / (h1 + h2 + 1e-16))


@pytest.mark.parametrize("particle", ["photon", "pion"])
def test_every_energy_has_the_histogram_of_the_challenge(particle):
    detector = replace(DETECTOR, particle=particle)
    showers = [_showers(0, 0.95), _showers(1, 0.97)]
    found = discrete_energies(*(condense([s], detector) for s in showers), detector)
    assert [point.energy_mev for point in found] == ENERGIES.tolist()
    for i, point in enumerate(found):
        narrow = particle == "photon" and i > 3
        edges = np.linspace(0.9, 1.1, 21) if narrow else np.linspace(0.4, 1.4, 21)
        rows = slice(i * N, (i + 1) * N)
        ratios = [s.voxel_energy_mev[rows].astype(float).sum(axis=1) / ENERGIES[i] for s in showers]
        expected = _density_power(*ratios, edges)
        np.testing.assert_allclose(point.separation.value, expected, rtol=1e-9)
        assert 0 < expected < 1
        assert point.n_showers == (N, N)
        assert point.separation.floor.n == N // 2


def test_equal_and_same_samples_agree():
    a, b = (condense([_showers(seed, 0.9)], DETECTOR) for seed in (2, 3))
    assert all(point.separation.value == 0 for point in discrete_energies(a, a, DETECTOR))
    same = discrete_energies(a, b, DETECTOR)
    floors = [point.separation.floor.value for point in same]
    # halves have half of the showers and so about twice the power: 1 / n
    assert 0 < np.mean([point.separation.value for point in same]) < np.mean(floors)


def test_a_continuous_spectrum_has_no_points():
    sample = condense([toy_showers(jax.random.key(4), DETECTOR, N)], DETECTOR)
    assert discrete_energies(sample, sample, DETECTOR) == []
    assert len(discrete_values(np.arange(20.0))) == 20
    assert len(discrete_values(np.arange(21.0))) == 0


def test_energies_without_showers_are_left_out_and_rounded_ones_recognised():
    reference = _showers(5, energies=ENERGIES[:3])
    generated = Showers(
        reference.incident_energy_mev[:50] * np.float32(1 - 1e-6), reference.voxel_energy_mev[:50]
    )
    found = discrete_energies(*(condense([s], DETECTOR) for s in (reference, generated)), DETECTOR)
    points = [(point.energy_mev, *point.n_showers) for point in found]
    assert points == [(256, N, N), (512, N, 10)]


def test_edges_follow_a_detector_that_sees_little_of_the_energy():
    energies = ENERGIES[:4]
    whole = [condense([_showers(seed, 1, energies)], DETECTOR) for seed in (6, 7)]
    part = [condense([_showers(seed, 0.05, energies)], DETECTOR, 0.025) for seed in (6, 7)]
    pairs = zip(
        discrete_energies(*whole, DETECTOR), discrete_energies(*part, DETECTOR), strict=True
    )
    for usual, scaled in pairs:
        # bins scaled by the mean ratio, near 0.05, hold about the same showers
        assert abs(scaled.separation.value - usual.separation.value) < 0.2
        assert scaled.separation.value > 0
