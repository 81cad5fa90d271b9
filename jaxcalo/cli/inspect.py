"""`jaxcalo inspect FILE`."""

from pathlib import Path

import numpy as np
import tyro

from jaxcalo.units import GeV


def inspect(file: tyro.conf.Positional[Path], /, geometry: str | None = None) -> None:
    """Check a shower file and say what is in it.

    Args:
        file: A shower file in the CaloChallenge format (HDF5, energies in MeV).
        geometry: A shipped geometry's name or a binning XML; without it only the file is checked.
    """
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
    ratio = total / energy
    fits = [name for name in GEOMETRIES if load_geometry(name).n_voxels == n_voxels]
    print(f"{file}: {n} showers of {n_voxels} voxels, all finite and not negative")
    print(f"  fits the geometries     {', '.join(fits) or 'none of the shipped ones'}")
    print(f"  incident energy         {energy.min() / GeV:.4g} to {energy.max() / GeV:.4g} GeV")
    print(f"  E_tot / E_inc           {ratio.mean():.4f} (standard deviation {ratio.std():.4f})")
    print(
        f"  hits per shower         {hits / n:.1f} "
        f"({100 * hits / n / n_voxels:.1f} % of the voxels)"
    )
    print(f"  smallest voxel energy   {smallest:.5g} MeV")
    for name, n_columns, is_whole in further:
        kind = "classes" if is_whole else f"{n_columns} column{'s' if n_columns > 1 else ''}"
        print(f"  {name:<23} {kind}, possible as --data.conditions {name}")
    for name, value in attributes.items():
        print(f"  {name:<23} {value}")
