import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgba

from jaxcalo.plots import Curve, Panel, comparison_figure
from jaxcalo.plots.style import GENERATED

CURVE = Curve(
    edges=np.array([0.0, 1, 2, 3, 4, 5]),
    reference=np.array([10.0, 20, 4, 0, 8]),
    reference_error=np.array([1.0, 2, 2, 0, 1]),
    generated=np.array([11.0, 18, 10, 3, 1]),
    generated_error=np.array([2.0, 1, 1, 1, 1]),
)


def _ratio_axes(figure):
    return [axes for axes in figure.axes if axes.get_ylabel() == "ratio"]


def _lines(axes, marker):
    return [line for line in axes.lines if line.get_marker() == marker]


def test_the_ratio_is_generated_over_reference_with_the_errors_of_both():
    (axes,) = _ratio_axes(comparison_figure([Panel(CURVE, "x", "y")], ("a", "b")))
    (points,) = _lines(axes, "o")
    np.testing.assert_allclose(points.get_xdata(), [0.5, 1.5, 2.5, 3.5, 4.5])
    np.testing.assert_allclose(points.get_ydata(), [1.1, 0.9, 2.5, np.nan, 0.125])
    (bars,) = axes.collections
    (first, second, *_) = bars.get_segments()
    np.testing.assert_allclose(first[:, 1], [1.1 - 0.2, 1.1 + 0.2])
    np.testing.assert_allclose(second[:, 1], [0.9 - 0.05, 0.9 + 0.05])
    band = axes.patches[0].get_data()
    np.testing.assert_allclose(band.values - 1, [0.1, 0.1, 0.5, 0, 0.125])
    np.testing.assert_allclose(1 - band.baseline, [0.1, 0.1, 0.5, 0, 0.125])


def test_ratios_outside_the_axis_are_marked_at_its_border():
    (axes,) = _ratio_axes(comparison_figure([Panel(CURVE, "x", "y")], ("a", "b")))
    (above,), (below,) = _lines(axes, "^"), _lines(axes, "v")
    np.testing.assert_allclose(above.get_xdata(), [2.5])
    np.testing.assert_allclose(below.get_xdata(), [4.5])
    low, high = axes.get_ylim()
    assert low < below.get_ydata()[0] < 1 < above.get_ydata()[0] < high


def test_values_are_drawn_as_given_and_labelled():
    figure = comparison_figure([Panel(CURVE, "depth", "energy", "here")], ("Geant4", "model"))
    top = figure.axes[0]
    texts = [text.get_text() for text in top.get_legend().get_texts()]
    assert texts == ["Geant4", "model"]
    assert (top.get_title(loc="left"), top.get_ylabel()) == ("here", "energy")
    (generated,) = [p for p in top.patches if p.get_label() == "model"]
    np.testing.assert_array_equal(generated.get_data().values, CURVE.generated)
    assert generated.get_edgecolor() == to_rgba(GENERATED)


@pytest.mark.parametrize("log", [False, True])
def test_empty_curves_can_be_drawn(log):
    zero = np.zeros(3)
    curve = Curve(np.array([1.0, 2, 3, 4]), zero, zero, zero, zero)
    nothing = Curve(np.array([1.0, 2, 3, 4]), *[np.full(3, np.nan)] * 4)
    panels = [Panel(c, "x", "y", "", log, log) for c in (curve, nothing)]
    comparison_figure(panels, ("a", "b")).canvas.draw()


def test_panels_fill_rows_and_drawing_changes_no_global_setting():
    before = dict(mpl.rcParams)
    figure = comparison_figure([Panel(CURVE, "x", "y")] * 4, ("a", "b"), n_columns=3)
    assert len(_ratio_axes(figure)) == 4
    left = sorted({round(axes.get_position().x0, 6) for axes in figure.axes})
    assert len(left) == 3
    assert dict(mpl.rcParams) == before


def test_panels_do_not_overlap_and_stay_inside_the_figure():
    panels = [Panel(CURVE, "a label of x", "fraction of showers", "title")] * 6
    figure = comparison_figure(panels, ("a", "b"))
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    boxes = [axes.get_tightbbox(renderer) for axes in figure.axes]
    for box in boxes:
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
    tops = boxes[0::2]
    for i, one in enumerate(tops):
        assert not any(one.overlaps(other) for other in tops[i + 1 :])
