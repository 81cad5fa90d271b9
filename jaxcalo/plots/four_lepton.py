"""Pictures of four-lepton events: spectra, columns and correlations of any number of samples."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from jaxcalo.data.four_lepton import LeptonEvents
from jaxcalo.errors import InputError
from jaxcalo.metrics.correlation import pearson
from jaxcalo.metrics.estimate import Estimate
from jaxcalo.metrics.four_lepton import (
    COMPONENTS,
    SLOTS,
    lepton_columns,
    lepton_observables,
    sparse_columns,
)
from jaxcalo.plots.bands import banded_panels, bands_coverage
from jaxcalo.plots.cloud_comparison import overlay_figure
from jaxcalo.plots.comparison import Panel
from jaxcalo.plots.histograms import count_curve, shared_edges
from jaxcalo.plots.pictures import Picture
from jaxcalo.plots.style import DIVERGING, new_figure, style

Further = Mapping[str, Sequence[LeptonEvents]]  # members after the first, by the sample's name

_PAIRS = {"mass_12": "mass of leptons 1 and 2 [GeV]", "mass_34": "mass of leptons 3 and 4 [GeV]"}
_SPECTRA = {
    "mass": "mass of the four leptons [GeV]",
    "pt": "$p_T$ of the leptons [GeV]",
    "pt_event": "$p_T$ of the event [GeV]",
    **_PAIRS,
}
_Z_EDGES_GEV = np.linspace(66, 116, 26)
_MATRICES_IN_ROW, _MATRIX_INCHES = 4, 2.6


def _panel(reference: np.ndarray, generated: np.ndarray, label: str) -> Panel:
    """Values that are no numbers are in no bin, and missing from the fractions."""
    edges = shared_edges(reference[~np.isnan(reference)])
    return _panel_in(edges, reference, generated, label, log_y=True)


def _panel_in(
    edges: np.ndarray, reference: np.ndarray, generated: np.ndarray, label: str, log_y: bool
) -> Panel:
    first, second = (np.histogram(values, edges)[0] for values in (reference, generated))
    curve = count_curve(first, second, edges, (len(reference), len(generated)))
    return Panel(curve, label, "fraction of entries", log_y=log_y)


def spectrum_panels(reference: LeptonEvents, generated: LeptonEvents) -> list[Panel]:
    """Return the masses of events and pairs and the transverse momenta, with Poisson errors.

    Args:
        reference: the reference.
        generated: the generated events; those without a mass are missing from its spectrum.

    Returns:
        Seven panels, the last two with the peak of the Z alone; bins depend on the reference alone.
    """
    a, b = lepton_observables(reference), lepton_observables(generated)
    panels = [_panel(a[name].reshape(-1), b[name].reshape(-1), of) for name, of in _SPECTRA.items()]
    peaks = [_panel_in(_Z_EDGES_GEV, a[name], b[name], of, False) for name, of in _PAIRS.items()]
    return panels + peaks


def momentum_panels(reference: LeptonEvents, generated: LeptonEvents) -> list[Panel]:
    """Return px, py and pz of each lepton, which the thesis's models get wrong.

    Args:
        reference: the reference.
        generated: the generated events.

    Returns:
        Twelve panels, three for each lepton.
    """
    a, b = lepton_columns(reference), lepton_columns(generated)
    return [
        _panel(a[:, i], b[:, i], f"$p_{COMPONENTS[i % 4][1]}$ of lepton {i // 4 + 1} [GeV]")
        for i in range(a.shape[1])
        if i % 4
    ]


def _energy_panels(reference: LeptonEvents, generated: LeptonEvents) -> list[Panel]:
    """Return the energy of each lepton, in four panels."""
    a, b = lepton_columns(reference), lepton_columns(generated)
    return [
        _panel(a[:, i], b[:, i], f"energy of lepton {i // 4 + 1} [GeV]")
        for i in range(0, a.shape[1], 4)
    ]


def _overlay(
    panels: Callable[[LeptonEvents, LeptonEvents], list[Panel]],
    reference: LeptonEvents,
    generated: Mapping[str, LeptonEvents],
    label: str,
    further: Further | None,
) -> Figure:
    if not generated:
        raise InputError("expected at least one generated sample to show, found none; give one")
    return overlay_figure(_banded(panels, reference, generated, further), label)


def _banded(
    panels: Callable[[LeptonEvents, LeptonEvents], list[Panel]],
    reference: LeptonEvents,
    generated: Mapping[str, LeptonEvents],
    further: Further | None,
) -> dict[str, list[Panel]]:
    """Panels of all samples, with bands of those with further members."""
    return {
        name: banded_panels(lambda member: panels(reference, member), [events, *others])
        for name, events in generated.items()
        for others in [(further or {}).get(name, ())]
    }


def lepton_coverage(
    reference: LeptonEvents, generated: Mapping[str, LeptonEvents], further: Further
) -> dict[str, Estimate]:
    """Compute what the bands in all figures cover, of each sample with further members.

    Args:
        reference: the reference.
        generated: samples by name, the first member of those with several.
        further: their further members.
    """
    known = {name: generated[name] for name, members in further.items() if members}
    makers = (spectrum_panels, momentum_panels, _energy_panels)
    groups = [_banded(make, reference, known, further) for make in makers]
    sizes = {name: len(events.pdg) / len(reference.pdg) for name, events in known.items()}
    return {
        name: bands_coverage([panel for group in groups for panel in group[name]], sizes[name])
        for name in known
    }


def lepton_spectrum_figure(
    reference: LeptonEvents,
    generated: Mapping[str, LeptonEvents],
    label: str = "Pythia",
    further: Further | None = None,
) -> Figure:
    """Draw the spectra of all samples over the reference's, with ratios and errors.

    Args:
        reference: the reference.
        generated: samples by name, at least one.
        label: name of the reference.
        further: further members of samples that are ensembles, whose mean is drawn with a band.

    Returns:
        The figure.

    Raises:
        InputError: no samples.
    """
    return _overlay(spectrum_panels, reference, generated, label, further)


def lepton_momentum_figure(
    reference: LeptonEvents,
    generated: Mapping[str, LeptonEvents],
    label: str = "Pythia",
    further: Further | None = None,
) -> Figure:
    """Draw px, py and pz of each lepton of all samples; as lepton_spectrum_figure."""
    return _overlay(momentum_panels, reference, generated, label, further)


def lepton_energy_figure(
    reference: LeptonEvents,
    generated: Mapping[str, LeptonEvents],
    label: str = "Pythia",
    further: Further | None = None,
) -> Figure:
    """Draw the leptons' energies of all samples; as lepton_spectrum_figure."""
    return _overlay(_energy_panels, reference, generated, label, further)


def lepton_correlation_figure(
    reference: LeptonEvents, generated: Mapping[str, LeptonEvents], label: str = "Pythia"
) -> Figure:
    """Draw the Pearson matrices of the 32 sparse columns side by side.

    Args:
        reference: the reference.
        generated: samples by name; none draws the reference alone.
        label: name of the reference.

    Returns:
        The figure; titles have the Frobenius norm of the difference from the reference.
    """
    own = pearson(sparse_columns(reference))
    matrices = {label: own}
    for name, events in generated.items():
        matrix = pearson(sparse_columns(events))
        matrices[f"{name}: {np.linalg.norm(matrix - own):.2f}"] = matrix
    n_columns = min(len(matrices), _MATRICES_IN_ROW)
    n_rows = math.ceil(len(matrices) / n_columns)
    edges = np.arange(len(own) + 1) - 0.5
    middles = np.arange(len(SLOTS)) * len(COMPONENTS) + (len(COMPONENTS) - 1) / 2
    with style():
        figure = new_figure(_MATRIX_INCHES * n_columns + 1.2, _MATRIX_INCHES * n_rows + 0.4)
        figure.set_layout_engine("compressed")
        all_axes = figure.subplots(n_rows, n_columns, squeeze=False).reshape(-1)
        for axes in all_axes[len(matrices) :]:
            axes.set_axis_off()
        for axes, (title, matrix) in zip(all_axes, matrices.items(), strict=False):
            mesh = axes.pcolormesh(edges, edges, matrix, cmap=DIVERGING, vmin=-1, vmax=1)
            axes.set_aspect("equal")
            axes.invert_yaxis()
            axes.set_title(title)
            axes.set_xticks(middles, SLOTS, rotation=90)
            axes.set_yticks(middles, SLOTS)
            axes.tick_params(length=0)
        figure.colorbar(mesh, ax=all_axes, label="Pearson correlation", pad=0.02)
    return figure


def four_lepton_pictures(
    reference: LeptonEvents,
    generated: Mapping[str, LeptonEvents],
    label: str = "Pythia",
    further: Further | None = None,
) -> list[Picture]:
    """Draw all figures of a comparison, with their captions.

    Args:
        reference: the reference.
        generated: samples by name, at least one.
        label: name of the reference.
        further: as in lepton_spectrum_figure.

    Returns:
        Spectra, momenta, energies and correlations.

    Raises:
        InputError: no samples.
    """
    samples = reference, generated, label, further
    correlations = (
        "Correlations of energy and momenta in eight slots, one for each kind of particle, twice;"
        " the number is the Frobenius norm of the difference from the reference."
    )
    return [
        Picture("spectra", "Masses and transverse momenta.", lepton_spectrum_figure(*samples)),
        Picture("momenta", "Momenta of the leptons.", lepton_momentum_figure(*samples)),
        Picture("energies", "Energies of the leptons.", lepton_energy_figure(*samples)),
        Picture("correlations", correlations, lepton_correlation_figure(*samples[:3])),
    ]
