"""`jaxcalo inspect FILE`."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tyro

from jaxcalo.units import GeV

_N_BUCKETS = 4  # the loader's default


def inspect(file: tyro.conf.Positional[Path], /, geometry: str | None = None) -> None:
    """Check a file of showers or point clouds and say what is in it.

    Args:
        file: Showers in the CaloChallenge format (HDF5, energies in MeV), or point clouds in the
            CaloClouds or CaloClouds 3 layout (HDF5, energies in GeV).
        geometry: A shipped geometry's name or a binning XML; showers must have its voxels, clouds
            are projected to its cells. Without it only the file is checked.
    """
    from jaxcalo.data import is_cloud_file

    if is_cloud_file(file):
        _inspect_clouds(file, geometry)
    else:
        _inspect_showers(file, geometry)


def _inspect_showers(file: Path, geometry: str | None) -> None:
    """Say what is in a file of voxel showers."""
    from jaxcalo.data import open_showers
    from jaxcalo.geometry import GEOMETRIES, load_geometry

    detector = load_geometry(geometry) if geometry else None
    energies, totals, hits, smallest = [], [], 0, np.inf
    with open_showers(file, detector) as showers:
        for chunk in showers.chunks(1024):
            energies.append(chunk.incident_energy_mev)
            totals.append(chunk.voxel_energy_mev.sum(axis=1, dtype=np.float64))
            positive = chunk.voxel_energy_mev[chunk.voxel_energy_mev > 0.0]
            hits += positive.size
            smallest = min(smallest, float(positive.min())) if positive.size else smallest
        n, n_voxels, attributes = showers.n_showers, showers.n_voxels, showers.attributes
        further = showers.further_datasets()
    energy, total = np.concatenate(energies), np.concatenate(totals)
    fits = [name for name in GEOMETRIES if load_geometry(name).n_voxels == n_voxels]
    print(f"{file}: {n} showers of {n_voxels} voxels, all finite and not negative")
    _line("fits the geometries", ", ".join(fits) or "none of the shipped ones")
    _energy_lines(energy, total, "E_tot / E_inc")
    _line("hits per shower", f"{hits / n:.1f} ({100 * hits / n / n_voxels:.1f} % of the voxels)")
    _line("smallest voxel energy", f"{smallest:.5g} MeV")
    for name, n_columns, is_whole in further:
        kind = "classes" if is_whole else f"{n_columns} column{'s' if n_columns > 1 else ''}"
        _line(name, f"{kind}, possible as --data.conditions {name}")
    _attribute_lines(attributes)


def _inspect_clouds(file: Path, geometry: str | None) -> None:
    """Say what is in a file of point clouds."""
    from jaxcalo.data import open_clouds
    from jaxcalo.data.cloud_loader import bucket_sizes, padding
    from jaxcalo.geometry import load_geometry, project_cells

    detector = load_geometry(geometry) if geometry else None
    energies, totals, numbers, n_cells, in_cells = [], [], [], 0, 0.0
    low, high = np.full(4, np.inf), np.full(4, -np.inf)
    with open_clouds(file) as clouds:
        for chunk in clouds.chunks(1024):
            weights, n = chunk.points[:, 3], chunk.n_showers
            energies.append(chunk.incident_energy_mev)
            totals.append(np.bincount(chunk.shower, weights=weights, minlength=n))
            numbers.append(chunk.n_points)
            low = np.minimum(low, chunk.points.min(axis=0, initial=np.inf))
            high = np.maximum(high, chunk.points.max(axis=0, initial=-np.inf))
            if detector is not None:
                cells = project_cells(chunk.points, chunk.shower, detector)
                n_cells += len(cells.energy_mev)
                in_cells += float(cells.energy_mev.sum(dtype=np.float64))
        n, size, layout = clouds.n_showers, clouds.max_points, clouds.layout
        attributes = clouds.attributes
    energy, total, n_points = map(np.concatenate, (energies, totals, numbers))
    sizes = bucket_sizes(n_points, _N_BUCKETS)
    print(f"{file}: {n} point clouds, {layout} layout, all finite and not negative")
    _energy_lines(energy, total, "E_vis / E_inc")
    _line("points per shower", f"{n_points.min()} to {n_points.max()}, mean {n_points.mean():.1f}")
    if n_points.any():
        _line("layers", f"{low[2]:.0f} to {high[2]:.0f}")
        _line("box", f"x {low[0]:.4g} to {high[0]:.4g} mm, y {low[1]:.4g} to {high[1]:.4g} mm")
        _line("smallest point energy", f"{low[3]:.5g} MeV")
    if detector is not None:
        share = 100 * in_cells / max(total.sum(), np.finfo(float).tiny)  # no point, no share
        _line(f"cells of {detector.name}", f"{n_cells / n:.1f} per shower, {share:.2f} % of E_vis")
    _line(
        "padding in the file", f"{100 * padding(n_points, (size,)):.1f} % of {size} rows a shower"
    )
    _line(
        "padding in batches",
        f"{100 * padding(n_points, sizes):.1f} % in buckets of {', '.join(map(str, sizes))}",
    )
    _attribute_lines(attributes)


def _line(name: str, value: object) -> None:
    print(f"  {name:<23} {value}")


def _energy_lines(energy: np.ndarray, total: np.ndarray, ratio_name: str) -> None:
    ratio = total / energy
    _line("incident energy", f"{energy.min() / GeV:.4g} to {energy.max() / GeV:.4g} GeV")
    _line(ratio_name, f"{ratio.mean():.4f} (standard deviation {ratio.std():.4f})")


def _attribute_lines(attributes: Mapping[str, object]) -> None:
    for name, value in attributes.items():
        _line(name, value)
