"""Single showers as clouds of points in space: Geant4's in the first row, generated ones below.

A point at layer l, x and y is drawn in oblique projection, the depth along the horizontal,

    (d l + k x cos a,  y + k x sin a)                                           (1)

on one plane, so that all clouds have the same scale and can be compared by eye; their shadows on
the floor and on the back wall show where in x and in y the points are.
"""

from collections.abc import Mapping
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from matplotlib.ticker import FuncFormatter, MaxNLocator

from jaxcalo.data.point_cloud import Clouds
from jaxcalo.plots.style import new_figure, style
from jaxcalo.units import GeV

N_CLOUDS = 3
_SHARE = 0.99  # of the reference's energy lies inside the box that is drawn
_STEP_MM = 10.0  # the box's half width is a multiple
_LENGTH = 3.0  # of the box, in half widths
_SHORTENING, _ANGLE = 0.42, np.deg2rad(38)  # k and a of equation (1)
_SMALLEST, _LARGEST, _POWER = 1.0, 36.0, 0.55  # marker areas in points^2, growing with energy
_FAINTEST = 1e-3  # of the largest energy: where the colours begin
_WALLS, _LINES, _TICKS, _SHADOW = ("#f0f0f0", "#fafafa", "#f5f5f5"), "#dddddd", "#777777", "#8a8a8a"
# inches: of a cloud with its numbers, its title, the room around all
_WIDTH, _HEIGHT, _TITLE = 3.85, 2.85, 0.3
_LEFT, _RIGHT, _BOTTOM = 0.5, 0.75, 0.3


class _Box(NamedTuple):
    """What is drawn of the detector: |x| and |y| up to half_mm, and all layers."""

    half_mm: float
    n_layers: int

    @property
    def ends(self) -> tuple[float, float]:
        """The front of the first and the back of the last layer."""
        return -0.5, self.n_layers - 0.5

    def project(self, layer, x_mm, y_mm):
        """Equation (1)."""
        depth = _LENGTH * self.half_mm / self.n_layers * layer
        return (
            depth + _SHORTENING * np.cos(_ANGLE) * x_mm,
            y_mm + _SHORTENING * np.sin(_ANGLE) * x_mm,
        )


def similar_rows(
    reference_mev: np.ndarray, generated_mev: np.ndarray, n_pairs: int = N_CLOUDS
) -> list[tuple[int, int]]:
    """Choose showers of about equal energy from two samples, from low to high energy.

    The energies are the middles of n_pairs equal parts of the range that both samples have; from
    each sample it is the shower that comes nearest, the generated one to that of the reference.
    Nothing else enters the choice.

    Args:
        reference_mev: (n,) incident energies of the reference.
        generated_mev: (m,) those of the generated sample.
        n_pairs: how many.

    Returns:
        Rows in the reference and in the generated sample.
    """
    low = max(reference_mev.min(), generated_mev.min())
    high = min(reference_mev.max(), generated_mev.max())
    rows = []
    for target in low + (high - low) * (np.arange(n_pairs) + 0.5) / n_pairs:
        row = int(np.argmin(np.abs(reference_mev - target)))
        rows.append((row, int(np.argmin(np.abs(generated_mev - reference_mev[row])))))
    return rows


def half_width_mm(points: np.ndarray) -> float:
    """Return the half width of a square around the axis that holds 99 % of the energy.

    Args:
        points: (k, 4) physical points of the reference.
    """
    distance = np.abs(points[:, :2]).max(axis=1, initial=0.0)
    order = np.argsort(distance)
    energy = np.cumsum(points[order, 3])
    if not len(energy) or energy[-1] <= 0:
        return _STEP_MM
    reach = distance[order][np.searchsorted(energy, _SHARE * energy[-1])]
    return float(max(_STEP_MM, _STEP_MM * np.ceil(reach / _STEP_MM)))


def _split(clouds: Clouds) -> list[np.ndarray]:
    """The points (k, 4) of each cloud."""
    return np.split(clouds.points, np.cumsum(clouds.n_points)[:-1])


def _ticks_mm(half_mm: float) -> list[float]:
    """Round numbers at about four fifths of the half width, and zero."""
    outer = max(5.0, 5.0 * np.floor(0.8 * half_mm / 5.0))
    return [-outer, 0.0, outer]


def _signed(value: float) -> str:
    """A whole number of mm with a true minus sign."""
    return f"{value:.0f}".replace("-", "−")  # noqa: RUF001


def _draw_box(axes: Axes, box: _Box) -> None:
    """Floor, back wall and front end, with a line every few layers and in the middle."""
    half, (low, high) = box.half_mm, box.ends
    faces = (
        [(low, -half, -half), (high, -half, -half), (high, half, -half), (low, half, -half)],
        [(low, half, -half), (high, half, -half), (high, half, half), (low, half, half)],
        [(low, -half, -half), (low, half, -half), (low, half, half), (low, -half, half)],
    )
    for corners, colour in zip(faces, _WALLS, strict=True):
        axes.add_patch(
            Polygon([box.project(*c) for c in corners], facecolor=colour, edgecolor="none")
        )
    lines = []
    for layer in (low, *_layer_ticks(box), high):
        lines += [((layer, -half, -half), (layer, half, -half))]
        lines += [((layer, half, -half), (layer, half, half))]
    for v in (-half, 0.0, half):
        lines += [((low, v, -half), (high, v, -half)), ((low, half, v), (high, half, v))]
        lines += [((low, v, -half), (low, v, half)), ((low, -half, v), (low, half, v))]
    segments = [[box.project(*start), box.project(*stop)] for start, stop in lines]
    axes.add_collection(LineCollection(segments, colors=_LINES, linewidths=0.5, zorder=1.1))


def _layer_ticks(box: _Box) -> list[int]:
    """Whole layers inside the detector."""
    ticks = MaxNLocator(6, integer=True).tick_values(0, box.n_layers - 1)
    return [int(t) for t in ticks if 0 <= t <= box.n_layers - 1]


def _draw_ticks(axes: Axes, box: _Box, is_first: bool, is_last_row: bool) -> None:
    """Numbers along the front edge (layer), the left one (y) and the right one (x)."""
    half, (low, high) = box.half_mm, box.ends
    unit = half / 50  # everything is laid out for a box of 100 mm

    def mark(place: tuple[float, float], shift: tuple[float, float], text: str, **align) -> None:
        x, y = place
        dx, dy = shift
        axes.plot([x, x + dx * unit], [y, y + dy * unit], color=_TICKS, lw=0.7)
        axes.text(x + 1.7 * dx * unit, y + 1.7 * dy * unit, text, fontsize=7, **align)

    for layer in _layer_ticks(box):
        place = box.project(layer, -half, -half)
        mark(place, (0, -3), f"{layer}", ha="center", va="top")
    for v in _ticks_mm(half):
        mark(box.project(low, -half, v), (-3, 0), _signed(v), ha="right", va="center")
        mark(box.project(high, v, -half), (3, 0), _signed(v), ha="left", va="center")
    if is_last_row:
        x, y = box.project((low + high) / 2, -half, -half)
        axes.text(x, y - 15 * unit, "layer", ha="center", va="top")
        x, y = box.project(high, -half, -half)
        axes.text(x + 6 * unit, y - 4 * unit, "x [mm]", ha="left", va="top")
    if is_first:
        x, y = box.project(low, -half, 0.0)
        axes.text(x - 19 * unit, y, "y [mm]", ha="right", va="center", rotation=90)


def _set_limits(axes: Axes, box: _Box) -> None:
    """The box fills the axes, at the same scale along both, with room below for numbers."""
    half, (low, high) = box.half_mm, box.ends
    left, bottom = box.project(low, -half, -half)
    right, top = box.project(high, half, half)
    axes.set_xlim(left - 0.07 * half, right + 0.01 * half)
    axes.set_ylim(bottom - 0.2 * half, top + 0.01 * half)
    axes.set_aspect("equal", anchor="W")
    axes.set_axis_off()


def _draw_cloud(axes: Axes, box: _Box, points: np.ndarray, norm: LogNorm, colours) -> None:
    """Shadows first, then the points, the most energetic ones on top."""
    inside = (np.abs(points[:, :2]) <= box.half_mm).all(axis=1) & (points[:, 3] > 0)
    x, y, layer, energy = points[inside][np.argsort(points[inside, 3])].T
    wall = np.full_like(x, box.half_mm)
    shadow = {"color": _SHADOW, "s": 2.0, "linewidths": 0, "zorder": 1.2}
    axes.scatter(*box.project(layer, x, -wall), alpha=0.35, **shadow)
    axes.scatter(*box.project(layer, wall, y), alpha=0.18, **shadow)
    size = np.minimum(energy / (norm.vmax or 1.0), 1.0) ** _POWER
    axes.scatter(
        *box.project(layer, x, y),
        c=energy,
        s=_SMALLEST + _LARGEST * size,
        cmap=colours,
        norm=norm,
        linewidths=0,
        alpha=0.92,
        zorder=3,
    )


def _norm(points: np.ndarray) -> LogNorm:
    """From a thousandth of the largest energy of the reference, or its smallest if that is more."""
    energy = points[points[:, 3] > 0, 3]
    largest = float(energy.max()) if len(energy) else 1.0
    smallest = float(energy.min()) if len(energy) else 0.1
    return LogNorm(max(_FAINTEST * largest, min(smallest, largest / 10)), largest)


def cloud_figure(clouds: Mapping[str, Clouds], n_layers: int) -> Figure:
    """Draw clouds of the reference in one row and of generated samples below them.

    Colour and size of a point grow with its energy; box, colours and sizes follow from the clouds
    of the reference and are the same everywhere.

    Args:
        clouds: k clouds of the reference, then of each generated sample k clouds of similar
            energies, see similar_rows, by the samples' names.
        n_layers: layers of the detector.

    Returns:
        The figure, with a row for each sample.
    """
    reference, n_rows = next(iter(clouds.values())), len(clouds)
    box, norm = _Box(half_width_mm(reference.points), n_layers), _norm(reference.points)
    # the bright end of plasma is too pale on white
    shades = mpl.colormaps["plasma"](np.linspace(0, 0.92, 256))
    colours = LinearSegmentedColormap.from_list("clouds", list(shades))
    n = reference.n_showers
    width, height = _LEFT + n * _WIDTH + _RIGHT, n_rows * _HEIGHT + _BOTTOM
    with style():
        figure = new_figure(width, height)
        for row, (label, sample) in enumerate(clouds.items()):
            for column, points in enumerate(_split(sample)):
                left, bottom = _LEFT + column * _WIDTH, _BOTTOM + (n_rows - 1 - row) * _HEIGHT
                shape = (_WIDTH - 0.35) / width, (_HEIGHT - _TITLE) / height
                axes = figure.add_axes((left / width, bottom / height, *shape))
                _draw_box(axes, box)
                _draw_cloud(axes, box, points, norm, colours)
                _draw_ticks(axes, box, column == 0, row == n_rows - 1)
                _set_limits(axes, box)
                energy = sample.incident_energy_mev[column] / GeV
                axes.set_title(f"{label}, {energy:.1f} GeV, {len(points):,} points")
        side = figure.add_axes((1 - 0.68 / width, 0.5 - 1.9 / height, 0.11 / width, 3.8 / height))
        bar = figure.colorbar(ScalarMappable(norm, colours), cax=side, label="point energy [MeV]")
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    return figure
