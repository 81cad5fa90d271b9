"""The one way to compare two curves: generated over reference, and their ratio below."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from jaxcalo.plots.style import GENERATED, REFERENCE, REFERENCE_FILL, new_figure, style

RATIO_LIMITS = (0.5, 1.5)
BAND_ALPHA, BAND_LABEL = 0.3, "68 % band"
_LEFT, _RIGHT, _TOP, _BOTTOM = 0.72, 0.13, 0.28, 0.46  # room around each panel, inches


class Curve(NamedTuple):
    """Values in bins, both samples; NaN where there is nothing to show.

    Attributes:
        edges: (k + 1,) bin edges.
        reference: (k,) values of the reference.
        reference_error: (k,) their errors.
        generated: (k,) values of the generated sample.
        generated_error: (k,) their errors.
        band: (k,) half widths of the band around the generated values, of an ensemble's members.
    """

    edges: np.ndarray
    reference: np.ndarray
    reference_error: np.ndarray
    generated: np.ndarray
    generated_error: np.ndarray
    band: np.ndarray | None = None


class Panel(NamedTuple):
    """One curve with its labels."""

    curve: Curve
    x_label: str
    y_label: str
    title: str = ""
    log_x: bool = False
    log_y: bool = False


def divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Quotient, NaN where the denominator is not positive."""
    positive = np.where(denominator > 0, denominator, np.nan)
    return numerator / positive


def set_y_range(axes: Axes, panels: Sequence[Panel]) -> None:
    """Choose the scale and range of the values of panels that are drawn on the same axes."""
    curves = [panel.curve for panel in panels]
    tops = [c.generated if c.band is None else c.generated + c.band for c in curves]
    shown = np.concatenate([*(c.reference for c in curves), *tops])
    if panels[0].log_y:
        axes.set_yscale("log")
        shown = shown[np.isfinite(shown) & (shown > 0)]
        if len(shown):
            axes.set_ylim(shown.min() / 2, shown.max() * 3)
        return
    low, top = np.nanmin(shown, initial=0.0), np.nanmax(shown, initial=0.0)
    if top > low:
        axes.set_ylim(min(1.25 * low, 0.0), 1.25 * top)


def draw_reference(axes: Axes, panel: Panel, label: str) -> None:
    """The reference as a filled step with its error band; after set_y_range."""
    curve = panel.curve
    base = axes.get_ylim()[0] if panel.log_y else 0.0
    low, high = curve.reference - curve.reference_error, curve.reference + curve.reference_error
    filled = {"fill": True, "linewidth": 0}
    axes.stairs(curve.reference, curve.edges, baseline=base, color=REFERENCE_FILL, **filled)
    axes.stairs(curve.reference, curve.edges, baseline=None, color=REFERENCE, zorder=2, label=label)
    axes.stairs(high, curve.edges, baseline=low, color=REFERENCE, alpha=0.35, zorder=2, **filled)


def draw_reference_band(axes: Axes, panel: Panel) -> None:
    """The reference's relative error as a band around a ratio of one."""
    curve = panel.curve
    band = np.nan_to_num(divide(curve.reference_error, curve.reference))
    axes.stairs(
        1 + band, curve.edges, baseline=1 - band, fill=True, color=REFERENCE_FILL, linewidth=0
    )
    axes.axhline(1, color=REFERENCE, linewidth=0.8)
    axes.set_ylim(RATIO_LIMITS)
    axes.set_yticks([0.75, 1.0, 1.25])


def draw_band(
    axes: Axes, curve: Curve, centre: np.ndarray, half_width: np.ndarray, colour: str
) -> None:
    """The band of an ensemble as a filled step around its mean, both (k,)."""
    axes.stairs(
        centre + half_width,
        curve.edges,
        baseline=centre - half_width,
        fill=True,
        color=colour,
        alpha=BAND_ALPHA,
        linewidth=0,
        zorder=2.5,
        label=BAND_LABEL,
    )


def _draw_values(axes: Axes, panel: Panel, labels: tuple[str, str]) -> None:
    """The reference, and the generated sample as a line with error bars or a band."""
    curve = panel.curve
    set_y_range(axes, [panel])
    draw_reference(axes, panel, labels[0])
    axes.stairs(
        curve.generated, curve.edges, baseline=None, color=GENERATED, zorder=3, label=labels[1]
    )
    if curve.band is not None:
        draw_band(axes, curve, curve.generated, curve.band, GENERATED)
        return
    axes.errorbar(
        bin_centres(panel),
        curve.generated,
        curve.generated_error,
        fmt="none",
        ecolor=GENERATED,
        elinewidth=0.8,
        zorder=3,
    )


def bin_centres(panel: Panel) -> np.ndarray:
    """Where the error bars stand: the middles of the bins as drawn."""
    left, right = panel.curve.edges[:-1], panel.curve.edges[1:]
    return np.sqrt(left * right) if panel.log_x else (left + right) / 2


def _draw_ratio(axes: Axes, panel: Panel) -> None:
    """Generated over reference; what lies outside the range as triangles at the border."""
    curve, x = panel.curve, bin_centres(panel)
    draw_reference_band(axes, panel)
    ratio = divide(curve.generated, curve.reference)
    error = divide(curve.generated_error, curve.reference)
    if curve.band is not None:
        draw_band(axes, curve, ratio, divide(curve.band, curve.reference), GENERATED)
        error = None
    axes.errorbar(x, ratio, error, fmt="o", color=GENERATED, markersize=2.5, elinewidth=0.8)
    low, high = RATIO_LIMITS
    for outside, y, marker in ((ratio > high, 0.96, "^"), (ratio < low, 0.04, "v")):
        axes.plot(
            x[outside],
            np.full(outside.sum(), low + y * (high - low)),
            marker,
            color=GENERATED,
            markersize=3.5,
        )


def _label_decades(axes: Axes, low: float, high: float) -> None:
    """Label a logarithmic x axis at decades, or at 1, 2, 5, 10, ... where it has few of them."""
    if high < 300 * low and high < 20_000:
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if high >= 5 * low:  # at least two of 1, 2, 5, 10, ... are inside
        axes.xaxis.set_minor_formatter(NullFormatter())


def draw_panel(top: Axes, bottom: Axes, panel: Panel, labels: tuple[str, str]) -> None:
    """Draw a curve and its ratio on two axes that share x.

    Args:
        top: for the values.
        bottom: for the ratio.
        panel: what to draw.
        labels: names of reference and generated sample.
    """
    if panel.log_x:
        top.set_xscale("log")
        bottom.set_xscale("log")
    _draw_values(top, panel, labels)
    _draw_ratio(bottom, panel)
    label_axes(top, bottom, panel)


def label_axes(top: Axes, bottom: Axes, panel: Panel) -> None:
    """Range, ticks and labels of a panel, after its curves are drawn."""
    for axes in (top, bottom):
        axes.set_xlim(panel.curve.edges[0], panel.curve.edges[-1])
        if panel.log_x:
            _label_decades(axes, panel.curve.edges[0], panel.curve.edges[-1])
    top.tick_params(which="both", labelbottom=False)
    top.set_ylabel(panel.y_label)
    top.set_title(panel.title)
    bottom.set_xlabel(panel.x_label)
    bottom.set_ylabel("ratio")


def panel_grid(n_panels: int, n_columns: int) -> tuple[Figure, list[tuple[Axes, Axes]]]:
    """Return a figure with rows of empty panels, in the style of the context it is called in.

    Args:
        n_panels: at least one.
        n_columns: panels in a row at most.

    Returns:
        The figure, and for each panel the axes of the values and, below, of the ratio.
    """
    n_columns = min(n_columns, n_panels)
    n_rows = math.ceil(n_panels / n_columns)
    width, height = (5.2, 4.0) if n_panels == 1 else (3.4, 3.1)
    inner_width, inner_height = width - _LEFT - _RIGHT, height - _TOP - _BOTTOM
    figure = new_figure(width * n_columns, height * n_rows)
    grid = figure.add_gridspec(
        n_rows,
        n_columns,
        left=_LEFT / (width * n_columns),
        right=1 - _RIGHT / (width * n_columns),
        top=1 - _TOP / (height * n_rows),
        bottom=_BOTTOM / (height * n_rows),
        wspace=(_LEFT + _RIGHT) / inner_width,
        hspace=(_TOP + _BOTTOM) / inner_height,
    )
    pairs = []
    for number in range(n_panels):
        cell = grid[divmod(number, n_columns)].subgridspec(
            2, 1, height_ratios=[3, 1.1], hspace=0.06
        )
        top = figure.add_subplot(cell[0])
        bottom = figure.add_subplot(cell[1], sharex=top)
        for axes in (top, bottom):
            axes.yaxis.set_label_coords(-0.52 / inner_width, 0.5)
        pairs.append((top, bottom))
    return figure, pairs


def comparison_figure(
    panels: Sequence[Panel], labels: tuple[str, str], n_columns: int = 3
) -> Figure:
    """Draw panels in rows, each with its ratio below.

    Args:
        panels: at least one.
        labels: names of reference and generated sample.
        n_columns: panels in a row at most.

    Returns:
        The figure.
    """
    with style():
        figure, pairs = panel_grid(len(panels), n_columns)
        for (top, bottom), panel in zip(pairs, panels, strict=True):
            draw_panel(top, bottom, panel, labels)
        pairs[0][0].legend(loc="best")
    return figure
