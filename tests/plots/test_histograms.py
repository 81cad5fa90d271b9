import jax
import numpy as np
import pytest

from jaxcalo.data.toy import toy_showers
from jaxcalo.geometry import Detector, PolarLayer
from jaxcalo.metrics import condense
from jaxcalo.plots.histograms import (
    MAX_BINS,
    busiest_layers,
    cell_spectrum_panel,
    histogram_panel,
    shared_edges,
    width_panels,
)

DETECTOR = Detector(
    "small", "electron", 11, tuple(PolarLayer(i, (0, 5, 10, 20), 4) for i in range(8)), 0.5
)


@pytest.fixture(scope="module")
def pair():
    return [
        condense([toy_showers(jax.random.key(seed), DETECTOR, 150)], DETECTOR) for seed in (0, 1)
    ]


def test_a_histogram_holds_fractions_and_poisson_errors():
    x = np.linspace(0, 1, 100)
    curve = histogram_panel(x, x[:50], "x").curve
    np.testing.assert_allclose(curve.reference.sum(), 1)
    np.testing.assert_allclose(curve.generated.sum(), 1)
    np.testing.assert_allclose(curve.reference_error, np.sqrt(curve.reference / 100))
    np.testing.assert_allclose(curve.generated_error, np.sqrt(curve.generated / 50))
    counts, _ = np.histogram(x, curve.edges)
    np.testing.assert_allclose(curve.reference * 100, counts)


def test_edges_show_the_bulk_and_a_margin():
    x = np.asarray(jax.random.normal(jax.random.key(0), (10_000,)))
    edges = shared_edges(x)
    assert len(edges) == MAX_BINS + 1
    assert edges[0] < np.percentile(x, 0.2) < np.percentile(x, 99.8) < edges[-1]
    assert shared_edges(np.abs(x))[0] >= 0
    logarithmic = shared_edges(np.exp(x), log=True)
    np.testing.assert_allclose(np.log(logarithmic), edges, rtol=1e-4)
    for constant in (np.zeros(9), np.full(9, -3.0)):
        edges = shared_edges(constant)
        assert edges[0] <= constant[0] < edges[-1]
    assert np.all(np.diff(shared_edges(np.zeros(9), log=True)) > 0)


def test_the_cell_spectrum_counts_all_cells_of_a_shower(pair):
    curve = cell_spectrum_panel(*pair).curve
    np.testing.assert_allclose(curve.reference.sum(), pair[0].moments.n_hits.mean())
    energies = pair[0].cells.energy_mev
    counts, _ = np.histogram(energies, curve.edges)
    np.testing.assert_allclose(curve.reference * 150, counts)


def test_layers_shown_divide_the_energy(pair):
    chosen = busiest_layers(pair[0], 3)
    energy = pair[0].moments.features.e_layer_mev.mean(axis=0)
    share = np.cumsum(energy) / energy.sum()
    for layer, middle in zip(chosen, (1 / 6, 1 / 2, 5 / 6), strict=True):
        assert share[layer] >= middle
        assert layer == 0 or share[layer - 1] < middle
    np.testing.assert_array_equal(busiest_layers(pair[0], 8), np.arange(8))


def test_widths_are_those_of_the_layer_with_most_energy(pair):
    busiest = int(np.argmax(pair[0].moments.features.e_layer_mev.mean(axis=0)))
    panels = width_panels(*pair, np.arange(8))
    assert [panel.x_label for panel in panels] == [f"width in {a} [mm]" for a in "xyr"]
    assert {panel.title for panel in panels} == {f"layer {busiest}"}
    width = pair[0].moments.features.width_y_mm[:, busiest]
    expected, _ = np.histogram(width, panels[1].curve.edges)
    np.testing.assert_allclose(panels[1].curve.reference * 150, expected)
    assert len(width_panels(*pair, np.arange(0))) == 1
