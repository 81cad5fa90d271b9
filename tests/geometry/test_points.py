"""Projection of points to cells and back, against a slow and obvious twin."""

import numpy as np
import pytest

from jaxcalo.errors import InputError
from jaxcalo.geometry import (
    CartesianLayer,
    Detector,
    load_geometry,
    project_cells,
    project_voxels,
    voxels,
    voxels_to_points,
)

GRID = tuple(0.1 * i - 0.3 for i in range(8))
UNEVEN = Detector(
    "uneven",
    "photon",
    22,
    (
        CartesianLayer(0, GRID, (-1.0, 0.0, 2.0)),
        CartesianLayer(1, (-0.5, 0.5), (0.0, 0.25, 0.5, 1.0)),
        CartesianLayer(2, GRID, (-1.0, 0.0, 2.0)),
    ),
    threshold_mev=0.7,
)


def some_points(n=3000, seed=0):
    generator = np.random.default_rng(seed)
    low, high = [-0.5, -1.5, -1.0, 0.0], [0.6, 2.5, 4.0, 1.0]
    points = generator.uniform(low, high, (n, 4)).astype(np.float32)
    points[:, 2] = np.floor(points[:, 2])
    # many on an edge
    points[::3, 0] = generator.choice(np.float32(GRID), len(points[::3]))
    points[::4, 1] = generator.choice(np.float32([-1, 0, 0.25, 0.5, 1, 2]), len(points[::4]))
    return points, generator.integers(0, 5, n)


def twin(points, shower, detector, threshold):
    """Sums by cell, one point after the other."""
    sums = {}
    for (x, y, layer, energy), row in zip(points, shower, strict=True):
        if not 0 <= layer < detector.n_layers:
            continue
        edges = detector.relevant_layers[int(layer)]
        for i in range(len(edges.x_edges_mm) - 1):
            for j in range(len(edges.y_edges_mm) - 1):
                x_low, x_high = np.float32(edges.x_edges_mm[i : i + 2])
                y_low, y_high = np.float32(edges.y_edges_mm[j : j + 2])
                if x_low <= x < x_high and y_low <= y < y_high:
                    cell = (int(row), int(layer), j, i)
                    sums[cell] = sums.get(cell, 0.0) + float(energy)
    return {cell: energy for cell, energy in sorted(sums.items()) if energy >= threshold}


@pytest.mark.parametrize("threshold", [None, 0.0, 30.0])
def test_cells_are_those_of_the_twin(threshold):
    points, shower = some_points()
    expected = twin(points, shower, UNEVEN, 0.7 if threshold is None else threshold)
    found = project_cells(points, shower, UNEVEN, threshold)
    assert list(zip(found.shower, found.layer, strict=True)) == [cell[:2] for cell in expected]
    np.testing.assert_allclose(found.energy_mev, list(expected.values()), rtol=1e-6)
    for (_, layer, j, i), x, y in zip(expected, found.x_mm, found.y_mm, strict=True):
        edges = UNEVEN.layers[layer]
        assert x == pytest.approx(np.mean(edges.x_edges_mm[i : i + 2]), abs=1e-6)
        assert y == pytest.approx(np.mean(edges.y_edges_mm[j : j + 2]), abs=1e-6)


def test_voxels_are_the_cells():
    points, shower = some_points(seed=1)
    dense = project_voxels(points, shower, UNEVEN, 6)
    assert dense.shape == (6, UNEVEN.n_voxels)
    assert dense.dtype == np.float32
    assert not dense[5].any()
    place = voxels(UNEVEN)
    row, voxel = np.nonzero(dense)
    cells = project_cells(points, shower, UNEVEN)
    np.testing.assert_array_equal(row, cells.shower)
    np.testing.assert_array_equal(place.layer[voxel], cells.layer)
    np.testing.assert_array_equal(place.x_mm[voxel].astype(np.float32), cells.x_mm)
    np.testing.assert_array_equal(dense[row, voxel], cells.energy_mev)
    assert cells.energy_mev.min() >= np.float32(0.7)


def test_points_on_an_edge_belong_to_the_cell_above():
    edges = np.float32(GRID)
    points = np.stack([edges, 0 * edges, 0 * edges, 1 + np.arange(8)], axis=1)
    dense = project_voxels(points, np.zeros(8, int), UNEVEN, 1, 0.0).reshape(-1)
    # the first row of cells is y < 0, and the last point is outside
    np.testing.assert_array_equal(dense[:14], [0] * 7 + [1, 2, 3, 4, 5, 6, 7])
    assert not dense[14:].any()
    # a threshold that float32 rounds up still keeps the cell that reaches it
    points[:, 3] = np.float32(0.7)
    assert len(project_cells(points, np.zeros(8, int), UNEVEN).shower) == 7


def test_energy_inside_is_conserved():
    ecal = load_geometry("ild_ecal")
    generator = np.random.default_rng(2)
    points = generator.uniform([-300, -300, 0, 0], [300, 300, 30, 5], (20000, 4))
    points = points.astype(np.float32)
    inside = (np.abs(points[:, :2]) < 250).all(axis=1)
    cells = project_cells(points, np.zeros(20000, int), ecal, 0.0)
    total = cells.energy_mev.sum(dtype=np.float64)
    assert total == pytest.approx(points[inside, 3].sum(dtype=np.float64), rel=1e-6)
    assert 0 < inside.sum() < 20000
    # a layer that is not whole counts as the one below
    np.testing.assert_allclose(
        np.bincount(cells.layer, weights=cells.energy_mev),
        np.bincount(points[inside, 2].astype(int), weights=points[inside, 3]),
        rtol=1e-6,
    )


@pytest.mark.parametrize("name", ["uneven", "ild_ecal"])
def test_points_to_voxels_and_back_is_exact(name):
    detector = UNEVEN if name == "uneven" else load_geometry(name)
    generator = np.random.default_rng(3)
    n_showers = 3
    dense = np.zeros((n_showers, detector.n_voxels), np.float32)
    chosen = generator.integers(0, detector.n_voxels, (n_showers - 1, 20))
    energy = generator.uniform(0.1, 9, chosen.shape)
    np.put_along_axis(dense[: n_showers - 1], chosen, energy.astype(np.float32), axis=1)
    points, n_points = voxels_to_points(dense, detector)
    assert n_points[-1] == 0
    np.testing.assert_array_equal(n_points, (dense > 0).sum(axis=1))
    shower = np.repeat(np.arange(n_showers), n_points)
    again = project_voxels(points, shower, detector, n_showers, 0.0)
    np.testing.assert_array_equal(again, dense)
    # and the order of points does not matter
    order = generator.permutation(len(points))
    cells = project_cells(points[order], shower[order], detector, 0.0)
    columns = [cells.x_mm, cells.y_mm, cells.layer, cells.energy_mev]
    np.testing.assert_array_equal(np.stack(columns, axis=1), points)


def test_voxels_of_a_cylinder_become_points():
    detector = load_geometry("par04_lite")
    dense = np.zeros((1, 720), np.float32)
    dense[0, [5, 700]] = 2.0, 3.0
    points, _ = voxels_to_points(dense, detector)
    place = voxels(detector)
    expected = [[place.x_mm[v], place.y_mm[v], v // 48, dense[0, v]] for v in (5, 700)]
    np.testing.assert_allclose(points, expected, rtol=1e-6)


def test_no_points_are_no_cells():
    cells = project_cells(np.zeros((0, 4)), np.zeros(0, int), UNEVEN)
    assert all(len(column) == 0 for column in cells)
    assert not project_voxels(np.zeros((0, 4)), np.zeros(0, int), UNEVEN, 2).any()


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ([0, 0, 0, np.nan], "finite and their energies not negative, found others among 2"),
        ([np.inf, 0, 0, 1], "finite"),
        ([0, 0, 0, -1], "not negative"),
    ],
)
def test_points_that_are_none(point, message):
    with pytest.raises(InputError, match=message):
        project_cells(np.asarray([[0, 0, 0, 1], point]), np.zeros(2, int), UNEVEN)


def test_other_geometries():
    with pytest.raises(InputError, match="'par04_lite' has polar layers, expected crystal"):
        project_cells(np.zeros((1, 4)), np.zeros(1, int), load_geometry("par04_lite"))
    with pytest.raises(InputError, match=r"shape \(n, 31\) for geometry 'uneven', found \(2, 30\)"):
        voxels_to_points(np.zeros((2, 30)), UNEVEN)
