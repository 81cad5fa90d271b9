"""Symmetries, coordinates and neighbours of cylinders and matrices."""

import numpy as np
import pytest

from jaxcalo.errors import InputError
from jaxcalo.geometry import (
    GEOMETRIES,
    CartesianLayer,
    Detector,
    PolarLayer,
    coordinate_channels,
    load_geometry,
    neighbours,
    symmetries,
    voxels,
)

N_SYMMETRIES = {
    "ds1-photons": 20,
    "ds1-pions": 20,
    "ds2": 32,
    "ds3": 100,
    "par04_lite": 16,
    "ecal_crystals": 8,
    "ild_ecal": 8,
}
MIXED = Detector(
    "mixed", "p", 0, (PolarLayer(0, (0.0, 1.0), 4), CartesianLayer(1, (0.0, 1.0), (0.0, 1.0)))
)


def cylinder(*n_azimuth):
    layers = tuple(PolarLayer(id_, (0.0, 1.0, 3.0), n) for id_, n in enumerate(n_azimuth))
    return Detector("cylinder", "p", 0, layers)


def matrix(x_edges, y_edges):
    return Detector("matrix", "p", 0, (CartesianLayer(0, x_edges, y_edges),))


@pytest.mark.parametrize("name", GEOMETRIES)
def test_symmetries_are_isometries_of_the_layers(name):
    detector = load_geometry(name)
    group = symmetries(detector)
    place = voxels(detector)
    assert group.dtype == np.int32
    assert group.shape == (N_SYMMETRIES[name], detector.n_voxels)
    assert len(np.unique(group, axis=0)) == len(group)
    np.testing.assert_array_equal(group[0], np.arange(detector.n_voxels))
    everything = np.arange(detector.n_voxels)
    # distances between 200 pairs of voxels of a layer do not change
    first = np.linspace(0, detector.n_voxels - 1, 200).astype(int)
    second = np.asarray([np.flatnonzero(place.layer == place.layer[v])[v % 5] for v in first])
    binned = np.asarray([layer.grid_shape[0] > 1 for layer in detector.relevant_layers])
    kept = binned[place.layer[first]]
    distance = np.hypot(
        place.x_mm[first] - place.x_mm[second], place.y_mm[first] - place.y_mm[second]
    )
    for permutation in group:
        np.testing.assert_array_equal(np.sort(permutation), everything)
        np.testing.assert_array_equal(place.layer[permutation], place.layer)
        np.testing.assert_allclose(place.r_mm[permutation], place.r_mm)
        np.testing.assert_allclose(place.area_mm2[permutation], place.area_mm2)
        a, b = permutation[first], permutation[second]
        moved = np.hypot(place.x_mm[a] - place.x_mm[b], place.y_mm[a] - place.y_mm[b])
        np.testing.assert_allclose(moved[kept], distance[kept], atol=1e-9)


def test_symmetries_turn_all_layers_by_the_same_angle():
    detector = cylinder(4, 8)
    place = voxels(detector)
    turns = symmetries(detector)[:4]
    for turn in turns:
        angle = (place.azimuth[turn] - place.azimuth) % (2 * np.pi)
        np.testing.assert_allclose(angle, angle[0], atol=1e-9)
    mirror = symmetries(detector)[4]
    total = (place.azimuth[mirror] + place.azimuth) % (2 * np.pi)
    np.testing.assert_allclose(np.cos(total), 1.0)


@pytest.mark.parametrize(
    ("n_azimuth", "n_symmetries"),
    [((1, 1), 1), ((2, 1), 2), ((3,), 6), ((4, 6), 4), ((2, 3), 2), ((5, 1, 10), 10)],
)
def test_number_of_symmetries_of_unequal_layers(n_azimuth, n_symmetries):
    group = symmetries(cylinder(*n_azimuth))
    assert len(np.unique(group, axis=0)) == len(group) == n_symmetries


@pytest.mark.parametrize(
    ("x_edges", "y_edges", "n_symmetries"),
    [
        ((-1.0, 0.0, 1.0), (-1.0, 0.0, 1.0), 8),
        ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), 4),
        ((-1.0, 0.0, 1.0), (-2.0, 1.0, 2.0), 2),
        ((0.0, 1.0, 3.0), (0.0, 1.0, 3.0), 2),
        ((0.0, 1.0, 3.0), (0.0, 1.0, 4.0), 1),
        ((-1.0, 1.0), (-2.0, 0.0, 2.0), 2),
    ],
)
def test_number_of_symmetries_of_matrices(x_edges, y_edges, n_symmetries):
    detector = matrix(x_edges, y_edges)
    group = symmetries(detector)
    place = voxels(detector)
    assert len(group) == n_symmetries
    for permutation in group:
        np.testing.assert_allclose(place.r_mm[permutation], place.r_mm)
        np.testing.assert_allclose(place.area_mm2[permutation], place.area_mm2)


def test_symmetries_form_a_group():
    for detector in (cylinder(3, 6), matrix((-1.0, 0.0, 1.0), (-1.0, 0.0, 1.0))):
        group = symmetries(detector)
        known = {tuple(row) for row in group}
        assert {tuple(left[right]) for left in group for right in group} == known


def test_channels_of_a_cylinder():
    channels = coordinate_channels(load_geometry("ds2"))
    assert channels.shape == (45, 16, 9, 2)
    assert channels.dtype == np.float32
    # equal bins: centres 1/2, 3/2, ... in units of the last, 17/2
    np.testing.assert_allclose(channels[3, 5, :, 0], np.arange(1, 18, 2) / 17, rtol=1e-6)
    np.testing.assert_allclose(channels[:, 2, 4, 1], np.arange(45) / 45, rtol=1e-6)
    assert (np.ptp(channels, axis=1) == 0).all()


def test_channels_of_a_matrix():
    channels = coordinate_channels(load_geometry("ecal_crystals"))
    assert channels.shape == (11, 11, 2)
    assert channels.dtype == np.float32
    expected = (np.arange(11) - 5) / 5.5
    np.testing.assert_allclose(channels[:, 3, 0], expected, atol=1e-6)
    np.testing.assert_allclose(channels[7, :, 1], expected, atol=1e-6)


def test_channels_and_symmetries_of_what_has_none():
    with pytest.raises(InputError, match="different binning"):
        coordinate_channels(MIXED)
    with pytest.raises(InputError, match="'mixed' has polar layers"):
        symmetries(MIXED)


def test_neighbours_of_a_cylinder_by_hand():
    # two layers of 3 azimuth x 2 radius: voxel = 6 layer + 2 azimuth + radius
    table = neighbours(cylinder(3, 3))
    assert table.dtype == np.int32
    np.testing.assert_array_equal(table[0], [4, 2, -1, 1, -1, 6])
    np.testing.assert_array_equal(table[5], [3, 1, 4, -1, -1, 11])
    np.testing.assert_array_equal(table[8], [6, 10, -1, 9, 2, -1])


def test_neighbours_name_nobody_twice_nor_oneself():
    table = neighbours(cylinder(1, 2))
    np.testing.assert_array_equal(table[0], [-1, -1, -1, 1, -1, -1])
    np.testing.assert_array_equal(table[2], [-1, 4, -1, 3, -1, -1])


def test_neighbours_of_a_matrix_by_hand():
    table = neighbours(matrix((0.0, 1.0, 2.0, 3.0), (0.0, 1.0, 2.0)))
    np.testing.assert_array_equal(
        table,
        [
            [-1, 3, -1, 1],
            [-1, 4, 0, 2],
            [-1, 5, 1, -1],
            [0, -1, -1, 4],
            [1, -1, 3, 5],
            [2, -1, 4, -1],
        ],
    )


@pytest.mark.parametrize("name", GEOMETRIES)
def test_neighbourhood_is_mutual(name):
    table = neighbours(load_geometry(name))
    voxel = np.repeat(np.arange(len(table)), table.shape[1])
    pairs = np.stack([voxel, table.ravel()])[:, table.ravel() >= 0]
    code = np.sort(pairs[0] * len(table) + pairs[1])
    np.testing.assert_array_equal(code, np.sort(pairs[1] * len(table) + pairs[0]))
    assert (np.diff(code) > 0).all()
    assert (pairs[0] != pairs[1]).all()
