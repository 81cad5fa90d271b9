"""Detectors: numbering, positions and areas of the voxels, against the published numbers."""

import math

import numpy as np
import pytest

from jaxcalo.errors import InputError
from jaxcalo.geometry import (
    GEOMETRIES,
    CartesianLayer,
    Detector,
    PolarLayer,
    load_geometry,
    voxels,
)

# CaloChallenge: voxels of each layer that is read out, layer ids, readout thresholds
PUBLISHED = {
    "ds1-photons": ([8, 160, 190, 5, 5], [0, 1, 2, 3, 12], 1.0),
    "ds1-pions": ([8, 100, 100, 5, 150, 160, 10], [0, 1, 2, 3, 12, 13, 14], 1.0),
    "ds2": ([144] * 45, list(range(45)), 0.01515),
    "ds3": ([900] * 45, list(range(45)), 0.01515),
    "par04_lite": ([48] * 15, list(range(15)), 0.01515),
    "ecal_crystals": ([121], [0], 0.05),
    "ild_ecal": ([10000] * 30, list(range(30)), 0.1),
}
TOTALS = {
    "ds1-photons": 368,
    "ds1-pions": 533,
    "ds2": 6480,
    "ds3": 40500,
    "par04_lite": 720,
    "ecal_crystals": 121,
    "ild_ecal": 300000,
}


@pytest.mark.parametrize("name", GEOMETRIES)
def test_shipped_geometry_has_the_published_numbers(name):
    counts, ids, threshold = PUBLISHED[name]
    detector = load_geometry(name)
    assert detector.name == name
    assert detector.n_voxels == TOTALS[name]
    assert [layer.n_voxels for layer in detector.relevant_layers] == counts
    assert [layer.id for layer in detector.relevant_layers] == ids
    assert detector.threshold_mev == threshold
    np.testing.assert_array_equal(detector.offsets, np.cumsum([0, *counts]))


def test_particles_and_numbers():
    found = {name: (load_geometry(name).particle, load_geometry(name).pid) for name in GEOMETRIES}
    assert found == {
        "ds1-photons": ("photon", 22),
        "ds1-pions": ("pion", 211),
        "ds2": ("electron", 11),
        "ds3": ("electron", 11),
        "par04_lite": ("electron", 11),
        "ecal_crystals": ("photon", 22),
        "ild_ecal": ("photon", 22),
    }


def test_edges_of_the_published_geometries():
    pions = {layer.id: layer for layer in load_geometry("ds1-pions").layers}
    assert len(pions) == 24
    assert pions[1].r_edges_mm == (0, 1, 4, 7, 10, 15, 30, 50, 90, 150, 200)
    assert pions[14].r_edges_mm == (0, 50, 100, 150, 200, 250, 300, 400, 600, 1000, 2000)
    # layer 13 is layer 12 with one more edge at 600 mm
    assert set(pions[13].r_edges_mm) - set(pions[12].r_edges_mm) == {600}
    assert set(pions[12].r_edges_mm) < set(pions[13].r_edges_mm)
    merged = {edge for layer in load_geometry("ds1-photons").layers for edge in layer.r_edges_mm}
    expected = "0,2,4,5,6,8,10,12,15,20,25,30,40,50,60,70,80,90,100,120,130,150,160,200,250,300,"
    assert sorted(merged) == [float(x) for x in (expected + "350,400,600,1000,2000").split(",")]
    for name, step, n_radius, n_azimuth in (("ds2", 4.65, 9, 16), ("ds3", 2.325, 18, 50)):
        for layer in load_geometry(name).layers:
            np.testing.assert_allclose(layer.r_edges_mm, step * np.arange(n_radius + 1), atol=1e-9)
            assert layer.n_azimuth == n_azimuth
    lite = load_geometry("par04_lite").layers[7]
    assert lite == PolarLayer(7, (0, 4.65, 9.3, 13.95, 18.6, 27.9, 41.85), 8)
    (matrix,) = load_geometry("ecal_crystals").layers
    np.testing.assert_allclose(matrix.x_edges_mm, 22 * np.arange(12) - 121)
    assert matrix.x_edges_mm == matrix.y_edges_mm


def test_grid_shapes():
    assert load_geometry("ds2").grid_shape == (45, 16, 9)
    assert load_geometry("ds3").grid_shape == (45, 50, 18)
    assert load_geometry("par04_lite").grid_shape == (15, 8, 6)
    assert load_geometry("ecal_crystals").grid_shape == (11, 11)
    assert not load_geometry("ecal_crystals").is_cylindrical
    photons = load_geometry("ds1-photons")
    assert photons.is_cylindrical
    assert not photons.is_regular
    with pytest.raises(InputError, match="'ds1-photons' has layers of different binning"):
        photons.grid_shape  # noqa: B018


def test_regular_needs_equal_edges_not_only_equal_counts():
    layers = PolarLayer(0, (0.0, 1.0, 2.0), 4), PolarLayer(1, (0.0, 1.0, 3.0), 4)
    assert not Detector("d", "p", 0, layers).is_regular
    assert not Detector("d", "p", 0, (layers[0], PolarLayer(1, (0.0, 1.0, 2.0), 2))).is_regular
    matrix = CartesianLayer(2, (0.0, 1.0), (0.0, 1.0))
    assert not Detector("d", "p", 0, (layers[0], matrix)).is_regular
    assert not Detector("d", "p", 0, (matrix, CartesianLayer(3, (0.0, 1.0), (0.0, 1.0)))).is_regular


def test_voxels_of_a_small_cylinder_by_hand():
    detector = Detector("d", "p", 0, (PolarLayer(3, (0.0,), 7), PolarLayer(5, (0.0, 2.0, 6.0), 4)))
    place = voxels(detector)
    # azimuth -pi..pi in four bins, radius fastest
    azimuth = np.array([-3, -3, -1, -1, 1, 1, 3, 3]) * math.pi / 4
    radius = np.array([1.0, 4.0] * 4)
    np.testing.assert_array_equal(place.layer, np.zeros(8))
    np.testing.assert_allclose(place.azimuth, azimuth)
    np.testing.assert_allclose(place.r_mm, radius)
    np.testing.assert_allclose(place.x_mm, radius * np.cos(azimuth))
    np.testing.assert_allclose(place.y_mm, radius * np.sin(azimuth))
    np.testing.assert_allclose(place.area_mm2, np.array([math.pi, 8 * math.pi] * 4))


def test_voxels_of_a_small_matrix_by_hand():
    detector = Detector("d", "p", 0, (CartesianLayer(0, (-2.0, 0.0, 4.0), (0.0, 1.0, 3.0, 4.0)),))
    place = voxels(detector)
    np.testing.assert_allclose(place.x_mm, [-1, 2, -1, 2, -1, 2])
    np.testing.assert_allclose(place.y_mm, [0.5, 0.5, 2, 2, 3.5, 3.5])
    np.testing.assert_allclose(place.area_mm2, [2, 4, 4, 8, 2, 4])
    np.testing.assert_allclose(place.r_mm, np.hypot(place.x_mm, place.y_mm))
    np.testing.assert_allclose(place.r_mm * np.sin(place.azimuth), place.y_mm)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_areas_of_a_layer_add_up(name):
    detector = load_geometry(name)
    area = np.bincount(voxels(detector).layer, voxels(detector).area_mm2)
    for found, layer in zip(area, detector.relevant_layers, strict=True):
        if isinstance(layer, PolarLayer):
            expected = math.pi * layer.r_edges_mm[-1] ** 2
        else:
            expected = {"ecal_crystals": 242.0, "ild_ecal": 500.0}[name] ** 2
        assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PolarLayer(2, (0.0, 2.0, 2.0), 1), "layer 2: r_edges must increase, found 2 foll"),
        (lambda: PolarLayer(2, (3.0, 2.0), 1), "layer 2: r_edges must increase"),
        (lambda: PolarLayer(2, (0.0, math.nan), 1), "layer 2: r_edges must be finite"),
        (lambda: PolarLayer(2, (-1.0, 2.0), 1), "layer 2: r_edges must not be negative, found -1"),
        (lambda: PolarLayer(2, (), 1), "layer 2: r_edges needs at least one edge"),
        (lambda: PolarLayer(2, (0.0, 1.0), 0), "layer 2: the number of azimuth bins .* found 0"),
        (lambda: CartesianLayer(1, (0.0,), (0.0, 1.0)), "layer 1: x_edges needs at least two"),
        (lambda: CartesianLayer(1, (0.0, 1.0), (1.0, 0.0)), "layer 1: y_edges must increase"),
        (lambda: Detector("d", "p", 0, ()), "'d' has no layer with voxels"),
        (lambda: Detector("d", "p", 0, (PolarLayer(0, (0.0,), 1),)), "'d' has no layer with voxel"),
        (
            lambda: Detector("d", "p", 0, (PolarLayer(4, (0.0, 1.0), 1),) * 2),
            "layer id 4 appears twice",
        ),
        (
            lambda: Detector("d", "p", 0, (PolarLayer(4, (0.0, 1.0), 1),), -1.0),
            "threshold_mev must be .* found -1",
        ),
    ],
)
def test_impossible_layers_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
