"""Profiles: mean quantities along the shower, across it and along the incident energy."""

import numpy as np

from jaxcalo.geometry import Detector
from jaxcalo.metrics.sample import Sample
from jaxcalo.metrics.tables import ring_areas_mm2, ring_edges_mm
from jaxcalo.plots.comparison import Curve, Panel
from jaxcalo.units import GeV

N_ENERGY_BINS = 12
_MIN_ENTRIES = 5  # a spread from fewer showers says nothing
_NARROWEST = 0.1  # width of a ring on a logarithmic axis, over its radius
_NEARLY_EMPTY = 0.9  # a fraction of empty voxels above which their number says nothing to the eye


def layer_edges(n_layers: int) -> np.ndarray:
    """Return bins of one layer, centred on its index."""
    return np.arange(n_layers + 1) - 0.5


def _ring_panel(curve: Curve) -> Panel:
    """The panel of energy per area, with the axis that its rings need."""
    is_wide = bool(curve.edges[-1] > 40 * curve.edges[1])
    if is_wide:
        curve = joined_rings(curve)
        start = curve.edges[0] or curve.edges[1] / 2
        curve = curve._replace(edges=np.concatenate([[start], curve.edges[1:]]))
    y_label = "energy / area [MeV/mm$^2$]"
    return Panel(curve, "radius [mm]", y_label, "radial profile", is_wide, log_y=True)


def _mean_curve(reference: np.ndarray, generated: np.ndarray) -> Curve:
    """Mean over showers of (n, n_layers) and (m, n_layers) values, with errors."""
    columns = []
    for values in (reference, generated):
        columns += [values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))]
    return Curve(layer_edges(reference.shape[1]), *columns)


def joined_rings(curve: Curve) -> Curve:
    """Join rings that a logarithmic axis would crowd: each at least _NARROWEST of its radius.

    A ring counts with the difference of its squared radii; errors are added in squares, as far out,
    where rings are joined, the energies of neighbours are nearly independent.
    """
    edges, first = curve.edges, [0]
    for i in range(1, len(edges) - 1):
        if edges[i] >= (1 + _NARROWEST) * edges[first[-1]] and (
            edges[-1] >= (1 + _NARROWEST) * edges[i]
        ):
            first.append(i)
    area = np.diff(edges**2)
    total = np.add.reduceat(area, first)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(area * values, first) / total

    def error(values: np.ndarray) -> np.ndarray:
        return np.sqrt(np.add.reduceat((area * values) ** 2, first)) / total

    return Curve(
        np.append(edges[first], edges[-1]),
        mean(curve.reference),
        error(curve.reference_error),
        mean(curve.generated),
        error(curve.generated_error),
    )


def mean_layer_panel(reference: Sample, generated: Sample) -> Panel:
    """Return the mean energy of each layer."""
    a, b = (sample.moments.features.e_layer_mev for sample in (reference, generated))
    return Panel(_mean_curve(a, b), "layer", "mean energy [MeV]", "longitudinal profile")


def mean_ring_panel(reference: Sample, generated: Sample, detector: Detector) -> Panel:
    """Return the mean energy per area of each ring.

    A detector whose rings differ much in width gets a logarithmic axis that starts inside the
    first ring.
    """
    edges = ring_edges_mm(detector)
    area = ring_areas_mm2(detector, edges)
    a, b = (sample.moments.ring_energy_mev / area for sample in (reference, generated))
    return _ring_panel(_mean_curve(a, b)._replace(edges=edges))


def mean_panels(reference: Sample, generated: Sample, detector: Detector) -> list[Panel]:
    """Return where the energy lies: along the shower if there are layers, and across it."""
    across = mean_ring_panel(reference, generated, detector)
    return [mean_layer_panel(reference, generated), across] if detector.n_layers > 1 else [across]


def sparsity_panel(reference: Sample, generated: Sample) -> Panel:
    """Return the mean fraction of empty voxels of each layer."""
    curve = _mean_curve(reference.moments.features.sparsity, generated.moments.features.sparsity)
    return Panel(curve, "layer", "fraction of empty voxels", "sparsity")


def occupancy_panel(reference: Sample, generated: Sample, detector: Detector) -> Panel:
    """Return the sparsity of the layers; of fine cells, nearly all empty, the number of hits.

    Args:
        reference: the reference sample.
        generated: the generated sample.
        detector: their readout.
    """
    empty = [sample.moments.features.sparsity for sample in (reference, generated)]
    if empty[0].mean(axis=0).min() < _NEARLY_EMPTY:
        return sparsity_panel(reference, generated)
    a, b = ((1 - values) * np.diff(detector.offsets) for values in empty)
    return Panel(_mean_curve(a, b), "layer", "mean cells above threshold", "hits")


def width_profile_panel(reference: Sample, generated: Sample) -> Panel:
    """Return the mean radial width of each layer."""
    a, b = (sample.moments.features.width_r_mm for sample in (reference, generated))
    return Panel(_mean_curve(a, b), "layer", "mean width in r [mm]", "lateral width")


def along_panels(reference: Sample, generated: Sample, detector: Detector) -> list[Panel]:
    """Return occupancy and width of the layers."""
    return [
        occupancy_panel(reference, generated, detector),
        width_profile_panel(reference, generated),
    ]


def energy_edges(incident_mev: np.ndarray) -> np.ndarray:
    """Return bins of the incident energy: around the values of a discrete spectrum, or logarithmic.

    Args:
        incident_mev: (n,) incident energies of the reference.

    Returns:
        Increasing edges; two for a single energy.
    """
    values = np.unique(incident_mev)
    if len(values) > 2 * N_ENERGY_BINS:
        return np.geomspace(values[0], values[-1] * (1 + 1e-6), N_ENERGY_BINS + 1)
    inner = np.sqrt(values[1:] * values[:-1])
    first = values[0] ** 2 / inner[0] if len(inner) else values[0] / 2
    last = values[-1] ** 2 / inner[-1] if len(inner) else values[-1] * 2
    return np.concatenate([[first], inner, [last]])


def _response(incident_mev: np.ndarray, ratio: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """(4, k): mean and error, relative spread and error of the ratio in bins of energy."""
    bins = np.searchsorted(edges, incident_mev, side="right") - 1
    found = np.full((4, len(edges) - 1), np.nan)
    for i in range(len(edges) - 1):
        inside = ratio[bins == i]
        if len(inside) < _MIN_ENTRIES or not inside.any():
            continue
        mean, spread = inside.mean(), inside.std(ddof=1)
        n = len(inside)
        found[:, i] = mean, spread / np.sqrt(n), spread / mean, spread / mean / np.sqrt(2 * n)
    return found


def response_panels(reference: Sample, generated: Sample) -> list[Panel]:
    """Return mean (response) and relative spread (resolution) of the visible energy.

    Both against the incident energy: the moments of the detector's answer as functions of the
    condition, where a wrong conditioning shows that a marginal distribution may hide.
    """
    edges = energy_edges(reference.incident_energy_mev)
    first, second = (
        _response(
            sample.incident_energy_mev,
            sample.moments.features.e_tot_mev / sample.incident_energy_mev,
            edges,
        )
        for sample in (reference, generated)
    )
    return [
        Panel(
            Curve(edges / GeV, *first[rows], *second[rows]),
            "incident energy [GeV]",
            y_label,
            title,
            log_x=True,
        )
        for rows, y_label, title in (
            (slice(0, 2), "mean visible / incident", "response"),
            (slice(2, 4), "relative spread", "resolution"),
        )
    ]
