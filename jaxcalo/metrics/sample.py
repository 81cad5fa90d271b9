"""What is kept of a file of showers: all that the metrics need, and no showers."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np

from jaxcalo.data import ShowerFile, Showers
from jaxcalo.data.validation import check_showers
from jaxcalo.errors import InputError
from jaxcalo.geometry import Detector
from jaxcalo.metrics.features import Moments, apply_threshold, moments
from jaxcalo.metrics.tables import make_tables

MAX_CELLS = 200_000  # chosen: half as many still give a W1 to 1/sqrt(1e5) = 0.3 % of the spread
N_SPECTRUM_GROUPS = 17  # a prime, so that no short period of a file coincides with the groups
_CHUNK_VOXELS = 2**23  # 32 MiB of float32 at a time
_DROPPED_BITS = 15  # of float32's 23 bits of mantissa: 256 bins for each factor of two
_INFINITY_BITS = 0x7F800000

SPECTRUM_EDGES_MEV = (
    (np.arange((_INFINITY_BITS >> _DROPPED_BITS) + 1, dtype=np.uint32) << _DROPPED_BITS)
    .view(np.float32)
    .astype(np.float64)
)
_N_SPECTRUM_BINS = len(SPECTRUM_EDGES_MEV) - 1


class Cells(NamedTuple):
    """Energies of single cells.

    Attributes:
        energy_mev: (k,) energies above threshold, MeV.
        shower: (k,) index of the shower each belongs to.
    """

    energy_mev: np.ndarray
    shower: np.ndarray


@dataclass(frozen=True)
class Sample:
    """A file of showers, condensed.

    Attributes:
        source: where the showers come from, for the report.
        threshold_mev: the readout threshold that was applied.
        incident_energy_mev: (n,) float64.
        moments: features and observables of each shower.
        cells: every s-th hit of the file in file order, s the smallest power of two that leaves at
            most MAX_CELLS, so that also a file sorted by energy is represented evenly.
        spectrum: (N_SPECTRUM_GROUPS, n_bins) counts of all hits in SPECTRUM_EDGES_MEV, in one
            group the showers of equal index modulo N_SPECTRUM_GROUPS.
        mean_shower_mev: (n_voxels,) mean energy of each voxel.
    """

    source: str
    threshold_mev: float
    incident_energy_mev: np.ndarray
    moments: Moments
    cells: Cells
    spectrum: np.ndarray
    mean_shower_mev: np.ndarray

    @property
    def n_showers(self) -> int:
        """Number of showers."""
        return len(self.incident_energy_mev)


class CellSubset:
    """Every s-th hit of a stream, s doubled whenever more than `limit` would be held."""

    def __init__(self, limit: int):
        self._limit, self._stride, self._n_seen, self._n_showers = limit, 1, 0, 0
        self._energy, self._shower = np.zeros(0, np.float32), np.zeros(0, np.int64)

    def add(self, hits_mev: np.ndarray, n_hits: np.ndarray) -> None:
        """Add hits (k,) in shower order, of which n_hits (n,) belong to each shower."""
        chosen = np.arange(-self._n_seen % self._stride, len(hits_mev), self._stride)
        shower = self._n_showers + np.searchsorted(np.cumsum(n_hits), chosen, side="right")
        self._energy = np.concatenate([self._energy, hits_mev[chosen]])
        self._shower = np.concatenate([self._shower, shower])
        self._n_seen += len(hits_mev)
        self._n_showers += len(n_hits)
        while len(self._energy) > self._limit:
            self._stride *= 2
            self._energy, self._shower = self._energy[::2], self._shower[::2]

    def cells(self) -> Cells:
        """What is held now."""
        return Cells(self._energy.astype(np.float64), self._shower)


def _count_spectrum(hits_mev: np.ndarray, n_hits: np.ndarray, first: int) -> np.ndarray:
    """Count hits by the leading bits of their float32 pattern, which grows with the number."""
    group = (first + np.arange(len(n_hits))) % N_SPECTRUM_GROUPS
    fine = (hits_mev.view(np.uint32) >> _DROPPED_BITS).astype(np.int64)
    index = np.repeat(group * _N_SPECTRUM_BINS, n_hits) + fine
    counts = np.bincount(index, minlength=N_SPECTRUM_GROUPS * _N_SPECTRUM_BINS)
    return counts.reshape(N_SPECTRUM_GROUPS, _N_SPECTRUM_BINS)


class Condenser:
    """What is kept of showers that arrive in parts, in order.

    Args:
        n_voxels: of the detector.
        max_cells: how many single cell energies are kept at most.
    """

    def __init__(self, n_voxels: int, max_cells: int = MAX_CELLS):
        self._subset, self._total = CellSubset(max_cells), np.zeros(n_voxels)
        self._spectrum = np.zeros((N_SPECTRUM_GROUPS, _N_SPECTRUM_BINS), dtype=np.int64)
        self._incident: list[np.ndarray] = []
        self._moments: list[Moments] = []
        self.n_showers = 0

    def add(
        self,
        incident_energy_mev: np.ndarray,
        part: Moments,
        hits_mev: np.ndarray,
        total_mev: np.ndarray,
    ) -> None:
        """Add n showers.

        Args:
            incident_energy_mev: (n,).
            part: their moments.
            hits_mev: (k,) float32 energies above threshold, in the order of showers and voxels.
            total_mev: (n_voxels,) energy of each voxel, summed over the showers.
        """
        n_hits = part.n_hits.astype(np.int64)
        self._subset.add(hits_mev, n_hits)
        self._spectrum += _count_spectrum(hits_mev, n_hits, self.n_showers)
        self._total += total_mev
        self._incident.append(np.asarray(incident_energy_mev, dtype=np.float64))
        self._moments.append(part)
        self.n_showers += len(n_hits)

    def sample(self, source: str, threshold_mev: float) -> Sample:
        """Return what was kept.

        Raises:
            InputError: no showers were added.
        """
        if self.n_showers == 0:
            raise InputError(f"{source}: expected at least one shower, found none")
        return Sample(
            source=source,
            threshold_mev=float(threshold_mev),
            incident_energy_mev=np.concatenate(self._incident),
            moments=jax.tree.map(lambda *arrays: np.concatenate(arrays), *self._moments),
            cells=self._subset.cells(),
            spectrum=self._spectrum,
            mean_shower_mev=self._total / self.n_showers,
        )


def condense(
    chunks: Iterable[Showers],
    detector: Detector,
    threshold_mev: float | None = None,
    source: str = "memory",
    max_cells: int = MAX_CELLS,
) -> Sample:
    """Condense showers that arrive in chunks; the result does not depend on how they are cut.

    Args:
        chunks: the showers, in order.
        detector: their readout.
        threshold_mev: readout threshold, MeV; None takes the detector's.
        source: name of the sample, for the report.
        max_cells: how many single cell energies are kept at most.

    Returns:
        The sample.

    Raises:
        InputError: no showers, another number of voxels than the detector has, energies that are
            not finite or negative, or an incident energy that is not positive.
    """
    threshold = detector.threshold_mev if threshold_mev is None else threshold_mev
    tables, kept = make_tables(detector), Condenser(detector.n_voxels, max_cells)
    for showers in chunks:
        if showers.voxel_energy_mev.shape[1] != detector.n_voxels:
            raise InputError(
                f"{source}: expected showers of {detector.n_voxels} voxels for geometry"
                f" {detector.name!r}, found {showers.voxel_energy_mev.shape[1]};"
                " choose the geometry that the file was made with"
            )
        check_showers(showers, source, kept.n_showers)
        energy = apply_threshold(showers.voxel_energy_mev, threshold)
        total = energy.sum(axis=0, dtype=np.float64)
        kept.add(showers.incident_energy_mev, moments(energy, tables), energy[energy > 0], total)
    return kept.sample(source, threshold)


def extract(
    shower_file: ShowerFile,
    detector: Detector,
    threshold_mev: float | None = None,
    source: str | None = None,
) -> Sample:
    """Condense a file of showers in one pass that holds 32 MiB of it at a time.

    Args:
        shower_file: an open file, see data.open_showers.
        detector: its readout.
        threshold_mev: readout threshold, MeV; None takes the detector's.
        source: name of the sample for the report; None takes the file's path.

    Returns:
        The sample.
    """
    size = max(1, _CHUNK_VOXELS // detector.n_voxels)
    return condense(
        shower_file.chunks(size), detector, threshold_mev, source or str(shower_file.path)
    )
