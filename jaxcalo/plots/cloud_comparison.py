"""Several generated samples beside one reference: their distributions, and how far off they are."""

from collections.abc import Mapping, Sequence
from itertools import cycle, islice, product
from typing import Literal, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from jaxcalo.geometry import Detector
from jaxcalo.metrics.estimate import Estimate
from jaxcalo.metrics.sample import Sample
from jaxcalo.plots.comparison import (
    BAND_ALPHA,
    BAND_LABEL,
    Panel,
    bin_centres,
    divide,
    draw_band,
    draw_reference,
    draw_reference_band,
    label_axes,
    panel_grid,
    set_y_range,
)
from jaxcalo.plots.histograms import cell_spectrum_panel, energy_panels, hit_panels
from jaxcalo.plots.profiles import mean_layer_panel, mean_ring_panel
from jaxcalo.plots.style import MARKERS, REFERENCE, REFERENCE_FILL, SERIES, new_figure, style

Dashes = Literal["solid", "dashed", "dotted"]

_DASHES: tuple[Dashes, ...] = (
    "solid",
    "dashed",
    "dotted",
)  # beyond as many samples as there are colours
_LINEAR = 1.0  # hundredths of a standard deviation: the part of the axis that is linear
_ROW, _WIDTH, _MARGIN, _LOWEST = 0.135, 7.6, 0.8, 3.2  # inches: of a sample, and around
_TICKS = (0, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)


class Look(NamedTuple):
    """How a sample is drawn in all figures of a comparison."""

    colour: str
    dashes: Dashes
    marker: str


def looks(names: Sequence[str]) -> dict[str, Look]:
    """Give each sample its look, in the order given."""
    drawn = islice(cycle(product(_DASHES, SERIES)), len(names))
    return {
        name: Look(colour, dashes, marker)
        for name, (dashes, colour), marker in zip(names, drawn, cycle(MARKERS), strict=False)
    }


def overlay_panels(reference: Sample, generated: Sample, detector: Detector) -> list[Panel]:
    """Return the main distributions of one sample beside the reference, in the order shown.

    Args:
        reference: the reference sample.
        generated: the generated sample.
        detector: their readout.

    Returns:
        Hits, visible over incident energy, cell energies, the profile across the shower and, if
        there are layers, along it. Bins depend on the reference alone.
    """
    pair = (reference, generated)
    panels = [
        hit_panels(*pair)[0],
        energy_panels(*pair)[0],
        cell_spectrum_panel(*pair),
        mean_ring_panel(*pair, detector),
    ]
    layered = reference.moments.features.e_layer_mev.shape[1] > 1
    return [*panels, mean_layer_panel(*pair)] if layered else panels


def _draw_overlay(
    top: Axes, bottom: Axes, panels: Mapping[str, Panel], drawn: Mapping[str, Look], label: str
) -> None:
    """One distribution of all samples; ratios to the reference below."""
    first = next(iter(panels.values()))
    if first.log_x:
        top.set_xscale("log")
        bottom.set_xscale("log")
    set_y_range(top, list(panels.values()))
    draw_reference(top, first, label)
    draw_reference_band(bottom, first)
    for name, panel in panels.items():
        curve, look, x = panel.curve, drawn[name], bin_centres(panel)
        line = {"color": look.colour, "linestyle": look.dashes, "baseline": None, "zorder": 3}
        ratio = divide(curve.generated, curve.reference)
        width = curve.generated_error if curve.band is None else curve.band
        for axes, value, spread in (
            (top, curve.generated, width),
            (bottom, ratio, divide(width, curve.reference)),
        ):
            axes.stairs(value, curve.edges, linewidth=1.1, **line)
            if curve.band is not None:
                draw_band(axes, curve, value, spread, look.colour)
                continue
            axes.errorbar(
                x, value, spread, fmt="none", ecolor=look.colour, elinewidth=0.6, alpha=0.6
            )
    label_axes(top, bottom, first)


def overlay_figure(panels: Mapping[str, Sequence[Panel]], reference_label: str) -> Figure:
    """Draw the distributions of all samples over those of the reference.

    Args:
        panels: of each sample, by its name, with the same reference; see overlay_panels.
        reference_label: name of the reference.

    Returns:
        The figure, with the legend in the last panel's place.
    """
    names = list(panels)
    drawn, n_panels = looks(names), len(panels[names[0]])
    with style():
        figure, pairs = panel_grid(n_panels + 1, 3)
        for number, (top, bottom) in enumerate(pairs[:-1]):
            one = {name: panels[name][number] for name in names}
            _draw_overlay(top, bottom, one, drawn, reference_label)
        for axes in pairs[-1]:
            axes.set_axis_off()
        handles: list[Artist] = [Line2D([], [], color=REFERENCE, label=reference_label)]
        handles += [
            Line2D([], [], color=look.colour, linestyle=look.dashes, label=name)
            for name, look in drawn.items()
        ]
        if any(panel.curve.band is not None for one in panels.values() for panel in one):
            handles.append(Patch(color=REFERENCE, alpha=BAND_ALPHA, linewidth=0, label=BAND_LABEL))
        pairs[-1][0].legend(handles=handles, loc="upper left", fontsize=9)
    return figure


class Distances(NamedTuple):
    """How far a sample is from the reference, by observable.

    Attributes:
        name: of the sample.
        values: distances of the distributions, without noise, in reference standard deviations.
        floors: what the noise of samples of these sizes adds, in the same unit.
        published: of the system that the sample is set beside; empty if there is none.
    """

    name: str
    values: Mapping[str, Estimate]
    floors: Mapping[str, Estimate]
    published: Mapping[str, Estimate]


def _draw_scale(axes: Axes, largest: float) -> None:
    """A linear axis up to _LINEAR and a logarithmic one beyond, with plain numbers."""
    top = 1.3 * max(largest, 3 * _LINEAR)
    axes.set_xscale("symlog", linthresh=_LINEAR, linscale=0.5)
    axes.set_xlim(-0.15 * _LINEAR, top)
    axes.xaxis.set_major_locator(FixedLocator([t for t in _TICKS if t < top]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _draw_marks(
    axes: Axes, values: Mapping[str, Estimate], y: np.ndarray, look: Look, hollow: bool
) -> float:
    """Marks with errors in the order of the observables; returns the largest value drawn."""
    x, error = (100 * np.asarray([e[i] for e in values.values()]) for i in (0, 1))
    axes.errorbar(
        x,
        y,
        xerr=np.stack([np.minimum(error, x), error]),  # a distance is not negative
        fmt=look.marker,
        color=look.colour,
        markerfacecolor="white" if hollow else look.colour,
        markersize=5.5 if hollow else 4.5,
        elinewidth=0.9,
        alpha=0.8 if hollow else 1.0,
        zorder=2 if hollow else 3,
    )
    return float((x + error).max())


def distance_figure(samples: Sequence[Distances], titles: Mapping[str, str]) -> Figure:
    """Draw the distances of all samples, an observable below the other.

    Grey: up to the largest floor. Hollow: published.

    Args:
        samples: the distances of each sample, at least one, with the same observables.
        titles: of the observables, by name, in the order drawn.

    Returns:
        The figure; the axis is in hundredths of a standard deviation.
    """
    drawn, n_rows = looks([s.name for s in samples]), len(samples) + 1  # one row between
    middles = -(np.arange(len(titles)) + 0.5) * n_rows
    largest = 0.0
    with style():
        figure = new_figure(_WIDTH, max(_ROW * n_rows * len(titles) + _MARGIN, _LOWEST))
        figure.set_layout_engine("constrained")
        axes = figure.subplots()
        for middle, name in zip(middles, titles, strict=True):
            floor = 100 * max(sample.floors[name].value for sample in samples)
            band = (middle - n_rows / 2 + 0.15, n_rows - 0.3)
            axes.broken_barh([(0, floor)], band, color=REFERENCE_FILL, linewidth=0)
        axes.axvline(0, color=REFERENCE, linewidth=0.8)
        for number, sample in enumerate(samples):
            look, y = drawn[sample.name], middles + (n_rows - 2) / 2 - number
            for hollow, values in ((True, sample.published), (False, sample.values)):
                if values:
                    ordered = {name: values[name] for name in titles}
                    largest = max(largest, _draw_marks(axes, ordered, y, look, hollow))
        _draw_scale(axes, largest)
        axes.set_yticks(middles, list(titles.values()))
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(middles[-1] - n_rows / 2, middles[0] + n_rows / 2)
        axes.set_xlabel("distance from Geant4, W1 without noise [$10^{-2}$ standard deviations]")
        figure.legend(handles=_distance_legend(samples, drawn), loc="outside right upper")
    return figure


def _distance_legend(samples: Sequence[Distances], drawn: Mapping[str, Look]) -> list[Artist]:
    """A mark for each sample, and what hollow ones and the grey bands are."""
    handles: list[Artist] = [
        Line2D([], [], color=look.colour, marker=look.marker, linestyle="none", label=name)
        for name, look in drawn.items()
    ]
    if any(sample.published for sample in samples):
        hollow = Line2D([], [], color=REFERENCE, marker="o", linestyle="none")
        hollow.set(markerfacecolor="white", label="hollow: published")
        handles.append(hollow)
    return [*handles, Patch(color=REFERENCE_FILL, label="Geant4 with itself,\nall of it noise")]
