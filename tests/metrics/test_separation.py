import jax
import numpy as np
import pytest
from scipy import stats

from jaxcalo.data import Showers
from jaxcalo.data.toy import toy_showers
from jaxcalo.geometry import Detector, PolarLayer, load_geometry
from jaxcalo.metrics import condense, separation_power
from jaxcalo.metrics.sample import SPECTRUM_EDGES_MEV
from jaxcalo.metrics.separation import (
    bin_numbers,
    energy_edges,
    ranges,
    ratio_edges,
    rebin,
    separations,
    spectrum_bins,
)
from jaxcalo.metrics.splits import halves
from jaxcalo.metrics.tables import outer_radius_mm

DETECTOR = Detector(
    "small", "electron", 11, tuple(PolarLayer(i, (0, 5, 10, 20), 4) for i in range(3)), 0.5
)


def test_power_of_simple_counts():
    assert separation_power(np.array([3, 5, 2]), np.array([6, 10, 4])) == 0
    assert separation_power(np.array([3, 5, 0]), np.array([0, 0, 4])) == pytest.approx(1)
    # h = (1/2, 1/2), (3/4, 1/4): 1/2 (1/16 / (5/4) + 1/16 / (3/4)) = 1/15
    assert separation_power(np.array([1, 1]), np.array([3, 1])) == pytest.approx(1 / 15)


def test_power_of_empty_histograms():
    assert separation_power(np.zeros(3), np.zeros(3)) == 0
    assert separation_power(np.zeros(3), np.array([0, 1, 0])) == 1


def test_power_of_two_gaussians_equals_the_integral():
    edges = np.linspace(-6, 7, 131)
    middle = np.linspace(-10, 11, 200_001)
    p, q = stats.norm.pdf(middle), stats.norm.pdf(middle, 1, 1.2)
    exact = 0.5 * np.trapezoid((p - q) ** 2 / (p + q), middle)
    n = 400_000
    quantiles = (np.arange(n) + 0.5) / n
    first = np.histogram(stats.norm.ppf(quantiles), edges)[0]
    second = np.histogram(stats.norm.ppf(quantiles, 1, 1.2), edges)[0]
    assert separation_power(first, second) == pytest.approx(exact, rel=2e-3)


def _power_and_spread(p, q, n, m):
    """Expected power of n and m draws from probabilities p and q, and its standard deviation.

    Taylor expansion of 1/2 sum (p - q)^2 / (p + q) with multinomial fluctuations: its gradients are
    u - u^2 / 2 and -u - u^2 / 2 with u = (p - q) / (p + q), its curvatures (1 -+ u)^2 / (p + q).
    """
    u = (p - q) / (p + q)
    power = 0.5 * np.sum((p - q) ** 2 / (p + q))
    power += 0.5 * np.sum(p * (1 - p) * (1 - u) ** 2 / (p + q)) / n
    power += 0.5 * np.sum(q * (1 - q) * (1 + u) ** 2 / (p + q)) / m
    variance = 0.0
    for h, size, slope in ((p, n, u - u**2 / 2), (q, m, -u - u**2 / 2)):
        variance += (np.sum(h * slope**2) - np.sum(h * slope) ** 2) / size
    return power, np.sqrt(variance)


def test_power_of_drawn_gaussians_is_that_of_the_normal_distribution_in_the_same_bins():
    edges = np.linspace(-2.5, 3, 41)  # both lose their tails
    p, q = np.diff(stats.norm.cdf(edges)), np.diff(stats.norm.cdf(edges, 0.5, 1.3))
    n, m = (round(size * h.sum()) for size, h in ((30_000, p), (20_000, q)))
    expected, spread = _power_and_spread(p / p.sum(), q / q.sum(), n, m)
    key_x, key_y = jax.random.split(jax.random.key(3))
    x = np.asarray(jax.random.normal(key_x, (30_000,)))
    y = 0.5 + 1.3 * np.asarray(jax.random.normal(key_y, (20_000,)))
    found = separation_power(np.histogram(x, edges)[0], np.histogram(y, edges)[0])
    assert abs(found - expected) < 4 * spread < 0.2 * expected


def test_ranges_are_those_of_the_challenge_for_its_own_detectors():
    for name in ("ds2", "ds3"):
        layer = load_geometry(name).layers[0]
        assert ranges(outer_radius_mm(layer)) == pytest.approx((30, 30, 42, 20))
    pions = {layer.id: layer for layer in load_geometry("ds1-pions").relevant_layers}
    for number, layer in pions.items():
        official = (500, 400, 1500, 1500) if number in (12, 13, 14) else (100, 100, 500, 500)
        assert ranges(outer_radius_mm(layer)) == official


def test_digits_count_as_a_histogram_does():
    edges = np.linspace(0, 1, 21)
    values = np.array([-0.1, 0, 0.049, 0.05, 0.5, 0.999, 1.0, 1.01, np.nextafter(1, 0)])
    counts = np.bincount(bin_numbers(values, edges), minlength=21)
    np.testing.assert_array_equal(counts[:20], np.histogram(values, edges)[0])
    assert counts[20] == 2


def test_energy_edges_run_from_threshold_to_maximum():
    edges = energy_edges(np.array([0.0, 0.7, 900.0]), 0.5, 40)
    assert len(edges) == 40
    assert (edges[0], edges[-1]) == (0.5, 900)
    np.testing.assert_allclose(edges, np.logspace(np.log10(0.5), np.log10(900), 40), rtol=1e-12)
    assert energy_edges(np.array([0.0, 0.7, 900.0]), 0.0, 40)[0] == 0.7
    for empty in (energy_edges(np.zeros(3), 0.5, 40), energy_edges(np.zeros(3), 0.0, 40)):
        np.testing.assert_allclose(empty[-1], 10 * empty[0])
    single = energy_edges(np.full(3, 0.5), 0.5, 40)
    assert np.all(np.diff(single) > 0)


def test_ratio_edges_follow_a_reference_that_the_usual_range_would_miss():
    np.testing.assert_allclose(ratio_edges(np.array([0.9, 1.1])), np.linspace(0.5, 1.5, 101))
    shifted = ratio_edges(np.full(10, 0.03))
    np.testing.assert_allclose(shifted[[0, -1]], [0.015, 0.045])


def test_voxel_bins_are_the_logarithmic_edges_to_half_a_percent():
    energy = np.array([0.02, 1.0, 7.0, 812.0], np.float32)
    fine = np.histogram(energy, SPECTRUM_EDGES_MEV)[0]
    bins = spectrum_bins(fine, 0.01515)
    wanted = np.geomspace(0.01515, 812.0, 50)
    np.testing.assert_allclose(SPECTRUM_EDGES_MEV[bins], wanted, rtol=0.005)
    assert rebin(fine, bins).sum() == 4  # threshold and maximum lie inside
    assert spectrum_bins(fine, 0.0)[0] == np.flatnonzero(fine)[0]
    assert len(spectrum_bins(np.zeros_like(fine), 0.0)) >= 2


def _sample(seed, scale=1.0, n=400):
    showers = toy_showers(jax.random.key(seed), DETECTOR, n)
    return condense(
        [Showers(showers.incident_energy_mev, showers.voxel_energy_mev * np.float32(scale))],
        DETECTOR,
    )


def test_separations_of_equal_same_and_rescaled_showers():
    reference = _sample(0)
    masks = halves(400)
    equal = separations(reference, reference, DETECTOR, masks)
    assert set(equal) == {
        *("e_ratio", "e_layer", "centre_x", "centre_y", "width_x", "width_y"),
        *("centre_r", "width_r", "sparsity", "e_voxel"),
    }
    assert all(s.value == 0 for s in equal.values())
    assert all(s.floor.value > 0 for s in equal.values())
    same = separations(reference, _sample(1), DETECTOR, masks)
    for name, s in same.items():
        assert s.value < s.floor.value + 4 * s.floor.error, name
    scaled = separations(reference, _sample(0, 1.5), DETECTOR, masks)
    for name in ("e_ratio", "e_voxel"):
        assert not scaled[name].agrees, name
    assert scaled["e_ratio"].value > 0.5
    assert scaled["centre_r"].value < 0.02  # a common factor moves no centre


def test_the_mean_over_layers_is_a_mean_of_histograms():
    first, second = _sample(0), _sample(1)
    found = separations(first, second, DETECTOR, halves(400))["width_r"].value
    edges = np.linspace(0, 20 / 41.85 * 20, 101)
    powers = [
        separation_power(*(np.histogram(s.moments.features.width_r_mm[:, i], edges)[0] for s in p))
        for p in [(first, second)]
        for i in range(3)
    ]
    assert found == pytest.approx(np.mean(powers))


def test_a_dead_generator_separates_completely():
    dead = condense(
        [Showers(np.full(50, 1e4, np.float32), np.zeros((50, 36), np.float32))], DETECTOR
    )
    found = separations(_sample(0), dead, DETECTOR, halves(400, 50))
    assert found["e_ratio"].value == found["e_layer"].value == found["e_voxel"].value == 1
    assert all(0 <= s.value <= 1 for s in found.values())
