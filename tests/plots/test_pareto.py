import json

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgba

from jaxcalo.errors import InputError
from jaxcalo.metrics import Estimate
from jaxcalo.plots import ParetoFloor, ParetoPoint, pareto_figure, pareto_table
from jaxcalo.plots.style import REFERENCE

FLOOR = ParetoFloor(
    Estimate(0.05, 0.01, 400), Estimate(0.02, 0.004, 400), Estimate(0.003, 0.002, 400)
)


def _point(run, sampler, n, w1, fpd=0.02):
    return ParetoPoint(
        run, sampler, n, 0.5 * n, Estimate(w1, 0.1 * w1, 800), w1 / 2, Estimate(fpd, 0.004, 800)
    )


POINTS = [
    _point("dit", "DDIM", 50, 0.1),
    _point("dit", "DDIM", 10, 0.4, fpd=0.0),
    _point("dit", "Heun", 19, 0.2),
    _point("unet", "DDIM", 10, 0.3),
]


def _panels(figure):
    return np.asarray(figure.axes).reshape(3, 2)


def _curves(axes):
    """Drawn lines by label: x, y and the ends of the error bars."""
    found = {}
    for container in axes.containers:
        line, _, (bars,) = container.lines
        ends = np.asarray([segment[:, 1] for segment in bars.get_segments()])
        found[container.get_label()] = (line.get_xdata(), line.get_ydata(), ends)
    return found


def test_each_run_and_sampler_is_a_line_over_its_evaluations():
    panels = _panels(pareto_figure(POINTS, FLOOR))
    for column, x in enumerate(([10, 50], [5, 25])):
        curves = _curves(panels[0, column])
        assert list(curves) == ["dit, DDIM", "dit, Heun", "unet, DDIM"]
        drawn_x, w1, ends = curves["dit, DDIM"]
        np.testing.assert_allclose(drawn_x, x)
        np.testing.assert_allclose(w1, [0.4, 0.1])
        np.testing.assert_allclose(ends, [[0.36, 0.44], [0.09, 0.11]])
        separation = _curves(panels[1, column])["dit, DDIM"]
        np.testing.assert_allclose(separation[1], [0.2, 0.05])
        np.testing.assert_allclose(separation[2], [[0.2, 0.2], [0.05, 0.05]])
        fpd = _curves(panels[2, column])["unet, DDIM"]
        np.testing.assert_allclose(fpd[1], [20])
        np.testing.assert_allclose(fpd[2], [[16, 24]])


def test_a_vanishing_distance_is_marked_at_the_lower_border():
    axes = _panels(pareto_figure(POINTS, FLOOR))[2, 0]
    np.testing.assert_allclose(_curves(axes)["dit, DDIM"][0], [50])
    low, high = axes.get_ylim()
    (mark,) = [
        line
        for line in axes.lines
        if line.get_markerfacecolor() == "none" and len(line.get_xdata())
    ]
    np.testing.assert_allclose(mark.get_xdata(), [10])
    assert low < mark.get_ydata()[0] < 1.5 * low < high


def test_every_panel_shows_the_floor_with_its_error():
    panels = _panels(pareto_figure(POINTS, FLOOR))
    for row, (value, error) in zip(panels, ((0.05, 0.01), (0.02, 0.004), (3, 2)), strict=True):
        for axes in row:
            (line,) = [x for x in axes.lines if x.get_linestyle() == "--" and len(x.get_ydata())]
            np.testing.assert_allclose(line.get_ydata(), [value, value])
            assert line.get_color() == REFERENCE
            (band,) = axes.patches
            box = band.get_bbox()
            low = max(value - error, axes.get_ylim()[0])
            np.testing.assert_allclose([box.y0, box.y1], [low, value + error])
            assert axes.get_ylim()[0] < value < axes.get_ylim()[1]


def test_axes_are_logarithmic_named_and_hold_all_points():
    panels = _panels(pareto_figure(POINTS, FLOOR))
    for axes in panels.flat:
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    for column, cost in enumerate(([10, 50], [5, 25])):
        for axes in panels[:, column]:
            assert axes.get_xlim()[0] < cost[0]
            assert axes.get_xlim()[1] > cost[1]
    assert panels[0, 0].get_ylim()[1] > 0.44
    assert [axes.get_xlabel() for axes in panels[2]] == [
        "network evaluations per shower",
        "time per shower [ms]",
    ]
    labels = [axes.get_ylabel() for axes in panels[:, 0]]
    assert labels == ["mean W1 [std. dev.]", "mean separation power", "FPD $\\times\\,10^3$"]


def test_ticks_are_plain_numbers():
    figure = pareto_figure([_point("a", "b", n, 0.1) for n in (4, 16)], FLOOR)
    figure.canvas.draw()
    axis, limits = figure.axes[4].xaxis, figure.axes[4].get_xlim()
    shown = [
        text.get_text()
        for place, text in zip(axis.get_majorticklocs(), axis.get_ticklabels(), strict=True)
        if limits[0] <= place <= limits[1]
    ]
    assert shown == ["2", "5", "10", "20"]
    assert not any(text.get_text() for text in axis.get_ticklabels(minor=True))


@pytest.mark.parametrize("n_lines", [1, 25])
def test_lines_differ_and_the_legend_stands_beside_the_panels(n_lines):
    before = dict(mpl.rcParams)
    points = [_point("a rather long name of a run", f"SAMPLER {i}", 8, 0.1) for i in range(n_lines)]
    figure = pareto_figure(points, FLOOR)
    figure.canvas.draw()
    first = figure.axes[0]
    looks = {(to_rgba(c.lines[0].get_color()), c.lines[0].get_marker()) for c in first.containers}
    assert len(looks) == n_lines
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts[0] == "a rather long name of a run, SAMPLER 0"
    assert texts[-1] == "Geant4 vs Geant4"
    assert len(texts) == n_lines + 1
    renderer = figure.canvas.get_renderer()
    box = legend.get_window_extent(renderer)
    panels = [axes.get_tightbbox(renderer) for axes in figure.axes]
    assert max(panel.x1 for panel in panels) <= box.x0
    assert box.x1 <= figure.bbox.x1
    assert box.y0 >= 0
    assert min(panel.width for panel in panels) > 2 * figure.dpi
    assert dict(mpl.rcParams) == before


def test_distances_that_all_vanish_can_be_drawn():
    nothing = Estimate(0.0, 0.0, 10)
    point = ParetoPoint("a", "b", 1, 1.0, nothing, 0.0, nothing)
    figure = pareto_figure([point], ParetoFloor(nothing, nothing, nothing))
    figure.canvas.draw()
    for axes in figure.axes:
        assert not axes.patches
        assert [len(line.get_xdata()) for line in axes.lines if line.get_marker() == "v"] == [1]


def test_table_lists_points_and_floor():
    lines = pareto_table(POINTS[1:2], FLOOR).split("\n")
    assert lines[0].startswith("| run | sampler | evaluations | ms / shower | mean W1 [std. dev.]")
    assert lines[1] == "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    assert lines[2] == ("| dit | DDIM | 10 | 5 | 0.4000 ± 0.0400 | 8.00 | 0.2000 | 0.00 ± 4.00 |")
    assert lines[3] == (
        "| Geant4 | vs Geant4 | - | - | 0.0500 ± 0.0100 | 1.00 | 0.0200 ± 0.0040 | 3.00 ± 2.00 |"
    )
    assert len(lines) == 4


def test_table_keeps_names_in_their_cells_and_divides_by_no_zero():
    floor = FLOOR._replace(w1_mean=Estimate(0.0, 0.0, 400))
    (row,) = pareto_table([_point("a|b", "c", 1, 0.1)], floor).split("\n")[2:3]
    assert row.startswith("| a\\|b | c | 1 | 0.5 | 0.1000 ± 0.0100 | - |")


def test_points_and_floor_become_plain_json():
    assert json.loads(json.dumps(POINTS[0].to_json())) == {
        "run": "dit",
        "sampler": "DDIM",
        "n_evaluations": 50,
        "ms_per_shower": 25.0,
        "w1_mean": {"value": 0.1, "error": pytest.approx(0.01)},
        "separation_mean": 0.05,
        "fpd": {"value": 0.02, "error": 0.004},
    }
    assert FLOOR.to_json()["fpd"] == {"value": 0.003, "error": 0.002}


@pytest.mark.parametrize("draw", [pareto_figure, pareto_table])
def test_what_cannot_be_shown_is_refused(draw):
    with pytest.raises(InputError, match="at least one generated sample"):
        draw([], FLOOR)
    with pytest.raises(InputError, match=r"dit, DDIM: .*found 0 and 0 ms"):
        draw([_point("dit", "DDIM", 0, 0.1)], FLOOR)
    with pytest.raises(InputError, match="nan ms"):
        draw([POINTS[0]._replace(ms_per_shower=float("nan"))], FLOOR)
