"""Quality against cost: what a sampler's steps buy, beside what Geant4 has against itself.

A generator is as good as another and cheaper, or as cheap and better, or neither: the curves of
samplers over their step counts show which. Both axes are logarithmic.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from jaxcalo.errors import InputError
from jaxcalo.metrics.estimate import Estimate
from jaxcalo.plots.markdown import markdown_table
from jaxcalo.plots.style import MARKERS, REFERENCE, REFERENCE_FILL, SERIES, new_figure, style

FPD_UNIT = 1e-3  # the field's tables give FPD times 1000

_PANEL_WIDTH, _PANEL_HEIGHT = 3.4, 2.5  # inches
_LEGEND_WIDTH, _CHARACTER_WIDTH = 0.7, 0.075  # inches: the handle, and a letter of 8 points


class ParetoPoint(NamedTuple):
    """Quality and cost of one generated sample.

    Attributes:
        run: name of the trained model.
        sampler: name of the sampler, without its number of steps.
        n_evaluations: network evaluations for a shower.
        ms_per_shower: wall time for a shower, ms.
        w1_mean: mean W1 of the observables, in reference standard deviations.
        separation_mean: mean separation power.
        fpd: Frechet physics distance.
    """

    run: str
    sampler: str
    n_evaluations: int
    ms_per_shower: float
    w1_mean: Estimate
    separation_mean: float
    fpd: Estimate

    def to_json(self) -> dict:
        """Return the numbers under the names of the attributes."""
        plain = self._asdict()
        return {**plain, "w1_mean": self.w1_mean.to_json(), "fpd": self.fpd.to_json()}


class ParetoFloor(NamedTuple):
    """What Geant4 has against itself, halves of the reference, in the same units."""

    w1_mean: Estimate
    separation_mean: Estimate
    fpd: Estimate

    def to_json(self) -> dict:
        """Return {"w1_mean": {"value", "error"}, ...}."""
        return {name: estimate.to_json() for name, estimate in self._asdict().items()}


class _Quality(NamedTuple):
    """One row of panels: values and errors of all points, and the floor."""

    label: str
    value: np.ndarray
    error: np.ndarray
    floor: Estimate


def _check(points: Sequence[ParetoPoint]) -> None:
    if not points:
        raise InputError("expected at least one generated sample to show, found none; make one")
    for p in points:
        if not (p.n_evaluations > 0 and 0 < p.ms_per_shower < np.inf):
            raise InputError(
                f"{p.run}, {p.sampler}: expected a positive number of evaluations and time, found"
                f" {p.n_evaluations} and {p.ms_per_shower:g} ms; measure them"
            )


def _scaled(estimate: Estimate, unit: float) -> Estimate:
    return Estimate(estimate.value / unit, estimate.error / unit, estimate.n)


def _columns(estimates: list[Estimate]) -> tuple[np.ndarray, np.ndarray]:
    """Values and errors."""
    return np.asarray([e.value for e in estimates]), np.asarray([e.error for e in estimates])


def _qualities(points: Sequence[ParetoPoint], floor: ParetoFloor) -> list[_Quality]:
    """The rows of the figure, from top to bottom."""
    separation = np.asarray([p.separation_mean for p in points])
    fpd = [_scaled(p.fpd, FPD_UNIT) for p in points]
    return [
        _Quality("mean W1 [std. dev.]", *_columns([p.w1_mean for p in points]), floor.w1_mean),
        _Quality(
            "mean separation power", separation, np.zeros_like(separation), floor.separation_mean
        ),
        _Quality("FPD $\\times\\,10^3$", *_columns(fpd), _scaled(floor.fpd, FPD_UNIT)),
    ]


def _limits(quality: _Quality) -> tuple[float, float]:
    """Range of a logarithmic axis that shows every positive value and the floor."""
    shown = np.concatenate([quality.value, quality.value + quality.error])
    shown = np.append(shown, [quality.floor.value, quality.floor.value + quality.floor.error])
    shown = shown[np.isfinite(shown) & (shown > 0)]
    return (shown.min() / 2, shown.max() * 2) if len(shown) else (0.1, 10.0)


def _label_ticks(axis: Axis, limits: tuple[float, float]) -> None:
    """Plain numbers at 1, 2, 5, 10, ..., at decades only where there are more than two."""
    steps = (1.0, 2.0, 5.0) if limits[1] < 100 * limits[0] else (1.0,)
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _draw_floor(axes: Axes, floor: Estimate) -> None:
    """Line and one-sigma band; a floor of zero lies below a logarithmic axis, its band may not."""
    bottom = axes.get_ylim()[0]
    low, high = max(floor.value - floor.error, bottom), floor.value + floor.error
    if high > low:
        axes.axhspan(low, high, color=REFERENCE_FILL, linewidth=0, zorder=0)
    if floor.value > 0:
        axes.axhline(floor.value, color=REFERENCE, linestyle="--", linewidth=1.0, zorder=1)


def _draw_line(axes: Axes, x: np.ndarray, quality: _Quality, rows: list[int], look: dict) -> None:
    """One sampler over its steps; values that are not positive as hollow marks at the border."""
    value, error = quality.value[rows], quality.error[rows]
    positive = value > 0
    axes.errorbar(
        x[positive], value[positive], error[positive], elinewidth=0.8, markersize=4, **look
    )
    axes.plot(
        x[~positive],
        np.full((~positive).sum(), axes.get_ylim()[0] * 1.15),
        linestyle="none",
        marker="v",
        color=look["color"],
        markerfacecolor="none",
    )


def _lines(points: Sequence[ParetoPoint]) -> dict[tuple[str, str], list[int]]:
    """Indices of the points of each (run, sampler), in the order of their evaluations."""
    found: dict[tuple[str, str], list[int]] = {}
    for i in sorted(range(len(points)), key=lambda i: points[i].n_evaluations):
        found.setdefault((points[i].run, points[i].sampler), []).append(i)
    first = {(p.run, p.sampler): None for p in points}  # in the order given
    return {name: found[name] for name in first}


def pareto_figure(points: Sequence[ParetoPoint], floor: ParetoFloor) -> Figure:
    """Draw mean W1, mean separation power and FPD against evaluations and against time.

    One line for each run and sampler; dashed with a band of one standard deviation: Geant4 against
    itself. A value of zero (FPD has them) is a hollow triangle at the lower border.

    Args:
        points: at least one generated sample.
        floor: of the reference.

    Returns:
        The figure: three rows of two panels, and a legend at the right.

    Raises:
        InputError: no points, or a cost that is not positive.
    """
    _check(points)
    lines = _lines(points)
    costs = (
        ("network evaluations per shower", np.asarray([p.n_evaluations for p in points], float)),
        ("time per shower [ms]", np.asarray([p.ms_per_shower for p in points], float)),
    )
    qualities = _qualities(points, floor)
    longest = max(len(f"{run}, {sampler}") for run, sampler in lines)
    legend_width = _LEGEND_WIDTH + _CHARACTER_WIDTH * max(longest, len("Geant4 vs Geant4"))
    with style():
        figure = new_figure(
            len(costs) * _PANEL_WIDTH + legend_width, len(qualities) * _PANEL_HEIGHT
        )
        figure.set_layout_engine("constrained")
        grid = figure.subplots(len(qualities), len(costs), sharex="col", sharey="row")
        for row, quality in zip(grid, qualities, strict=True):
            for axes, (cost_label, cost) in zip(row, costs, strict=True):
                axes.set_xscale("log")
                axes.set_yscale("log")
                axes.set_ylim(_limits(quality))
                axes.set_xlim(cost.min() / 2, cost.max() * 2)
                _label_ticks(axes.xaxis, axes.get_xlim())
                _label_ticks(axes.yaxis, axes.get_ylim())
                _draw_floor(axes, quality.floor)
                for number, ((run, sampler), rows) in enumerate(lines.items()):
                    look = {
                        "color": SERIES[number % len(SERIES)],
                        "marker": MARKERS[number % len(MARKERS)],
                        "label": f"{run}, {sampler}",
                    }
                    _draw_line(axes, cost[rows], quality, rows, look)
                if quality is qualities[-1]:
                    axes.set_xlabel(cost_label)
            row[0].set_ylabel(quality.label)
        grid[0, 0].set_title("quality against evaluations")
        grid[0, 1].set_title("quality against time")
        handles, labels = grid[0, 0].get_legend_handles_labels()
        dashed = grid[0, 0].plot([], [], color=REFERENCE, linestyle="--", linewidth=1.0)
        figure.legend([*handles, *dashed], [*labels, "Geant4 vs Geant4"], loc="outside right upper")
    return figure


def _cell(estimate: Estimate, digits: int) -> str:
    return f"{estimate.value:.{digits}f} ± {estimate.error:.{digits}f}"


def pareto_table(points: Sequence[ParetoPoint], floor: ParetoFloor) -> str:
    """Write the points as a Markdown table, in the order given, with the floor as its last row.

    Args:
        points: at least one generated sample.
        floor: of the reference.

    Returns:
        The table, without a final newline.

    Raises:
        InputError: no points, or a cost that is not positive.
    """
    _check(points)
    header = (
        "run",
        "sampler",
        "evaluations",
        "ms / shower",
        "mean W1 [std. dev.]",
        "W1 / floor",
        "mean separation power",
        "FPD x 10^3",
    )
    rows = []
    for p in points:
        ratio = f"{p.w1_mean.value / floor.w1_mean.value:.2f}" if floor.w1_mean.value > 0 else "-"
        rows.append(
            (
                p.run,
                p.sampler,
                f"{p.n_evaluations}",
                f"{p.ms_per_shower:.3g}",
                _cell(p.w1_mean, 4),
                ratio,
                f"{p.separation_mean:.4f}",
                _cell(_scaled(p.fpd, FPD_UNIT), 2),
            )
        )
    rows.append(
        (
            "Geant4",
            "vs Geant4",
            "-",
            "-",
            _cell(floor.w1_mean, 4),
            "1.00",
            _cell(floor.separation_mean, 4),
            _cell(_scaled(floor.fpd, FPD_UNIT), 2),
        )
    )
    return markdown_table(header, rows, range(2, len(header)))
