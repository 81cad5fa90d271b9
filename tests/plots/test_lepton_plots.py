import jax
import numpy as np
import pytest
from lepton_samples import lepton_events, with_energy

from jaxcalo.data import LeptonEvents
from jaxcalo.errors import InputError
from jaxcalo.metrics import (
    LeptonCost,
    Worth,
    four_lepton_table,
    lepton_observables,
    pearson,
    sparse_columns,
)
from jaxcalo.metrics.estimate import Estimate
from jaxcalo.plots import (
    amplification_figure,
    column_table,
    four_lepton_pictures,
    lepton_correlation_figure,
    lepton_spectrum_figure,
    lepton_verdict,
    overlap_table,
    slot_table,
    thesis_table,
)
from jaxcalo.plots.four_lepton import momentum_panels, spectrum_panels

N = 1000
REFERENCE = lepton_events(0, N)
SAMPLES = {"flow": lepton_events(1, N), "GAN": lepton_events(2, N, 1.3)}


@pytest.fixture(scope="module")
def table():
    costs = {"flow": LeptonCost(61.0, 1.5, None)}
    return four_lepton_table(REFERENCE, SAMPLES, costs, jax.random.key(0))


def test_spectra_are_fractions_of_all_events_with_poisson_errors():
    whole = SAMPLES["flow"]
    none = with_energy(whole, 0, -whole.momentum_gev[:, 1:, 0].sum(axis=1))
    half = (np.arange(N) < N // 2)[:, None, None]
    mixed = LeptonEvents(whole.pdg, np.where(half, none.momentum_gev, whole.momentum_gev))
    panels = spectrum_panels(REFERENCE, mixed)
    mass, pt, zed = panels[0].curve, panels[1].curve, panels[5].curve
    assert mass.generated.sum() == pytest.approx(0.5, abs=0.03)  # those without a mass are missing
    np.testing.assert_allclose(mass.reference_error, np.sqrt(mass.reference / N))
    np.testing.assert_allclose(pt.generated_error, np.sqrt(pt.generated / (4 * N)))
    inside = lepton_observables(REFERENCE)["mass_12"]
    inside = ((inside > 66) & (inside < 116)).mean()
    assert zed.reference.sum() == pytest.approx(inside)


def test_momenta_stand_in_rows_of_one_lepton():
    panels = momentum_panels(REFERENCE, SAMPLES["flow"])
    assert [p.x_label for p in panels[3:6]] == [f"$p_{c}$ of lepton 2 [GeV]" for c in "xyz"]
    p3z = REFERENCE.momentum_gev[:, 2, 3]
    expected = np.histogram(p3z, panels[8].curve.edges)[0] / N
    np.testing.assert_allclose(panels[8].curve.reference, expected)


def test_matrices_stand_side_by_side_with_their_distance():
    figure = lepton_correlation_figure(REFERENCE, SAMPLES, "truth")
    drawn = [axes for axes in figure.axes if axes.get_title(loc="left")]
    matrices = [pearson(sparse_columns(e)) for e in (REFERENCE, *SAMPLES.values())]
    for axes, matrix in zip(drawn, matrices, strict=True):
        (mesh,) = axes.collections
        np.testing.assert_allclose(np.reshape(mesh.get_array(), (32, 32)), matrix)
    norms = [np.linalg.norm(m - matrices[0]) for m in matrices[1:]]
    titles = [axes.get_title(loc="left") for axes in drawn]
    assert titles == ["truth", f"flow: {norms[0]:.2f}", f"GAN: {norms[1]:.2f}"]


def test_all_figures_show_all_samples():
    pictures = four_lepton_pictures(REFERENCE, SAMPLES, "truth")
    assert [p.name for p in pictures] == ["spectra", "momenta", "energies", "correlations"]
    for picture, n_panels in zip(pictures[:3], (7, 12, 4), strict=True):
        axes = [a for a in picture.figure.axes if a.get_ylabel() == "ratio"]
        assert len(axes) == n_panels
        texts = [t.get_text() for t in picture.figure.axes[-2].get_legend().get_texts()]
        assert texts == ["truth", "flow", "GAN"]
    with pytest.raises(InputError, match="at least one generated sample to show, found none"):
        lepton_spectrum_figure(REFERENCE, {})


def test_the_table_has_floor_samples_and_thesis(table):
    found = thesis_table(table)
    names = [row[0] for row in found.rows]
    assert names[:3] == ["Pythia with itself (500 events)", "flow", "GAN"]
    assert names[3:] == [
        f"{m}, thesis" for m in ("VAE", "GAN", "normalizing flow", "Gaussian mixture")
    ]
    column = {title: i for i, title in enumerate(found.header)}
    assert found.rows[3][column["W1(m) [GeV]"]] == "71.6"
    assert found.rows[4][column["Frechet [GeV^2]"]] == "3.53e+07"
    assert found.rows[6][column["no mass"]] == "31 %"
    assert found.rows[1][column["no mass"]] == "0 of 1,000"
    assert found.rows[1][column["training [s]"]] == "61"
    assert found.rows[1][column["memory [MB]"]] == "-"
    value = table.rows[1].found.scores["w1_mass_gev"].value
    assert found.rows[2][column["W1(m) [GeV]"]] == f"{value.value:.3g} ± {value.error:.2g}"
    assert found.agrees[2] is False
    coverage = table.rows[0].found.overlap["coverage"]
    shown = [row[column["coverage"]] for row in found.rows]
    assert shown[:2] == [f"{e.value:.3g} ± {e.error:.2g}" for e in (coverage.floor, coverage.value)]
    assert shown[3] == "-"
    assert all(len(row) == len(found.header) for row in found.rows)


def test_slots_and_columns_are_listed(table):
    slots = slot_table(table)
    assert [row[0] for row in slots.rows[-3:]] == [
        "VAE, thesis", "GAN, thesis", "normalizing flow, thesis"
    ]  # fmt: skip
    assert slots.rows[-2][1] == "4.82e+06"
    overlaps = overlap_table(table)
    assert overlaps.header[1:] == ("precision", "recall", "density", "coverage")
    assert [row[0] for row in overlaps.rows] == ["Pythia with itself (500 events)", "flow", "GAN"]
    recall = table.rows[1].found.overlap["recall"].value
    assert overlaps.rows[2][2] == f"{recall.value:.3g} ± {recall.error:.2g}"
    columns = column_table(table.rows[0])
    assert [row[0] for row in columns.rows[:5]] == ["E1", "p1x", "p1y", "p1z", "E2"]
    mean = table.rows[0].found.columns["E1"].mean_generated.value
    assert columns.rows[0][2].startswith(f"{mean:.3g} ± ")


def test_the_verdict_counts(table):
    near = sum(score.agrees for score in table.rows[1].found.scores.values())
    verdict = lepton_verdict(table.rows[1], table)
    assert verdict.startswith(f"GAN: {near} of 21 numbers agree with Pythia")
    assert "no unphysical events" in verdict
    assert "below 11 of" not in lepton_verdict(
        four_lepton_table(REFERENCE, {"x": lepton_events(3, N, 5.0)}, {}, jax.random.key(0)).rows[
            0
        ],
        table,
    )
    assert "below 11 of the thesis's 11 numbers" in lepton_verdict(table.rows[0], table)


def worth(n_generated, inverse, error, n_training=1000):
    nothing = Estimate(1e-3, 1e-4, 1)
    return Worth(n_training, n_generated, 20, Estimate(inverse, error, 1), nothing, nothing)


def test_worth_is_drawn_as_events_and_as_a_limit_where_it_cannot_be_seen():
    curve = [worth(100, 1e-2, 1e-3), worth(10_000, 1e-5, 1e-4)]
    (axes,) = amplification_figure({"flow": curve}).axes
    (container,) = axes.containers
    line, _, (bars,) = container.lines
    np.testing.assert_allclose(line.get_xydata(), [[100, 100]])
    np.testing.assert_allclose(bars.get_segments()[0][:, 1], [90, 110])
    (arrow,) = [one for one in axes.lines if one.get_marker() == 6]
    np.testing.assert_allclose(arrow.get_xydata(), [[10_000, 1 / 2.1e-4]])
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["true events", "training events", "flow"]
    with pytest.raises(InputError, match=r"found training sizes \[1000, 2000\]"):
        amplification_figure({"a": curve, "b": [worth(100, 1e-2, 1e-3, 2000)]})
    with pytest.raises(InputError, match="at least one curve"):
        amplification_figure({})
