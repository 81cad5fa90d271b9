"""Separation power of histograms: the triangular discrimination of the CaloChallenge.

    S = 1/2 sum_i (h1_i - h2_i)^2 / (h1_i + h2_i),   0 <= S <= 1            (1)

with histograms normalised to sum 1 inside their range; energies outside the range are dropped.

The edges are the challenge's. Its ranges of centres and widths are listed by data set; here they
follow from the outer radius R of each layer, and agree with the list for data sets 1, 2 and 3:

    R in mm      centre_x, centre_y   width_x, width_y   centre_r    width_r
    up to 50     +-30 R/41.85         30 R/41.85         42 R/41.85  20 R/41.85
    50 to 1000   +-100                100                500         500
    above 1000   +-500                400                1500        1500

Source: arXiv:2009.03796, equation 15; CaloChallenge, arXiv:2410.21611, section 4.
"""

from typing import NamedTuple

import numpy as np

from jaxcalo.geometry import Detector
from jaxcalo.metrics.estimate import Estimate, within_floor
from jaxcalo.metrics.sample import N_SPECTRUM_GROUPS, SPECTRUM_EDGES_MEV, Sample
from jaxcalo.metrics.splits import halves
from jaxcalo.metrics.tables import is_azimuthal, outer_radius_mm

N_EDGES = 101
N_LAYER_ENERGY_EDGES = 40
N_VOXEL_ENERGY_EDGES = 50
_R_DS2_MM = 41.85
_EPS = 1e-16  # keeps bins that are empty in both histograms at zero instead of 0/0


class Separation(NamedTuple):
    """Separation power of one quantity, a mean over its layers, and the same between halves."""

    value: float
    floor: Estimate

    @property
    def agrees(self) -> bool:
        """Whether the power is at most the floor plus N_SIGMA of its errors."""
        return within_floor(self.value, self.floor.value, self.floor.error)


class Ranges(NamedTuple):
    """Upper ends of a layer's histograms, mm; centre_x is from -centre_xy to +centre_xy."""

    centre_xy: float
    width_xy: float
    centre_r: float
    width_r: float


class _Digits(NamedTuple):
    """Bin numbers of one column in both samples; n_bins stands for outside."""

    reference: np.ndarray
    generated: np.ndarray
    n_bins: int


def separation_power(first: np.ndarray, second: np.ndarray) -> float:
    """Compute equation (1) from counts.

    An empty histogram is disjoint from one with entries (S = 1) and equal to an empty one (S = 0).

    Args:
        first: (n_bins,) counts.
        second: (n_bins,) counts in the same bins.

    Returns:
        S.
    """
    if not first.sum() or not second.sum():
        return float(bool(first.sum()) != bool(second.sum()))
    a, b = first / first.sum(), second / second.sum()
    return float(0.5 * np.sum((a - b) ** 2 / (a + b + _EPS)))


def with_floor(value: float, floors: list[float], n: int) -> Separation:
    """Return a power with its floor: mean and standard deviation over several divisions.

    Args:
        value: power between the samples.
        floors: powers between halves of the reference.
        n: showers in a half.
    """
    return Separation(value, Estimate(float(np.mean(floors)), float(np.std(floors, ddof=1)), n))


def ranges(outer_radius: float) -> Ranges:
    """Return the histogram ranges of a layer by the table above.

    Args:
        outer_radius: of the layer, mm.
    """
    if outer_radius <= 50:
        scale = outer_radius / _R_DS2_MM
        return Ranges(30 * scale, 30 * scale, 42 * scale, 20 * scale)
    if outer_radius <= 1000:
        return Ranges(100, 100, 500, 500)
    return Ranges(500, 400, 1500, 1500)


def ratio_edges(e_ratio: np.ndarray) -> np.ndarray:
    """Edges of E_tot/E_inc: 0.5 to 1.5, times the mean if most of the reference lies outside.

    Args:
        e_ratio: (n,) ratios of the reference.

    Returns:
        (101,) edges.
    """
    usual = np.mean((e_ratio >= 0.5) & (e_ratio <= 1.5)) >= 0.5
    return np.linspace(0.5, 1.5, N_EDGES) * (1.0 if usual else e_ratio.mean())


def energy_edges(energy_mev: np.ndarray, threshold_mev: float, n_edges: int) -> np.ndarray:
    """Edges of an energy: logarithmic from the threshold to the reference's maximum.

    Both ends are exact, so that the largest energy is always inside; in the official script the
    rounding of 10^(log10 E) decides that. Without a threshold the edges start at the smallest
    positive energy; a layer that is empty in the reference gets one decade from the threshold, in
    which a generated energy would be seen.

    Args:
        energy_mev: (n,) energies in the reference.
        threshold_mev: readout threshold.
        n_edges: N_LAYER_ENERGY_EDGES for a layer, N_VOXEL_ENERGY_EDGES for all voxels.

    Returns:
        (n_edges,) edges, MeV.
    """
    positive = energy_mev[energy_mev > 0]
    low = threshold_mev or positive.min(initial=np.inf)
    low = low if np.isfinite(low) else 1.0
    high = max(positive.max(initial=0.0), 10 * low if not len(positive) else low * (1 + 1e-6))
    edges = np.geomspace(low, high, n_edges)
    edges[[0, -1]] = low, high
    return edges


def spectrum_bins(spectrum: np.ndarray, threshold_mev: float) -> np.ndarray:
    """Edges of the voxel-energy histogram, as indices into SPECTRUM_EDGES_MEV.

    Logarithmic from the threshold to the reference's maximum, moved to the fine bins (0.4 % wide)
    in which the hits were counted while the file was read, before that maximum was known. The power
    differs from that with the exact edges by less than a tenth of the floor's error; for the exact
    one see voxel_separation.

    Args:
        spectrum: (n_bins,) fine counts of the reference.
        threshold_mev: readout threshold.

    Returns:
        (at most 50,) increasing indices.
    """
    filled = np.flatnonzero(spectrum)
    lowest = SPECTRUM_EDGES_MEV[filled[0]] if len(filled) else 1.0
    low = threshold_mev or max(lowest, SPECTRUM_EDGES_MEV[1])
    first = int(np.searchsorted(SPECTRUM_EDGES_MEV, low, side="right")) - 1
    last = max(int(filled[-1]) if len(filled) else first, first) + 1
    edges = np.geomspace(low, SPECTRUM_EDGES_MEV[last], N_VOXEL_ENERGY_EDGES)
    middles = (SPECTRUM_EDGES_MEV[1:] + SPECTRUM_EDGES_MEV[:-1]) / 2
    nearest = np.searchsorted(middles, edges[1:-1])
    return np.unique([first, *np.clip(nearest, first, last), last])


def rebin(spectrum: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """Sum fine counts (..., n_bins) into the coarse bins between the given indices."""
    below = np.cumsum(spectrum, axis=-1)
    below = np.concatenate([np.zeros_like(below[..., :1]), below], axis=-1)
    return np.diff(below[..., bins], axis=-1)


def bin_numbers(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the bin of every value, counted as in np.histogram; n_bins for one outside.

    Args:
        values: numbers of any shape.
        edges: (n_bins + 1,) increasing edges; the last bin holds its upper edge.
    """
    n_bins = len(edges) - 1
    index = np.searchsorted(edges, values, side="right") - 1
    index[values == edges[-1]] = n_bins - 1
    return np.where((index < 0) | (index >= n_bins), n_bins, index)


def _digitise(reference: np.ndarray, generated: np.ndarray, edges: np.ndarray) -> _Digits:
    """Both samples in the same bins."""
    return _Digits(bin_numbers(reference, edges), bin_numbers(generated, edges), len(edges) - 1)


def _columns(reference: Sample, generated: Sample, detector: Detector) -> dict[str, list[_Digits]]:
    """The digitised quantities by name, one entry a layer."""
    a, b = reference.moments.features, generated.moments.features
    every = [ranges(outer_radius_mm(layer)) for layer in detector.relevant_layers]
    azimuthal = [
        r for r, layer in zip(every, detector.relevant_layers, strict=True) if is_azimuthal(layer)
    ]
    ratio = a.e_tot_mev / reference.incident_energy_mev
    edges = {
        "e_layer": [
            energy_edges(e, reference.threshold_mev, N_LAYER_ENERGY_EDGES) for e in a.e_layer_mev.T
        ],
        "centre_x": [np.linspace(-r.centre_xy, r.centre_xy, N_EDGES) for r in azimuthal],
        "centre_y": [np.linspace(-r.centre_xy, r.centre_xy, N_EDGES) for r in azimuthal],
        "width_x": [np.linspace(0, r.width_xy, N_EDGES) for r in azimuthal],
        "width_y": [np.linspace(0, r.width_xy, N_EDGES) for r in azimuthal],
        "centre_r": [np.linspace(0, r.centre_r, N_EDGES) for r in every],
        "width_r": [np.linspace(0, r.width_r, N_EDGES) for r in every],
        "sparsity": [np.linspace(0, 1, 21) for _ in every],
    }
    suffix = {"e_layer": "_mev", "sparsity": ""}
    columns = {
        name: [
            _digitise(x, y, e)
            for x, y, e in zip(
                getattr(a, name + suffix.get(name, "_mm")).T,
                getattr(b, name + suffix.get(name, "_mm")).T,
                per_layer,
                strict=True,
            )
        ]
        for name, per_layer in edges.items()
        if per_layer
    }
    other = b.e_tot_mev / generated.incident_energy_mev
    return {"e_ratio": [_digitise(ratio, other, ratio_edges(ratio))], **columns}


def _mean_power(pairs: list[tuple[np.ndarray, np.ndarray]], n_bins: list[int]) -> float:
    """Mean over layers of the power between two lists of bin numbers."""
    return float(
        np.mean(
            [
                separation_power(*(np.bincount(d, minlength=n + 1)[:n] for d in pair))
                for pair, n in zip(pairs, n_bins, strict=True)
            ]
        )
    )


def _of_features(columns: list[_Digits], masks: list[tuple[np.ndarray, np.ndarray]]) -> Separation:
    """Value between the samples, floor between the halves of the reference."""
    n_bins = [d.n_bins for d in columns]
    value = _mean_power([(d.reference, d.generated) for d in columns], n_bins)
    floors = [
        _mean_power([(d.reference[one], d.reference[other]) for d in columns], n_bins)
        for one, other in masks
    ]
    return with_floor(value, floors, int(min(masks[0][0].sum(), masks[0][1].sum())))


def histogram_separation(
    reference: np.ndarray,
    generated: np.ndarray,
    edges: np.ndarray,
    masks: list[tuple[np.ndarray, np.ndarray]],
) -> Separation:
    """Compute the separation power of one quantity in given bins.

    Args:
        reference: (n,) values of the reference.
        generated: (m,) values of the sample to judge.
        edges: increasing edges; the last bin holds its upper edge, values outside are dropped.
        masks: divisions of the n showers into halves, for the floor.

    Returns:
        Separation.
    """
    return _of_features([_digitise(reference, generated, edges)], masks)


def _of_spectrum(reference: Sample, generated: Sample) -> Separation:
    """The same for the voxel energies, whose halves are groups of showers."""
    total = reference.spectrum.sum(axis=0)
    bins = spectrum_bins(total, reference.threshold_mev)
    counts = rebin(reference.spectrum, bins)
    value = separation_power(counts.sum(axis=0), rebin(generated.spectrum.sum(axis=0), bins))
    n_other = max(1, round(N_SPECTRUM_GROUPS * generated.n_showers / reference.n_showers))
    floors = [
        separation_power(counts[one].sum(axis=0), counts[other].sum(axis=0))
        for one, other in halves(N_SPECTRUM_GROUPS, n_other)
    ]
    return with_floor(value, floors, reference.n_showers // 2)


def separations(
    reference: Sample,
    generated: Sample,
    detector: Detector,
    masks: list[tuple[np.ndarray, np.ndarray]],
) -> dict[str, Separation]:
    """Compute the separation power of every quantity of the challenge.

    Args:
        reference: the reference sample.
        generated: the sample to judge.
        detector: their readout.
        masks: divisions of the reference's showers into halves, for the floor.

    Returns:
        Separations by name: e_ratio, e_layer, centre_x, ..., sparsity, e_voxel.
    """
    found = {
        name: _of_features(columns, masks)
        for name, columns in _columns(reference, generated, detector).items()
    }
    found["e_voxel"] = _of_spectrum(reference, generated)
    return found
