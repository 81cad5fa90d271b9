"""The eight observables of the CaloClouds papers, of clouds on the cells of a detector.

    n_hits              cells at or above the threshold
    e_ratio             sum of their energies / incident energy
    e_cell              energies of single cells, MeV
    e_long, e_radial    energy in ten groups of layers and in ten rings about the axis, MeV
    centre_x, _y, _z    sum_i x_i E_i / sum_i E_i, mm, and the same of y and of the layer's index

Groups and rings are fitted to the reference and are then the same for all samples. The published
ones are the layers [0, 8, 11, 13, 15, 16, 18, 19, 21, 24, 29], each group up to the next one's
first layer and the last with layer 29, and the radii [0, 6.558, 9.849, 12.96, 17.028, 23.434,
33.609, 40.119, 48.491, 68.808, 300] mm. A group of layers holds a tenth of the cells. A ring holds
a tenth of the sum of the cells' radii: so the published edges were made, and deciles of the cells
themselves would collapse, since in a fine core many cells have one and the same radius.

Source: CaloClouds II, arXiv:2309.05704, section 4.2; edges: FLC-QU-hep/CaloClouds-2, evaluation.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jaxcalo.data.point_cloud import CloudFile, Clouds
from jaxcalo.errors import InputError
from jaxcalo.geometry import Detector
from jaxcalo.geometry.points import Cells
from jaxcalo.metrics.cloud_sample import ProjectedClouds, projected_chunks, source_name
from jaxcalo.metrics.features import EPS_MEV
from jaxcalo.metrics.observables import N_GROUPS, OBSERVABLES, Observable
from jaxcalo.metrics.sample import CellSubset

MAX_CELLS = 200_000  # chosen: some hundred cells of each of a thousand showers
_FEATURES = ("centre_x", "centre_y", "centre_z", "n_hits", "e_ratio", "e_long", "e_radial")


class CloudBinning(NamedTuple):
    """Groups of layers and rings.

    Attributes:
        first_layer: (n_groups,) first layer of each group, the first one 0.
        inner_radius_mm: (n_rings,) inner radius of each ring, the first one 0; the last ring has
            no end.
        axis_mm: where the showers' axis lies, x and y.
    """

    first_layer: np.ndarray
    inner_radius_mm: np.ndarray
    axis_mm: tuple[float, float] = (0.0, 0.0)

    def group(self, layer: np.ndarray) -> np.ndarray:
        """Return the group of layers (k,), from 0."""
        return np.searchsorted(self.first_layer, layer, side="right") - 1

    def ring(self, cells: Cells) -> np.ndarray:
        """Return the ring of each cell (k,), from 0."""
        radius = _radius_mm(cells, self.axis_mm)
        return np.searchsorted(self.inner_radius_mm, radius, side="right") - 1


@dataclass(frozen=True)
class CloudObservables:
    """The observables of a sample of clouds.

    Attributes:
        source: where the showers come from.
        threshold_mev: readout threshold of a cell.
        incident_energy_mev: (n,) float64.
        values: observables by name, in the order of metrics.OBSERVABLES.
    """

    source: str
    threshold_mev: float
    incident_energy_mev: np.ndarray
    values: dict[str, Observable]

    @property
    def n_showers(self) -> int:
        """Number of showers."""
        return len(self.incident_energy_mev)


def _radius_mm(cells: Cells, axis_mm: tuple[float, float]) -> np.ndarray:
    x, y = (np.asarray(at, np.float64) for at in (cells.x_mm, cells.y_mm))
    return np.hypot(x - axis_mm[0], y - axis_mm[1])


def _deciles(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the values at which the running sum of weights reaches k tenths, k = 1 ... 9."""
    order = np.argsort(values, kind="stable")
    running = np.cumsum(weights[order], dtype=np.float64)
    shares = np.arange(1, N_GROUPS) / N_GROUPS
    return values[order][np.searchsorted(running, shares * running[-1])]


def fit_cloud_binning(reference: Cells, axis_mm: tuple[float, float] = (0.0, 0.0)) -> CloudBinning:
    """Fit ten groups of layers and ten rings to a reference.

    A group begins with the layer in which the number of cells reaches k tenths of all, a ring at
    the radius at which the sum of the radii does. Where two begin at the same place there is one
    less.

    Args:
        reference: cells of the reference, all showers together.
        axis_mm: where the showers' axis lies, x and y.

    Returns:
        The binning, for all samples.

    Raises:
        InputError: the reference has no cells.
    """
    if not len(reference.energy_mev):
        raise InputError(
            "the reference has no cell at or above the threshold, expected at least one; lower the"
            " threshold or check the unit of the file's energies"
        )
    radius = _radius_mm(reference, axis_mm)
    layers = _deciles(reference.layer, np.ones(len(reference.layer)))
    # all radii 0, as in a single column of cells, leave one ring
    return CloudBinning(
        first_layer=np.unique(np.concatenate([[0], layers])),
        inner_radius_mm=np.unique(np.concatenate([[0.0], _deciles(radius, radius)])),
        axis_mm=axis_mm,
    )


def shower_observables(clouds: ProjectedClouds, binning: CloudBinning) -> dict[str, np.ndarray]:
    """Return what each shower has one value, or one vector, of.

    Args:
        clouds: n projected showers; one without cells has zero everywhere.
        binning: fitted to the reference.

    Returns:
        All observables but e_cell: arrays (n, k) float64 by name.
    """
    n, cells = clouds.n_showers, clouds.cells
    energy = cells.energy_mev.astype(np.float64)

    def total(weights: np.ndarray) -> np.ndarray:
        return np.bincount(cells.shower, weights, n)

    def spread(bins: np.ndarray, n_bins: int) -> np.ndarray:
        index = cells.shower * n_bins + bins
        return np.bincount(index, energy, n * n_bins).reshape(n, n_bins)

    visible = total(energy)
    centres = [total(energy * at) / (visible + EPS_MEV) for at in (cells.x_mm, cells.y_mm)]
    columns = {
        "n_hits": np.bincount(cells.shower, minlength=n).astype(np.float64),
        "e_ratio": visible / clouds.incident_energy_mev,
        "e_long": spread(binning.group(cells.layer), len(binning.first_layer)),
        "e_radial": spread(binning.ring(cells), len(binning.inner_radius_mm)),
        "centre_x": centres[0],
        "centre_y": centres[1],
        "centre_z": total(energy * cells.layer) / (visible + EPS_MEV),
    }
    return {name: values.reshape(n, -1) for name, values in columns.items()}


def observe_clouds(
    clouds: CloudFile | Iterable[Clouds],
    detector: Detector,
    binning: CloudBinning,
    *,
    threshold_mev: float | None = None,
    source: str | None = None,
    max_cells: int = MAX_CELLS,
) -> CloudObservables:
    """Project clouds on a detector and compute their observables, in one pass.

    e_cell holds every s-th cell of the sample, s the smallest power of two that leaves at most
    max_cells. The papers take the first N cells of N showers, those of less than one shower in a
    hundred: the same distribution with a larger error.

    Args:
        clouds: an open file, see data.open_clouds, or clouds in order, e.g. the chunks of several
            files one after the other.
        detector: the readout, Cartesian layers.
        binning: fitted to the reference, see `fit_cloud_binning`.
        threshold_mev: readout threshold of a cell, MeV; None takes the detector's (published: 0.1).
        source: name of the sample for the report; None takes the file's path.
        max_cells: how many single cell energies are kept at most.

    Returns:
        The observables.

    Raises:
        InputError: as `project_clouds`.
    """
    name, subset = source_name(clouds, source), CellSubset(max_cells)
    incident, parts = [], []
    for part in projected_chunks(clouds, detector, threshold_mev, name):
        incident.append(part.incident_energy_mev)
        parts.append(shower_observables(part, binning))
        n_hits = parts[-1]["n_hits"][:, 0].astype(np.int64)
        subset.add(part.cells.energy_mev, n_hits)
    if not sum(len(energies) for energies in incident):
        raise InputError(f"{name}: expected at least one shower, found none")
    shower = np.arange(sum(len(energies) for energies in incident))
    found = {
        key: Observable(np.concatenate([part[key] for part in parts]), shower) for key in parts[0]
    }
    cells = subset.cells()
    found["e_cell"] = Observable(cells.energy_mev[:, None], cells.shower)
    return CloudObservables(
        source=name,
        threshold_mev=float(detector.threshold_mev if threshold_mev is None else threshold_mev),
        incident_energy_mev=np.concatenate(incident),
        values={key: found[key] for key in OBSERVABLES},
    )


def are_paired(reference: CloudObservables, generated: CloudObservables) -> bool:
    """Whether generated shower j was made for the incident energy of reference shower j mod n.

    Energies are compared to a millionth, since files hold them in single precision.
    """
    energies = np.resize(reference.incident_energy_mev, generated.n_showers)
    return np.allclose(generated.incident_energy_mev, energies, rtol=1e-6, atol=0)


def cloud_features(sample: CloudObservables) -> np.ndarray:
    """Return the inputs of the papers' classifier: all observables but the cells' energies.

    Args:
        sample: n showers.

    Returns:
        (n, 25) centres in x, y and layers, n_hits, e_ratio, e_long, e_radial; fewer columns where
        the binning has fewer groups.
    """
    return np.concatenate([sample.values[name].values for name in _FEATURES], axis=1)
