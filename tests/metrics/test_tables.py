import numpy as np
import pytest

from jaxcalo.geometry import GEOMETRIES, CartesianLayer, PolarLayer, load_geometry
from jaxcalo.metrics.tables import N_MOMENTS, make_tables, outer_radius_mm


@pytest.mark.parametrize("name", GEOMETRIES)
def test_rings_divide_every_voxel_without_loss(name):
    detector = load_geometry(name)
    tables = make_tables(detector)
    shares = np.concatenate([layer.matrix[:, N_MOMENTS:] for layer in tables.layers])
    assert shares.shape == (detector.n_voxels, len(tables.ring_edges_mm) - 1)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-12)
    assert shares.min() >= 0
    assert np.all(np.diff(tables.ring_edges_mm) > 0)
    assert np.all(tables.ring_area_mm2 > 0)


def test_layers_with_one_azimuth_bin_have_no_direction():
    tables = make_tables(load_geometry("ds1-photons"))
    np.testing.assert_array_equal(tables.azimuthal, [1, 2])
    for i in (0, 3, 4):
        assert not tables.layers[i].matrix[:, 1:3].any()
        assert not tables.layers[i].shift_mm[:2].any()


def test_outer_radius():
    assert outer_radius_mm(PolarLayer(0, (0, 5, 41.85), 4)) == 41.85
    assert outer_radius_mm(CartesianLayer(0, (-7, 0, 3), (-1, 1))) == 7
