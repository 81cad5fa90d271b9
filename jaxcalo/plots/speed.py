"""Figures of benchmarks: rates against sizes as lines, and shares as bars."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from jaxcalo.plots.style import MARKERS, REFERENCE, SERIES, new_figure, style

Line = tuple[Sequence[float], Sequence[float]]


def rate_figure(
    lines: Mapping[str, Line], x_label: str, y_label: str, ideal: Line | None = None
) -> Figure:
    """Draw rates against batch or devices, both axes logarithmic.

    Args:
        lines: (x, y) of each name; they are drawn in the order of x.
        x_label: What x is, with its unit.
        y_label: What y is, with its unit.
        ideal: What is dashed: the rate that would be reached without loss.
    """
    with style():
        figure = new_figure(6.5, 3.4)
        figure.set_layout_engine("constrained")
        axes = figure.subplots()
        for number, (name, points) in enumerate(lines.items()):
            x, y = zip(*sorted(zip(*points, strict=True)), strict=True)
            color, marker = SERIES[number % len(SERIES)], MARKERS[number % len(MARKERS)]
            axes.loglog(x, y, color=color, marker=marker, markersize=4, label=name)
        if ideal is not None:
            axes.loglog(*ideal, color=REFERENCE, linestyle="--", linewidth=1.0, label="ideal")
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        figure.legend(loc="outside right upper")
    return figure


def bar_figure(bars: Mapping[str, float], label: str, *, logarithmic: bool = False) -> Figure:
    """Draw one horizontal bar for each name, the first at the top.

    Args:
        bars: The lengths.
        label: What they are, with their unit.
        logarithmic: For lengths of different magnitude.
    """
    with style():
        figure = new_figure(6.5, 0.8 + 0.28 * len(bars))
        figure.set_layout_engine("constrained")
        axes = figure.subplots()
        drawn = axes.barh(list(bars), list(bars.values()), color=SERIES[1])
        axes.bar_label(drawn, [f"{value:.3g}" for value in bars.values()], padding=3, fontsize=8)
        axes.set_xscale("log" if logarithmic else "linear")
        axes.margins(x=0.15)
        axes.invert_yaxis()
        axes.set_xlabel(label)
    return figure
