"""Pictures of the average shower and of the correlations between its layers."""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from jaxcalo.geometry import CartesianLayer, Detector, PolarLayer
from jaxcalo.metrics.correlation import Correlation
from jaxcalo.plots.style import DIVERGING, SEQUENTIAL, new_figure, style

SHARE = 0.999  # of the energy of both samples lies in the part of a large matrix that is shown
_DECADES = 5  # shown below the maximum
_RATIO_RANGE = (0.5, 2.0)
_EMPTY = "#cccccc"


class Tile(NamedTuple):
    """A piece of a picture on its own grid.

    Attributes:
        x_edges: (n_x + 1,) edges.
        y_edges: (n_y + 1,) edges.
        reference: (n_y, n_x) values of the reference.
        generated: (n_y, n_x) values of the generated sample.
    """

    x_edges: np.ndarray
    y_edges: np.ndarray
    reference: np.ndarray
    generated: np.ndarray


class View(NamedTuple):
    """A picture of the average shower: tiles, what the axes and the colours mean."""

    tiles: list[Tile]
    x_label: str
    y_label: str
    value_label: str
    is_square: bool = False
    is_angle: bool = False


def _polar_layers(detector: Detector) -> list[tuple[int, PolarLayer, slice]]:
    """Index, layer and voxels of each polar layer."""
    return [
        (i, layer, slice(int(detector.offsets[i]), int(detector.offsets[i + 1])))
        for i, layer in enumerate(detector.relevant_layers)
        if isinstance(layer, PolarLayer)
    ]


def _merge(tiles: list[Tile]) -> list[Tile]:
    """Join neighbouring layers of equal bins into one tile, which is drawn faster."""
    merged = tiles[:1]
    for tile in tiles[1:]:
        last = merged[-1]
        if not np.array_equal(last.y_edges, tile.y_edges):
            merged.append(tile)
            continue
        merged[-1] = Tile(
            np.append(last.x_edges, tile.x_edges[-1]),
            last.y_edges,
            np.hstack([last.reference, tile.reference]),
            np.hstack([last.generated, tile.generated]),
        )
    return merged


def radius_view(detector: Detector, reference: np.ndarray, generated: np.ndarray) -> View:
    """Return energy per area in layer and radius, averaged over azimuth.

    Args:
        detector: the readout, with at least one polar layer.
        reference: (n_voxels,) mean shower of the reference, MeV.
        generated: (n_voxels,) mean shower of the generated sample, MeV.

    Returns:
        The view.
    """
    tiles = []
    for i, layer, rows in _polar_layers(detector):
        area = np.pi * np.diff(np.square(layer.r_edges_mm))
        columns = (
            (mean[rows].reshape(layer.grid_shape).sum(axis=0) / area)[:, None]
            for mean in (reference, generated)
        )
        edges = np.asarray(layer.r_edges_mm)
        tiles.append(Tile(np.array([i - 0.5, i + 0.5]), edges, *columns))
    return View(_merge(tiles), "layer", "radius [mm]", "mean energy per area [MeV/mm$^2$]")


def azimuth_view(detector: Detector, reference: np.ndarray, generated: np.ndarray) -> View:
    """Return energy in layer and azimuth, the cylinder unrolled; arguments as in radius_view."""
    tiles = []
    for i, layer, rows in _polar_layers(detector):
        columns = (
            mean[rows].reshape(layer.grid_shape).sum(axis=1)[:, None]
            * layer.n_azimuth
            / (2 * np.pi)
            for mean in (reference, generated)
        )
        edges = np.linspace(-np.pi, np.pi, layer.n_azimuth + 1)
        tiles.append(Tile(np.array([i - 0.5, i + 0.5]), edges, *columns))
    label = "mean energy per radian [MeV]"
    return View(_merge(tiles), "layer", "azimuth", label, is_angle=True)


def _matrices(detector: Detector) -> list[tuple[CartesianLayer, slice]]:
    """Layer and voxels of each Cartesian layer."""
    return [
        (layer, slice(int(detector.offsets[i]), int(detector.offsets[i + 1])))
        for i, layer in enumerate(detector.relevant_layers)
        if isinstance(layer, CartesianLayer)
    ]


def _is_stack(detector: Detector) -> bool:
    """Whether the detector is several equal matrices behind each other, and nothing else."""
    shapes = {(m.x_edges_mm, m.y_edges_mm) for m, _ in _matrices(detector)}
    return len(shapes) == 1 and len(_matrices(detector)) == detector.n_layers > 1


def _margin(profiles: tuple[np.ndarray, np.ndarray]) -> int:
    """How many bins at each end of both profiles hold no more than 1 - SHARE of the energy."""
    margins = []
    for profile in profiles:
        energy = np.cumsum(profile)
        outside = np.minimum(energy, energy[-1] - np.append(0.0, energy[:-1]))
        inside = np.flatnonzero(outside > (1 - SHARE) / 2 * energy[-1])
        margins += [inside[0], len(profile) - 1 - inside[-1]] if len(inside) else []
    return int(min(margins, default=0))


def front_view(detector: Detector, reference: np.ndarray, generated: np.ndarray) -> View:
    """Return the energy of all layers in x and y, in the part of the matrix that has energy.

    Args:
        detector: the readout, equal Cartesian layers.
        reference: (n_voxels,) mean shower of the reference, MeV.
        generated: (n_voxels,) mean shower of the generated sample, MeV.

    Returns:
        One tile.
    """
    layer, _ = _matrices(detector)[0]
    grids = [mean.reshape(-1, *layer.grid_shape).sum(axis=0) for mean in (reference, generated)]
    across = [_margin((grids[0].sum(axis=i), grids[1].sum(axis=i))) for i in (0, 1)]
    cut = min(across)
    n_y, n_x = layer.grid_shape
    x, y = slice(cut, n_x - cut), slice(cut, n_y - cut)
    edges = (np.asarray(layer.x_edges_mm)[cut : n_x - cut + 1],)
    edges += (np.asarray(layer.y_edges_mm)[cut : n_y - cut + 1],)
    tile = Tile(*edges, *(grid[y, x] for grid in grids))
    return View([tile], "x [mm]", "y [mm]", "mean energy, all layers [MeV]", is_square=True)


def side_view(detector: Detector, reference: np.ndarray, generated: np.ndarray) -> View:
    """Return the energy of all rows in layer and x; arguments as in front_view."""
    layer, _ = _matrices(detector)[0]
    grids = [mean.reshape(-1, *layer.grid_shape).sum(axis=1).T for mean in (reference, generated)]
    cut = _margin((grids[0].sum(axis=1), grids[1].sum(axis=1)))
    n_x = layer.grid_shape[1]
    edges = np.asarray(layer.x_edges_mm)[cut : n_x - cut + 1]
    tile = Tile(
        np.arange(detector.n_layers + 1) - 0.5, edges, *(grid[cut : n_x - cut] for grid in grids)
    )
    return View([tile], "layer", "x [mm]", "mean energy, all rows [MeV]")


def crystal_view(detector: Detector, reference: np.ndarray, generated: np.ndarray) -> View:
    """Return the mean energy of each crystal in the matrix that has the most.

    Args:
        detector: the readout, with at least one Cartesian layer.
        reference: (n_voxels,) mean shower of the reference, MeV.
        generated: (n_voxels,) mean shower of the generated sample, MeV.

    Returns:
        One tile.
    """
    layer, rows = max(_matrices(detector), key=lambda pair: reference[pair[1]].sum())
    grids = (mean[rows].reshape(layer.grid_shape) for mean in (reference, generated))
    tile = Tile(np.asarray(layer.x_edges_mm), np.asarray(layer.y_edges_mm), *grids)
    return View([tile], "x [mm]", "y [mm]", "mean energy [MeV]", is_square=True)


def _log_norm(tiles: list[Tile]) -> Normalize:
    """Common logarithmic scale of both samples, at most _DECADES below the maximum."""
    values = np.concatenate([grid.ravel() for tile in tiles for grid in tile[2:]])
    values = values[values > 0]
    if not len(values):
        return Normalize(0, 1)
    return LogNorm(max(values.min(), values.max() * 10.0**-_DECADES), values.max())


def _draw_tiles(
    axes: Axes, view: View, grids: list[np.ndarray], norm: Normalize, cmap: str
) -> ScalarMappable:
    """Draw one grid for each tile; return the colours for the colour bar."""
    axes.set_facecolor(_EMPTY)
    for tile, grid in zip(view.tiles, grids, strict=True):
        shown = np.ma.masked_where(~(grid > 0), grid)
        axes.pcolormesh(tile.x_edges, tile.y_edges, shown, norm=norm, cmap=cmap)
    edges = np.unique(np.concatenate([tile.y_edges for tile in view.tiles]))
    if view.is_angle:
        axes.set_yticks([-np.pi, 0, np.pi], ["$-\\pi$", "0", "$\\pi$"])
    elif edges[0] == 0 and edges[-1] > 50 * edges[1]:
        axes.set_yscale("symlog", linthresh=10 * edges[1])
    axes.set_ylim(edges[0], edges[-1])
    axes.set_xlim(view.tiles[0].x_edges[0], view.tiles[-1].x_edges[-1])
    if view.is_square:
        axes.set_aspect("equal")
    axes.set_xlabel(view.x_label)
    return ScalarMappable(norm, cmap)


def average_figure(view: View, labels: tuple[str, str]) -> Figure:
    """Draw the average shower of the reference, of the generated sample, and their ratio.

    Args:
        view: what to draw.
        labels: names of reference and generated sample.

    Returns:
        The figure; cells without energy are grey.
    """
    reference = [tile.reference for tile in view.tiles]
    generated = [tile.generated for tile in view.tiles]
    ratios = [b / np.where(a > 0, a, np.nan) for a, b in zip(reference, generated, strict=True)]
    with style():
        figure = new_figure(9.6, 3.3)
        figure.set_layout_engine("compressed" if view.is_square else "constrained", wspace=0.04)
        axes = figure.subplots(1, 3, sharey=True)
        norm = _log_norm(view.tiles)
        for ax, grids, label in zip(axes[:2], (reference, generated), labels, strict=True):
            colours = _draw_tiles(ax, view, grids, norm, SEQUENTIAL)
            ax.set_title(label)
        figure.colorbar(colours, ax=axes[:2], label=view.value_label, pad=0.02)
        ratio_norm = LogNorm(*_RATIO_RANGE)
        colours = _draw_tiles(axes[2], view, ratios, ratio_norm, DIVERGING)
        axes[2].set_title(f"{labels[1]} / {labels[0]}")
        bar = figure.colorbar(colours, ax=axes[2], label="ratio", extend="both", pad=0.04)
        bar.ax.yaxis.set_major_locator(FixedLocator([0.5, 0.7, 1, 1.4, 2]))
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        bar.ax.yaxis.set_minor_locator(NullLocator())
        axes[0].set_ylabel(view.y_label)
    return figure


def average_figures(
    detector: Detector, reference: np.ndarray, generated: np.ndarray, labels: tuple[str, str]
) -> dict[str, Figure]:
    """Return the pictures of the average shower that the detector allows, by name.

    Args:
        detector: the readout.
        reference: (n_voxels,) mean shower of the reference, MeV.
        generated: (n_voxels,) mean shower of the generated sample, MeV.
        labels: names of reference and generated sample.
    """
    makers = {}
    if _polar_layers(detector):
        makers["average_radius"] = radius_view
        if any(layer.n_azimuth > 1 for _, layer, _ in _polar_layers(detector)):
            makers["average_azimuth"] = azimuth_view
    if _is_stack(detector):
        makers |= {"average_front": front_view, "average_side": side_view}
    elif not detector.is_cylindrical:
        makers["average_crystals"] = crystal_view
    return {
        name: average_figure(make(detector, reference, generated), labels)
        for name, make in makers.items()
    }


def correlation_figure(correlation: Correlation, labels: tuple[str, str]) -> Figure:
    """Draw the correlation matrices of the layer energies and their difference.

    Args:
        correlation: the matrices.
        labels: names of reference and generated sample.

    Returns:
        The figure.
    """
    difference = correlation.generated - correlation.reference
    limit = max(float(np.abs(difference).max()), 0.05)  # a perfect match must not show noise
    edges = np.arange(len(difference) + 1) - 0.5
    with style():
        figure = new_figure(9.6, 3.2)
        figure.set_layout_engine("compressed", wspace=0.04)
        axes = figure.subplots(1, 3, sharey=True)
        pictures = (
            (correlation.reference, labels[0], 1.0),
            (correlation.generated, labels[1], 1.0),
            (difference, "difference", limit),
        )
        meshes = []
        for ax, (matrix, title, scale) in zip(axes, pictures, strict=True):
            mesh = ax.pcolormesh(edges, edges, matrix, cmap=DIVERGING, vmin=-scale, vmax=scale)
            ax.set_aspect("equal")
            ax.set_title(title)
            ax.set_xlabel("layer")
            meshes.append(mesh)
        axes[0].set_ylabel("layer")
        figure.colorbar(meshes[0], ax=axes[:2], label="Pearson correlation", pad=0.02)
        figure.colorbar(meshes[2], ax=axes[2], label="difference", pad=0.04)
    return figure
