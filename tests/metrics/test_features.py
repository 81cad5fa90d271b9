"""Features against loops over single voxels, written from the definitions."""

import math

import jax
import numpy as np
import pytest

from jaxcalo.geometry import CartesianLayer, Detector, PolarLayer
from jaxcalo.metrics import Features, apply_threshold, make_tables, moments
from jaxcalo.metrics.tables import outer_radius_mm

REGULAR = Detector(
    "regular", "electron", 11, tuple(PolarLayer(i, (0, 4.65, 9.3, 20), 8) for i in range(4))
)
IRREGULAR = Detector(
    "irregular",
    "photon",
    22,
    (
        PolarLayer(0, (0, 5, 10, 30, 600), 1),
        PolarLayer(1, (0, 2, 4, 8, 40, 200), 10),
        PolarLayer(2, (0,), 1),
        PolarLayer(12, (0, 100, 1000, 2000), 3),
    ),
)
CRYSTALS = Detector(
    "crystals",
    "photon",
    22,
    (CartesianLayer(0, tuple(np.arange(6) * 22.0 + 30), tuple(np.arange(5) * 20.0 - 31)),),
)
THRESHOLD = 0.25


def _energies(detector, n=20):
    key_hit, key_energy = jax.random.split(jax.random.key(7))
    shape = (n, detector.n_voxels)
    energy = np.array(jax.random.exponential(key_energy, shape)) * 3
    energy[np.array(jax.random.uniform(key_hit, shape)) < 0.6] = 0
    energy[3] = 0  # an empty shower
    energy[4, 1:] = 0  # a single hit
    energy[4, 0] = 5
    return energy.astype(np.float32)


def _bins(layer):
    """(x, y, r, area, r_in, r_out) of each voxel of a layer, in file order."""
    bins = []
    if isinstance(layer, CartesianLayer):
        for y_1, y_2 in zip(layer.y_edges_mm, layer.y_edges_mm[1:], strict=False):
            for x_1, x_2 in zip(layer.x_edges_mm, layer.x_edges_mm[1:], strict=False):
                x, y = (x_1 + x_2) / 2, (y_1 + y_2) / 2
                bins.append((x, y, math.hypot(x, y), None, None))
        return bins
    for j in range(layer.n_azimuth):
        azimuth = -math.pi + (j + 0.5) * 2 * math.pi / layer.n_azimuth
        for r_1, r_2 in zip(layer.r_edges_mm, layer.r_edges_mm[1:], strict=False):
            r = (r_1 + r_2) / 2
            bins.append((r * math.cos(azimuth), r * math.sin(azimuth), r, r_1, r_2))
    return bins


def _moments(position, energy):
    total = sum(energy) + 1e-16
    mean = sum(p * e for p, e in zip(position, energy, strict=True)) / total
    # equal to sqrt(max(<p^2> - <p>^2, 0)), without its rounding
    square = sum((p - mean) ** 2 * e for p, e in zip(position, energy, strict=True)) / total
    return mean, math.sqrt(square)


def _slow_shower(detector, shower):
    """All features and observables of one shower as a dictionary of lists and numbers."""
    out = {name: [] for name in Features._fields}
    total, n_hits, x_sum, y_sum, z_sum, first = 0.0, 0, 0.0, 0.0, 0.0, 0
    relevant = [layer for layer in detector.layers if layer.n_voxels]
    for z, layer in enumerate(relevant):
        bins = _bins(layer)
        energy = [float(e) if e >= THRESHOLD else 0.0 for e in shower[first : first + len(bins)]]
        first += len(bins)
        in_layer = sum(energy)
        out["e_layer_mev"].append(in_layer)
        out["sparsity"].append(1 - sum(e > 0 for e in energy) / len(energy))
        r_mean, r_width = _moments([b[2] for b in bins], energy)
        out["centre_r_mm"].append(r_mean)
        out["width_r_mm"].append(r_width)
        if isinstance(layer, CartesianLayer) or layer.n_azimuth > 1:
            for axis, name in ((0, "x"), (1, "y")):
                mean, width = _moments([b[axis] for b in bins], energy)
                out[f"centre_{name}_mm"].append(mean)
                out[f"width_{name}_mm"].append(width)
            x_sum += sum(b[0] * e for b, e in zip(bins, energy, strict=True))
            y_sum += sum(b[1] * e for b, e in zip(bins, energy, strict=True))
        total += in_layer
        n_hits += sum(e > 0 for e in energy)
        z_sum += z * in_layer
    out["e_tot_mev"] = total
    shower_level = {
        "n_hits": n_hits,
        "centre_x_mm": x_sum / (total + 1e-16),
        "centre_y_mm": y_sum / (total + 1e-16),
        "centre_z": z_sum / (total + 1e-16),
    }
    return out, shower_level


@pytest.mark.parametrize("detector", [REGULAR, IRREGULAR, CRYSTALS], ids=lambda d: d.name)
def test_features_equal_the_loops_over_voxels(detector):
    energy = _energies(detector)
    found = moments(apply_threshold(energy, THRESHOLD), make_tables(detector))
    # the width of a single hit is zero only to sqrt(2e-16) of the detector's size
    rounding = 2e-8 * max(outer_radius_mm(layer) for layer in detector.relevant_layers)
    for i, shower in enumerate(energy):
        features, shower_level = _slow_shower(detector, shower)
        for name, value in features.items():
            np.testing.assert_allclose(
                getattr(found.features, name)[i], value, rtol=1e-6, atol=rounding, err_msg=name
            )
        for name, value in shower_level.items():
            np.testing.assert_allclose(
                getattr(found, name)[i], value, rtol=1e-6, atol=1e-6, err_msg=name
            )


def test_rings_of_irregular_layers_share_energy_by_area():
    energy = _energies(IRREGULAR)
    tables = make_tables(IRREGULAR)
    edges = tables.ring_edges_mm
    np.testing.assert_array_equal(edges, [0, 2, 4, 5, 8, 10, 30, 40, 100, 200, 600, 1000, 2000])
    found = moments(apply_threshold(energy, THRESHOLD), tables).ring_energy_mev
    for i, shower in enumerate(energy):
        expected = np.zeros(len(edges) - 1)
        bins = [b for layer in IRREGULAR.layers for b in _bins(layer)]
        for e, (_, _, _, r_1, r_2) in zip(shower, bins, strict=True):
            for k in range(len(edges) - 1):
                low, high = max(r_1, edges[k]), min(r_2, edges[k + 1])
                if high > low and e >= THRESHOLD:
                    expected[k] += e * (high**2 - low**2) / (r_2**2 - r_1**2)
        np.testing.assert_allclose(found[i], expected, rtol=1e-6, atol=1e-9)


def test_rings_of_crystals_count_whole_crystals_by_distance():
    detector = Detector(
        "block", "photon", 22, (CartesianLayer(0, (-33, -11, 11, 33), (-33, -11, 11, 33)),)
    )
    tables = make_tables(detector)
    np.testing.assert_allclose(tables.ring_edges_mm, [0, 11, 33])
    np.testing.assert_allclose(tables.ring_area_mm2, [22 * 22, 8 * 22 * 22])
    energy = np.arange(9, dtype=np.float32)[None] + 1
    found = moments(energy, tables).ring_energy_mev
    np.testing.assert_allclose(found, [[5, 45 - 5]])


def test_an_empty_shower_has_zero_centres_and_widths_and_full_sparsity():
    found = moments(np.zeros((1, REGULAR.n_voxels), np.float32), make_tables(REGULAR))
    assert np.all(found.features.sparsity == 1)
    for values in (*found.features[:-1], *found[1:]):
        assert np.all(values == 0)


def test_widths_far_from_the_origin_keep_their_digits():
    x = 1e7 + 22 * np.arange(4)
    detector = Detector("far", "photon", 22, (CartesianLayer(0, tuple(x), (0.0, 22.0)),))
    found = moments(np.array([[1, 1, 0], [0, 7, 0]], np.float32), make_tables(detector))
    np.testing.assert_allclose(found.features.width_x_mm, [[11], [0]], atol=1e-6)
    np.testing.assert_allclose(found.features.centre_x_mm, [[1e7 + 22], [1e7 + 33]], rtol=1e-12)


def test_the_threshold_keeps_a_voxel_written_at_it():
    at = np.float32(0.01515)
    energy = np.array([[at, np.nextafter(at, np.float32(0)), 0.02]], np.float32)
    np.testing.assert_array_equal(apply_threshold(energy, 0.01515), [[at, 0, np.float32(0.02)]])
