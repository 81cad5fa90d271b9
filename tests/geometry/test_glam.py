"""Maps between unequal polar layers and their common grid, from the geometry alone."""

import dataclasses
import math

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from jaxcalo.errors import InputError
from jaxcalo.geometry import (
    CartesianLayer,
    Detector,
    PolarLayer,
    coordinate_channels,
    glam_maps,
    load_geometry,
)
from jaxcalo.geometry.cylindrical import common_r_edges

PHOTONS = "0,2,4,5,6,8,10,12,15,20,25,30,40,50,60,70,80,90,100,120,130,150,160,200,250,300,350,"
PHOTONS += "400,600,1000,2000"
PIONS = "0,1,4,5,7,10,15,20,30,50,80,90,100,130,150,160,200,250,300,350,400,600,1000,2000"

polar_layers = st.builds(
    lambda edges, n: (tuple(sorted(edges)), n),
    st.sets(st.integers(0, 50).map(lambda i: 1.7 * i), min_size=2, max_size=6),
    st.sampled_from([1, 2, 3, 4, 6]),
)
detectors = st.lists(polar_layers, min_size=1, max_size=4).map(
    lambda layers: Detector(
        "made-up", "p", 0, tuple(PolarLayer(i, e, n) for i, (e, n) in enumerate(layers))
    )
)
FOUR_AND_SIX = Detector(
    "four and six", "p", 0, (PolarLayer(0, (0.0, 1.0, 3.0), 4), PolarLayer(1, (1.0, 2.0, 5.0), 6))
)


@pytest.mark.parametrize(
    ("name", "shape", "edges"),
    [("ds1-photons", (5, 10, 30), PHOTONS), ("ds1-pions", (7, 10, 23), PIONS)],
)
def test_common_grid_of_data_set_1(name, shape, edges):
    detector = load_geometry(name)
    maps = glam_maps(detector)
    assert maps.grid_shape == shape
    assert maps.n_voxels == detector.n_voxels
    expected = np.asarray(edges.split(","), float)
    np.testing.assert_array_equal(common_r_edges(detector), expected)


def overlap(fine, coarse):
    """The share of the interval `coarse` that lies in `fine`."""
    return max(0.0, min(fine[1], coarse[1]) - max(fine[0], coarse[0])) / (coarse[1] - coarse[0])


def share_of_area(maps, edges, layer, fine, coarse):
    """The share of a layer's bin (azimuth, radius) that lies in a bin of the grid."""
    (a, j), (b, i) = fine, coarse
    azimuth = overlap(
        (a / maps.grid_shape[1], (a + 1) / maps.grid_shape[1]),
        (b / layer.n_azimuth, (b + 1) / layer.n_azimuth),
    )
    r = layer.r_edges_mm
    area = overlap((edges[j] ** 2, edges[j + 1] ** 2), (r[i] ** 2, r[i + 1] ** 2))
    return azimuth * area


@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(detectors)
@hypothesis.example(FOUR_AND_SIX)
def test_encoder_spreads_energy_over_the_area(detector):
    maps, edges = glam_maps(detector), common_r_edges(detector)
    assert maps.grid_shape[1] == math.lcm(*(layer.n_azimuth for layer in detector.layers))
    for layer, own in zip(detector.layers, maps.layers, strict=True):
        n_fine = maps.grid_shape[1] // layer.n_azimuth
        # the last azimuth of the grid, which lies in the last one of the layer
        for i in range(layer.n_radius):
            for j in range(maps.grid_shape[2]):
                fine, coarse = (maps.grid_shape[1] - 1, j), (layer.n_azimuth - 1, i)
                expected = share_of_area(maps, edges, layer, fine, coarse)
                assert own.encoder[j, i] / n_fine == pytest.approx(expected, abs=1e-6)


@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(detectors)
@hypothesis.example(FOUR_AND_SIX)
@hypothesis.example(load_geometry("ds1-photons"))
@hypothesis.example(load_geometry("ds1-pions"))
def test_decoder_is_the_pseudo_inverse_and_the_encoder_keeps_the_sum(detector):
    maps = glam_maps(detector)
    for layer in maps.layers:
        np.testing.assert_allclose(layer.encoder.sum(axis=0), 1.0, atol=1e-6)
        # W+ W = 1 and W W+ symmetric define the pseudo-inverse of a W of full column rank
        identity = layer.decoder @ layer.encoder
        np.testing.assert_allclose(identity, np.eye(layer.n_radius), atol=1e-6)
        projection = layer.encoder @ layer.decoder
        np.testing.assert_allclose(projection, projection.T, atol=1e-6)


def test_equal_layers_are_left_alone():
    for layer in glam_maps(load_geometry("ds2")).layers:
        np.testing.assert_allclose(layer.encoder, np.eye(9), atol=1e-6)
        np.testing.assert_allclose(layer.decoder, np.eye(9), atol=1e-6)


def test_crystals_have_no_such_maps():
    with pytest.raises(InputError, match="expected a cylinder"):
        glam_maps(load_geometry("ecal_crystals"))
    crystals = CartesianLayer(7, (0.0, 1.0), (0.0, 1.0))
    mixed = dataclasses.replace(FOUR_AND_SIX, layers=(*FOUR_AND_SIX.layers, crystals))
    with pytest.raises(InputError, match="expected a cylinder"):
        glam_maps(mixed)


def test_channels_of_unequal_layers_are_those_of_the_common_grid():
    channels = coordinate_channels(FOUR_AND_SIX, azimuth=True)
    assert channels.shape == (2, 12, 4, 3)
    assert channels.dtype == np.float32
    # edges 0, 1, 2, 3, 5: centres 0.5, 1.5, 2.5, 4
    np.testing.assert_allclose(channels[1, 7, :, 0], [0.125, 0.375, 0.625, 1.0])
    np.testing.assert_array_equal(channels[:, 3, 2, 1], [0.0, 0.5])
    np.testing.assert_allclose(channels[1, :, 2, 2], np.arange(12) / 11, rtol=1e-6)
    np.testing.assert_array_equal(coordinate_channels(FOUR_AND_SIX), channels[..., :2])


def test_crystals_have_no_azimuth_channel():
    with pytest.raises(InputError, match="leave the azimuth out"):
        coordinate_channels(load_geometry("ecal_crystals"), azimuth=True)
