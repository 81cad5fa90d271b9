import numpy as np
import pytest

from jaxcalo.geometry import CartesianLayer, Detector, PolarLayer, load_geometry
from jaxcalo.metrics.correlation import Correlation
from jaxcalo.metrics.estimate import Estimate
from jaxcalo.plots import average_figures, correlation_figure
from jaxcalo.plots.showers import azimuth_view, crystal_view, radius_view

LABELS = ("Geant4", "model")
MIXED = Detector(
    "mixed",
    "photon",
    22,
    (
        PolarLayer(0, (0, 1, 3), 4),
        PolarLayer(1, (0, 1, 3), 4),
        PolarLayer(2, (0, 2, 4, 5), 1),
        CartesianLayer(3, (0, 1, 2, 3), (0, 1, 2)),
    ),
)


def _mean(detector):
    return np.arange(detector.n_voxels) + 1.0


def test_radius_view_is_energy_over_area_and_loses_none():
    mean = _mean(MIXED)
    view = radius_view(MIXED, mean, 2 * mean)
    equal, other = view.tiles  # layers 0 and 1 joined, layer 2 apart
    np.testing.assert_array_equal(equal.x_edges, [-0.5, 0.5, 1.5])
    np.testing.assert_array_equal(other.x_edges, [1.5, 2.5])
    total = 0.0
    for tile in view.tiles:
        area = np.pi * np.diff(tile.y_edges**2)
        total += (tile.reference * area[:, None]).sum()
        np.testing.assert_array_equal(tile.generated, 2 * tile.reference)
    np.testing.assert_allclose(total, mean[: MIXED.offsets[3]].sum())
    inner = mean[8:16].reshape(4, 2)[:, 0].sum()
    np.testing.assert_allclose(equal.reference[0, 1], inner / np.pi)


def test_azimuth_view_is_energy_per_radian():
    mean = _mean(MIXED)
    equal, ring, *rest = azimuth_view(MIXED, mean, mean).tiles
    assert not rest
    np.testing.assert_allclose(equal.y_edges, [-np.pi, -np.pi / 2, 0, np.pi / 2, np.pi])
    np.testing.assert_allclose(equal.reference[2, 0], (mean[4] + mean[5]) / (np.pi / 2))
    np.testing.assert_allclose(ring.reference, mean[16:19].sum() / (2 * np.pi))


def test_crystals_lie_with_rows_along_y():
    mean = _mean(MIXED)
    (tile,) = crystal_view(MIXED, mean, mean).tiles
    np.testing.assert_array_equal(tile.reference, mean[19:].reshape(2, 3))
    assert (len(tile.x_edges), len(tile.y_edges)) == (4, 3)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ds1-photons", {"average_radius", "average_azimuth"}),
        ("ecal_crystals", {"average_crystals"}),
    ],
)
def test_figures_fit_the_detector(name, expected):
    detector = load_geometry(name)
    mean = _mean(detector)
    figures = average_figures(detector, mean, mean, LABELS)
    assert set(figures) == expected
    for figure in figures.values():
        titles = [axes.get_title(loc="left") for axes in figure.axes[:3]]
        assert titles == ["Geant4", "model", "model / Geant4"]


def test_the_ratio_picture_shows_the_ratio():
    detector = load_geometry("ecal_crystals")
    mean = _mean(detector)
    generated = mean * np.where(np.arange(121) == 5, 1.5, 1.0)
    mean[7] = 0  # no ratio where the reference is empty
    figure = average_figures(detector, mean, generated, LABELS)["average_crystals"]
    ratio = figure.axes[2].collections[0].get_array().ravel()
    assert ratio[5] == pytest.approx(1.5)
    assert np.ma.getmaskarray(ratio)[7]
    assert np.ma.allclose(np.delete(ratio, [5, 7]), 1)
    energies = figure.axes[0].collections[0].get_array().ravel()
    np.testing.assert_array_equal(energies[8:], mean[8:])


def test_a_dead_generator_can_be_drawn():
    figures = average_figures(MIXED, _mean(MIXED), np.zeros(MIXED.n_voxels), LABELS)
    assert set(figures) == {"average_radius", "average_azimuth", "average_crystals"}
    for figure in figures.values():
        figure.canvas.draw()


def test_the_difference_of_correlations_is_generated_minus_reference():
    reference, generated = np.eye(3), np.eye(3)
    generated[0, 2] = generated[2, 0] = 0.4
    figure = correlation_figure(
        Correlation(reference, generated, 0.0, Estimate(0.0, 0.0, 1)), LABELS
    )
    mesh = figure.axes[2].collections[0]
    np.testing.assert_allclose(mesh.get_array().reshape(3, 3), generated - reference)
    assert mesh.get_clim() == (-0.4, 0.4)
