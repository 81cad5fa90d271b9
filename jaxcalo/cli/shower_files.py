"""Files of showers, voxels or clouds, as the verbs that judge them read them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jaxcalo.errors import InputError

if TYPE_CHECKING:
    from jaxcalo.data import Clouds, Showers
    from jaxcalo.geometry import Detector
    from jaxcalo.metrics import Sample

_CHUNK_SHOWERS = 512  # of clouds, 2,000 points each: 16 MB
_CHUNK_VOXELS = 2**23  # 32 MiB of float32
_INSIDE = 0.5  # of the energy must lie in the detector: less is another detector, not a bad sample


def has_clouds(paths: Sequence[Path]) -> bool:
    """Whether at least one file holds clouds: then all are compared as clouds."""
    from jaxcalo.data import is_cloud_file

    return any(is_cloud_file(path) for path in paths)


def cloud_chunks(paths: Sequence[Path], detector: "Detector") -> "Iterator[Clouds]":
    """Give the clouds of files, one file after the other; cells of voxel files become points.

    Raises:
        InputError: a file is unusable, or was made for another detector: a point in a layer that
            there is not, less than half of the energy inside, or another number of voxels.
    """
    from jaxcalo.data import is_cloud_file

    for path in paths:
        if is_cloud_file(path):
            yield from _checked_clouds(path, detector)
        else:
            yield from _points_of_voxels(path, detector)


def _checked_clouds(path: Path, detector: "Detector") -> "Iterator[Clouds]":
    import numpy as np

    from jaxcalo.data import open_clouds
    from jaxcalo.data.point_cloud import check_layers
    from jaxcalo.geometry import project_cells

    total, inside = 0.0, 0.0
    with open_clouds(path) as file:
        for first, part in enumerate(file.chunks(_CHUNK_SHOWERS)):
            check_layers(part, detector, str(path), first * _CHUNK_SHOWERS)
            cells = project_cells(part.points, part.shower, detector, threshold_mev=0.0)
            total += float(part.points[:, 3].sum(dtype=np.float64))
            inside += float(cells.energy_mev.sum(dtype=np.float64))
            yield part
    if inside < _INSIDE * total:
        raise InputError(
            f"{path}: {100 * inside / total:.0f} % of the energy lies inside geometry"
            f" {detector.name!r}, expected {100 * _INSIDE:.0f} % or more; check the points' units"
            " and origin, or choose the geometry that the file was made for"
        )


def _points_of_voxels(path: Path, detector: "Detector") -> "Iterator[Clouds]":
    from jaxcalo.data import Clouds, open_showers
    from jaxcalo.geometry import voxels_to_points

    with open_showers(path, detector) as file:
        for part in file.chunks(max(1, _CHUNK_VOXELS // detector.n_voxels)):
            points, n_points = voxels_to_points(part.voxel_energy_mev, detector)
            yield Clouds(part.incident_energy_mev, points, n_points)


def _voxel_chunks(paths: Sequence[Path], detector: "Detector") -> "Iterator[Showers]":
    from jaxcalo.data import open_showers

    for path in paths:
        with open_showers(path, detector) as file:
            yield from file.chunks(max(1, _CHUNK_VOXELS // detector.n_voxels))


def read_sample(
    paths: Sequence[Path], detector: "Detector", threshold_mev: float | None, as_clouds: bool
) -> "Sample":
    """Condense files of one sample.

    Args:
        paths: one file or more.
        detector: their readout.
        threshold_mev: of a cell; None takes the detector's.
        as_clouds: see has_clouds.
    """
    from jaxcalo.metrics import condense
    from jaxcalo.metrics.cloud_sample import condense_clouds

    source = " + ".join(str(path) for path in paths)
    if as_clouds:
        return condense_clouds(cloud_chunks(paths, detector), detector, threshold_mev, source)
    return condense(_voxel_chunks(paths, detector), detector, threshold_mev, source)


def few_clouds(paths: Sequence[Path], rows: Sequence[int], detector: "Detector") -> "Clouds":
    """Read a few showers of one sample as clouds.

    Args:
        paths: its files.
        rows: which showers, counted through all files, in the order wanted.
        detector: their readout.
    """
    import numpy as np

    from jaxcalo.data import Clouds, is_cloud_file, open_clouds, open_showers
    from jaxcalo.geometry import voxels_to_points

    def as_clouds(found: "Clouds | Showers") -> Clouds:
        if isinstance(found, Clouds):
            return found
        points = voxels_to_points(found.voxel_energy_mev, detector)
        return Clouds(found.incident_energy_mev, *points)

    first, parts = 0, {}
    for path in paths:
        opened = open_clouds(path) if is_cloud_file(path) else open_showers(path, detector)
        with opened as file:
            for row in rows:
                if first <= row < first + file.n_showers:
                    parts[row] = as_clouds(file.read(row - first, row - first + 1))
            first += file.n_showers
    ordered = [parts[row] for row in rows]
    return Clouds(*(np.concatenate(columns) for columns in zip(*ordered, strict=True)))
