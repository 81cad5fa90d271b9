"""Bands of members in figures and tables: their widths, what they cover, and where they stand."""

import jax
import numpy as np
import pytest
from lepton_samples import lepton_events

from jaxcalo.data import Showers
from jaxcalo.data.toy import toy_showers
from jaxcalo.geometry import Detector, PolarLayer
from jaxcalo.metrics import condense, error_band, evaluate, four_lepton_table, histogram_band
from jaxcalo.metrics.bands import ONE_SIGMA, band_coverage
from jaxcalo.plots import (
    Curve,
    Panel,
    banded_panels,
    bands_coverage,
    comparison_figure,
    panel_groups,
    thesis_table,
)
from jaxcalo.plots.cloud_comparison import overlay_figure
from jaxcalo.plots.comparison import BAND_LABEL
from jaxcalo.plots.four_lepton import lepton_coverage, spectrum_panels
from jaxcalo.plots.histograms import histogram_panel

DETECTOR = Detector(
    "cylinder", "electron", 11, tuple(PolarLayer(i, (0, 5, 10, 20), 4) for i in range(3)), 0.5
)
EDGES = np.array([0.0, 1, 2, 3])
RNG = np.random.default_rng(0)


def panel(generated, log=False):
    values = np.asarray(generated, float)
    reference = np.array([4.0, 2.0, 0.0])
    return Panel(Curve(EDGES, reference, 0.1 * reference, values, 0.1 * values), "x", "y", "", log)


def bands_of(axes):
    return [p.get_data() for p in axes.patches if p.get_label() == BAND_LABEL]


MEMBERS = [panel([3.0, 2.0, 1.0]), panel([5.0, 2.0, 3.0])]


def test_one_member_changes_nothing():
    assert banded_panels(lambda member: [member], MEMBERS[:1]) == MEMBERS[:1]


def test_bands_are_drawn_around_the_mean_and_its_ratio():
    panels = banded_panels(lambda member: [member], MEMBERS)
    half = error_band(np.array([[3.0, 2, 1], [5, 2, 3]])).half_width
    top, bottom = comparison_figure(panels, ("a", "b")).axes
    (band,) = bands_of(top)
    np.testing.assert_allclose(band.values, [4 + half[0], 2, 2 + half[2]])
    np.testing.assert_allclose(band.baseline, [4 - half[0], 2, 2 - half[2]])
    assert top.get_ylim()[1] > 4 + half[0]
    assert [t.get_text() for t in top.get_legend().get_texts()] == ["a", "b", BAND_LABEL]
    (ratio,) = bands_of(bottom)
    np.testing.assert_allclose(ratio.values, [1 + half[0] / 4, 1, np.nan])
    assert not top.collections + bottom.collections  # no error bars


def test_of_several_samples_those_with_members_have_bands():
    panels = banded_panels(lambda member: [member], MEMBERS)
    figure = overlay_figure({"one": MEMBERS[:1], "five": panels}, "Geant4")
    assert [len(bands_of(axes)) for axes in figure.axes] == [1, 1, 0, 0]
    assert BAND_LABEL in [t.get_text() for t in figure.axes[2].get_legend().get_texts()]


def test_coverage_of_a_histogram_is_that_of_its_bins():
    truth, *members = RNG.standard_normal((6, 900)) + 0.1 * RNG.standard_normal((6, 1))
    panels = banded_panels(lambda member: [histogram_panel(truth, member, "x")], members)
    edges = panels[0].curve.edges
    mean, half_width = histogram_band(members, edges)
    np.testing.assert_allclose(panels[0].curve.generated, mean)
    np.testing.assert_allclose(panels[0].curve.band, half_width)
    found, expected = bands_coverage(panels, 1.0), band_coverage(truth, members, edges)
    assert found.n == expected.n
    # Poisson's error here, the binomial one there
    assert found.value == pytest.approx(expected.value, abs=1.5 / found.n)
    short = [member[:90] for member in members]  # a tenth of the entries, errors from the larger
    panels = banded_panels(lambda member: [histogram_panel(truth, member, "x")], short)
    mean, half_width = histogram_band(short, edges)
    inside = np.abs(panels[0].curve.reference - mean) <= np.sqrt(half_width**2 + mean / 900)
    used = (mean > 0) | (panels[0].curve.reference > 0)
    assert bands_coverage(panels, 0.1).value == pytest.approx(inside[used].mean())


@pytest.fixture(scope="module")
def samples():
    """The reference and three members whose energies scatter by a tenth."""
    found = []
    for seed, scale in enumerate((1.0, 0.9, 1.0, 1.1)):
        showers = toy_showers(jax.random.key(seed), DETECTOR, 60)
        scaled = Showers(showers.incident_energy_mev, showers.voxel_energy_mev * scale)
        found.append(condense([scaled], DETECTOR, source=f"{seed}.h5"))
    return found


def test_every_panel_of_a_shower_report_has_a_band(samples):
    reference, *members = samples
    groups = panel_groups(reference, members, DETECTOR)
    single = panel_groups(reference, members[:1], DETECTOR)
    assert [g.name for g in groups] == [g.name for g in single]
    panels = [p for group in groups for p in group.panels]
    assert all(np.nanmax(p.curve.band) > 0 for p in panels)
    assert all(p.curve.band is None for group in single for p in group.panels)
    layers = [m.moments.features.e_layer_mev.mean(axis=0) for m in members]
    mean, half_width = error_band(np.stack(layers))
    np.testing.assert_allclose(panels[0].curve.generated, mean)
    np.testing.assert_allclose(panels[0].curve.band, half_width)
    assert bands_coverage(panels, 1.0).value > 0.5


def test_distances_of_members_have_the_band_of_their_values(samples):
    reference, *members = samples
    found = evaluate(reference, members[0], DETECTOR, members[1:])
    alone = [evaluate(reference, member, DETECTOR) for member in members]
    assert found.members == ("2.h5", "3.h5")
    for name, score in found.observables.items():
        values = np.array([one.observables[name].w1.value for one in alone])
        mean, half_width = error_band(values)
        assert score[:2] == alone[0].observables[name][:2]
        assert score.members is not None
        np.testing.assert_allclose(score.members[:2], [mean, half_width], rtol=1e-9)
    assert "members" not in alone[0].to_json()["observables"]["n_hits"]


def test_four_lepton_members():
    reference, *members = (lepton_events(i, 200, 1 + 0.05 * i) for i in range(4))
    made, further = {"flow": members[0], "b": members[1]}, {"flow": members[1:], "b": ()}
    table = four_lepton_table(reference, made, {}, jax.random.key(0), further)
    first, second = table.rows
    own = four_lepton_table(reference, {"b": members[2]}, {}, jax.random.key(0)).rows[0]
    values = [r.found.scores["w1_mass_gev"].value.value for r in (first, second, own)]
    mean, half_width = error_band(np.array(values))
    np.testing.assert_allclose(first.bands["w1_mass_gev"][:2], [mean, half_width], rtol=1e-9)
    assert not second.bands
    assert "bands" in table.to_json()["rows"][0]
    assert "bands" not in table.to_json()["rows"][1]
    names = [row[0] for row in thesis_table(table).rows]
    assert names[names.index("flow") + 1] == "flow, 3 members"
    assert "b, 1 members" not in names
    coverage = lepton_coverage(reference, made, further)
    assert list(coverage) == ["flow"]
    panels = banded_panels(lambda member: spectrum_panels(reference, member), members)
    assert coverage["flow"].n > sum(len(p.curve.edges) - 1 for p in panels[:5]) / 2
    honest = lepton_coverage(reference, {"x": lepton_events(4, 200)}, {
        "x": [lepton_events(5, 200), lepton_events(6, 200)]
    })  # fmt: skip
    assert honest["x"].value > ONE_SIGMA - 0.05  # fluctuations alone, counted twice
