"""Histograms of showers and cells, generated beside reference."""

import numpy as np

from jaxcalo.metrics.sample import SPECTRUM_EDGES_MEV, Sample
from jaxcalo.metrics.separation import rebin, spectrum_bins
from jaxcalo.plots.comparison import Curve, Panel

MIN_BINS, MAX_BINS = 15, 40  # between them as many as the root of the number of showers
_TAIL_PERCENT = 0.2  # of the reference, left out at each end before the range is widened


def count_curve(
    reference: np.ndarray, generated: np.ndarray, edges: np.ndarray, sizes: tuple[int, int]
) -> Curve:
    """Return counts as entries per shower, with Poisson errors.

    Args:
        reference: (k,) counts.
        generated: (k,) counts.
        edges: (k + 1,) bin edges.
        sizes: showers in the two samples.

    Returns:
        The curve.
    """
    n, m = sizes
    return Curve(
        edges, reference / n, np.sqrt(reference) / n, generated / m, np.sqrt(generated) / m
    )


def shared_edges(reference: np.ndarray, log: bool = False) -> np.ndarray:
    """Return bin edges that show the bulk of the reference and a margin for what lies beyond.

    Args:
        reference: (n,) values.
        log: equal bins in the logarithm, of the positive values only.

    Returns:
        Increasing edges.
    """
    values = np.log10(reference[reference > 0]) if log else reference
    if not len(values):
        values = np.zeros(1)
    low, high = np.percentile(values, [_TAIL_PERCENT, 100 - _TAIL_PERCENT])
    margin = 0.15 * (high - low) or 0.5  # a constant gets a range of one unit
    start = max(low - margin, 0.0) if not log and values.min() >= 0 else low - margin
    n_bins = int(np.clip(np.sqrt(len(values)), MIN_BINS, MAX_BINS))
    edges = np.linspace(start, high + margin, n_bins + 1)
    return 10**edges if log else edges


def histogram_panel(
    reference: np.ndarray,
    generated: np.ndarray,
    x_label: str,
    title: str = "",
    log_x: bool = False,
    log_y: bool = False,
) -> Panel:
    """Return the panel of a quantity of which every shower has one value.

    Args:
        reference: (n,) values.
        generated: (m,) values.
        x_label: quantity and unit.
        title: what distinguishes the panel in its figure.
        log_x: logarithmic bins and axis.
        log_y: logarithmic axis of the counts.

    Returns:
        The panel.
    """
    edges = shared_edges(reference, log_x)
    first, second = (np.histogram(values, edges)[0] for values in (reference, generated))
    curve = count_curve(first, second, edges, (len(reference), len(generated)))
    return Panel(curve, x_label, "fraction of showers", title, log_x, log_y)


def cell_spectrum_panel(reference: Sample, generated: Sample) -> Panel:
    """Return the spectrum of all cell energies above threshold, log-log."""
    bins = spectrum_bins(reference.spectrum.sum(axis=0), reference.threshold_mev)
    first, second = (rebin(s.spectrum.sum(axis=0), bins) for s in (reference, generated))
    edges = SPECTRUM_EDGES_MEV[bins]
    curve = count_curve(first, second, edges, (reference.n_showers, generated.n_showers))
    return Panel(curve, "cell energy [MeV]", "cells per shower and bin", "", True, True)


def spectrum_panels(reference: Sample, generated: Sample) -> list[Panel]:
    """Return the spectrum of all cell energies."""
    return [cell_spectrum_panel(reference, generated)]


def energy_panels(reference: Sample, generated: Sample) -> list[Panel]:
    """Return visible over incident energy, and visible energy."""
    a, b = (sample.moments.features.e_tot_mev for sample in (reference, generated))
    ratios = (a / reference.incident_energy_mev, b / generated.incident_energy_mev)
    return [
        histogram_panel(*ratios, "visible / incident energy"),
        histogram_panel(a, b, "visible energy [MeV]", log_x=True),
    ]


def busiest_layers(reference: Sample, n_layers: int) -> np.ndarray:
    """Return up to n_layers layers that divide the reference's energy evenly, in order.

    Args:
        reference: the reference sample.
        n_layers: how many at most.

    Returns:
        Increasing indices of layers.
    """
    energy = reference.moments.features.e_layer_mev.mean(axis=0)
    if len(energy) <= n_layers:
        return np.arange(len(energy))
    share = (np.arange(n_layers) + 0.5) / n_layers
    return np.unique(np.searchsorted(np.cumsum(energy) / energy.sum(), share))


def layer_energy_panels(reference: Sample, generated: Sample) -> list[Panel]:
    """Return the energies of up to six layers; showers that leave nothing there are not shown."""
    a, b = (sample.moments.features.e_layer_mev for sample in (reference, generated))
    return [
        histogram_panel(a[:, i], b[:, i], "layer energy [MeV]", f"layer {i}", log_x=True)
        for i in busiest_layers(reference, 6)
    ]


def hit_panels(reference: Sample, generated: Sample) -> list[Panel]:
    """Return the number of hits."""
    a, b = (sample.moments.n_hits for sample in (reference, generated))
    return [histogram_panel(a, b, "cells above threshold")]


def centre_panels(reference: Sample, generated: Sample) -> list[Panel]:
    """Return the centre of energy in x and y, and along z if there are layers."""
    a, b = reference.moments, generated.moments
    panels = [
        histogram_panel(a.centre_x_mm, b.centre_x_mm, "centre of energy x [mm]"),
        histogram_panel(a.centre_y_mm, b.centre_y_mm, "centre of energy y [mm]"),
    ]
    if a.features.e_layer_mev.shape[1] > 1:
        panels.append(histogram_panel(a.centre_z, b.centre_z, "centre of energy z [layers]"))
    return panels


def width_panels(reference: Sample, generated: Sample, azimuthal: np.ndarray) -> list[Panel]:
    """Return the widths in x, y and r in the layer with the most energy.

    Args:
        reference: the reference sample.
        generated: the generated sample.
        azimuthal: layers that have columns in width_x and width_y.

    Returns:
        Three panels, or one where no layer is divided in azimuth.
    """
    a, b = reference.moments.features, generated.moments.features
    energy = a.e_layer_mev.mean(axis=0)
    panels = []
    if len(azimuthal):
        column = int(np.argmax(energy[azimuthal]))
        title = f"layer {azimuthal[column]}"
        for axis in ("x", "y"):
            first, second = (getattr(f, f"width_{axis}_mm")[:, column] for f in (a, b))
            panels.append(histogram_panel(first, second, f"width in {axis} [mm]", title))
    busiest = int(np.argmax(energy))
    first, second = a.width_r_mm[:, busiest], b.width_r_mm[:, busiest]
    panels.append(histogram_panel(first, second, "width in r [mm]", f"layer {busiest}"))
    return panels
