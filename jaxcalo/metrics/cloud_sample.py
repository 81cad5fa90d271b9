"""Point clouds on a detector of cells: what the metrics keep of a file of clouds.

Clouds are projected on the cells of a readout first and judged there: what counts is which cells
fire, not how many points a model puts into one. A shower has some hundred cells with energy among
some hundred thousand, so the sums over voxels are sums over the cells that fired.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from jaxcalo.data.point_cloud import CloudFile, Clouds, check_clouds
from jaxcalo.errors import InputError
from jaxcalo.geometry import Detector, voxels
from jaxcalo.geometry.cartesian import cartesian_layers
from jaxcalo.geometry.points import Cells, project_cells
from jaxcalo.metrics.features import LayerSums, moments_of_sums
from jaxcalo.metrics.sample import Condenser, Sample
from jaxcalo.metrics.tables import N_MOMENTS, is_azimuthal, ring_edges_mm

_CHUNK_SHOWERS = 512  # of 2,000 points each: 16 MB at a time


class ProjectedClouds(NamedTuple):
    """Clouds on the cells of a detector.

    Attributes:
        incident_energy_mev: (n,) float64.
        cells: with energy at or above the threshold, sorted by shower; `shower` is 0 ... n - 1.
    """

    incident_energy_mev: np.ndarray
    cells: Cells

    @property
    def n_showers(self) -> int:
        """Number of showers, also those without a cell."""
        return len(self.incident_energy_mev)


def source_name(clouds: CloudFile | Iterable[Clouds], name: str | None = None) -> str:
    """Return the name given, or else the file's path, or "memory"."""
    if name is not None:
        return name
    return str(clouds.path) if isinstance(clouds, CloudFile) else "memory"


def projected_chunks(
    clouds: CloudFile | Iterable[Clouds],
    detector: Detector,
    threshold_mev: float | None = None,
    source: str | None = None,
) -> Iterator[ProjectedClouds]:
    """Project clouds on a detector, part after part.

    Args:
        clouds: an open file, or clouds in order.
        detector: the readout, Cartesian layers.
        threshold_mev: readout threshold of a cell, MeV; None takes the detector's.
        source: beginning of an error message.

    Yields:
        The showers of each part, numbered from 0 in each.

    Raises:
        InputError: a layer is polar, or clouds are not physical (see data.point_cloud).
    """
    from_file = isinstance(clouds, CloudFile)  # which has checked what it reads
    where, n_seen = source_name(clouds, source), 0
    for part in clouds.chunks(_CHUNK_SHOWERS) if from_file else clouds:
        if not from_file:
            check_clouds(part, where, n_seen)
        cells = project_cells(part.points, part.shower, detector, threshold_mev)
        yield ProjectedClouds(part.incident_energy_mev.astype(np.float64), cells)
        n_seen += part.n_showers


def project_clouds(
    clouds: CloudFile | Iterable[Clouds],
    detector: Detector,
    threshold_mev: float | None = None,
    source: str | None = None,
) -> ProjectedClouds:
    """Project all clouds of a file on a detector, some 25 kB a shower of 700 cells.

    Args:
        clouds: an open file, or clouds in order.
        detector: the readout, Cartesian layers.
        threshold_mev: readout threshold of a cell, MeV; None takes the detector's.
        source: beginning of an error message; None takes the file's path.

    Returns:
        All showers together.

    Raises:
        InputError: as `projected_chunks`, or there are no showers.
    """
    parts = list(projected_chunks(clouds, detector, threshold_mev, source))
    if not sum(part.n_showers for part in parts):
        raise InputError(f"{source_name(clouds, source)}: expected at least one shower, found none")
    first = np.cumsum([0, *(part.n_showers for part in parts[:-1])])
    moved = [
        part.cells._replace(shower=part.cells.shower + start)
        for part, start in zip(parts, first, strict=True)
    ]
    return ProjectedClouds(
        np.concatenate([part.incident_energy_mev for part in parts]),
        Cells(*(np.concatenate(columns) for columns in zip(*moved, strict=True))),
    )


class _Places(NamedTuple):
    """A detector's voxels (n_voxels,) and what the sums over its layers need besides."""

    layer: np.ndarray
    ring: np.ndarray
    n_rings: int
    columns: np.ndarray  # (n_voxels, N_MOMENTS)
    size: np.ndarray
    shift_mm: np.ndarray
    azimuthal: np.ndarray


def _places(detector: Detector) -> _Places:
    """The columns of `make_tables`, for all voxels together and without its matrices of rings."""
    place, edges, size = voxels(detector), ring_edges_mm(detector), np.diff(detector.offsets)
    directed = np.asarray([is_azimuthal(layer) for layer in detector.relevant_layers])
    across = np.stack([place.x_mm, place.y_mm], axis=1) * directed[place.layer, None]
    position = np.column_stack([across, place.r_mm])
    starts = detector.offsets[:-1]
    low, high = (f.reduceat(position, starts, axis=0) for f in (np.minimum, np.maximum))
    shift = (low + high) / 2
    moved = position - shift[place.layer]
    columns = np.column_stack([np.ones(len(moved)), moved, moved**2])
    ring = np.clip(np.searchsorted(edges, place.r_mm, side="right") - 1, 0, len(edges) - 2)
    return _Places(
        place.layer, ring, len(edges) - 1, columns, size, shift, np.flatnonzero(directed)
    )


def _voxel(cells: Cells, detector: Detector) -> np.ndarray:
    """Number of the voxel whose centre each cell has, (k,)."""
    voxel = np.empty(len(cells.layer), dtype=np.int64)
    by_layer = np.argsort(cells.layer, kind="stable")
    counts = np.bincount(cells.layer, minlength=detector.n_layers)
    for layer, first, rows in zip(
        cartesian_layers(detector),
        detector.offsets,
        np.split(by_layer, np.cumsum(counts)[:-1]),
        strict=False,
    ):
        x = np.searchsorted(layer.x_edges_mm, cells.x_mm[rows]) - 1
        y = np.searchsorted(layer.y_edges_mm, cells.y_mm[rows]) - 1
        voxel[rows] = first + y * layer.grid_shape[1] + x
    return voxel


def _layer_sums(cells: Cells, voxel: np.ndarray, n_showers: int, places: _Places) -> LayerSums:
    """The sums of `moments` over the cells that fired."""
    n_layers, energy = len(places.size), cells.energy_mev.astype(np.float64)
    group, n_groups = cells.shower * n_layers + places.layer[voxel], n_showers * n_layers
    moment = [
        np.bincount(group, energy * places.columns[voxel, i], n_groups) for i in range(N_MOMENTS)
    ]
    ring = cells.shower * places.n_rings + places.ring[voxel]
    rings = np.bincount(ring, energy, n_showers * places.n_rings)
    return LayerSums(
        n_hit=np.bincount(group, minlength=n_groups).reshape(n_showers, n_layers),
        moment=np.stack(moment, axis=1).reshape(n_showers, n_layers, N_MOMENTS),
        ring_energy_mev=rings.reshape(n_showers, places.n_rings),
        size=places.size,
        shift_mm=places.shift_mm,
        azimuthal=places.azimuthal,
    )


def condense_clouds(
    clouds: CloudFile | Iterable[Clouds],
    detector: Detector,
    threshold_mev: float | None = None,
    source: str | None = None,
) -> Sample:
    """Condense clouds as `condense` does their projections, in the time that their cells need.

    Args:
        clouds: an open file, see data.open_clouds, or clouds in order.
        detector: the readout that the points are projected on, Cartesian layers.
        threshold_mev: readout threshold of a cell, MeV; None takes the detector's.
        source: name of the sample for the report; None takes the file's path.

    Returns:
        The sample, for `evaluate`.

    Raises:
        InputError: as `projected_chunks`, or there are no showers.
    """
    name = source_name(clouds, source)
    places, kept = _places(detector), Condenser(detector.n_voxels)
    for part in projected_chunks(clouds, detector, threshold_mev, name):
        voxel = _voxel(part.cells, detector)
        sums = _layer_sums(part.cells, voxel, part.n_showers, places)
        total = np.bincount(voxel, part.cells.energy_mev, detector.n_voxels)
        kept.add(part.incident_energy_mev, moments_of_sums(sums), part.cells.energy_mev, total)
    threshold = detector.threshold_mev if threshold_mev is None else threshold_mev
    return kept.sample(name, threshold)
