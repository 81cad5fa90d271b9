"""Which pictures a report shows, in its order."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from jaxcalo.data.point_cloud import Clouds
from jaxcalo.geometry import Detector
from jaxcalo.metrics.evaluation import Evaluation
from jaxcalo.metrics.sample import Sample
from jaxcalo.metrics.tables import is_azimuthal
from jaxcalo.plots.bands import banded_panels
from jaxcalo.plots.clouds import cloud_figure
from jaxcalo.plots.comparison import Panel, comparison_figure
from jaxcalo.plots.histograms import (
    centre_panels,
    energy_panels,
    hit_panels,
    layer_energy_panels,
    spectrum_panels,
    width_panels,
)
from jaxcalo.plots.profiles import along_panels, mean_panels, response_panels
from jaxcalo.plots.showers import SHARE, average_figures, correlation_figure

_AVERAGE = {
    "average_radius": "Average shower in layer and radius; grey where there is no energy.",
    "average_azimuth": "Average shower with the cylinder unrolled: layer and azimuth.",
    "average_crystals": "Average shower: mean energy of each crystal.",
    "average_front": "Average shower along its axis: the energy of all layers, in the part of the"
    f" calorimeter that holds {100 * SHARE:g} % of it.",
    "average_side": "Average shower from the side: the energy of all rows of cells.",
}


CLOUDS_CAPTION = (
    "Single showers of about equal energy, taken by their energy alone: points as the files have"
    " them, before they are summed into the cells that all numbers are made of. Colour and size"
    " grow with the energy of a point; grey: shadows on floor and back wall."
)


class Picture(NamedTuple):
    """A figure with its file name (without ending) and caption."""

    name: str
    caption: str
    figure: Figure


class PanelGroup(NamedTuple):
    """The panels of one figure, with its file name (without ending) and caption."""

    name: str
    caption: str
    panels: list[Panel]
    n_columns: int = 3


def panel_groups(
    reference: Sample, generated: Sequence[Sample], detector: Detector
) -> list[PanelGroup]:
    """Return all histograms and profiles of the report, in its order.

    Args:
        reference: the reference sample.
        generated: the generated sample, or its members: then the panels have bands.
        detector: their readout.
    """

    def of(make: Callable[..., list[Panel]], *more: Detector | np.ndarray) -> list[Panel]:
        return banded_panels(lambda member: make(reference, member, *more), generated)

    azimuthal = np.flatnonzero([is_azimuthal(layer) for layer in detector.relevant_layers])
    response = "Response and resolution against the incident energy."
    groups = [
        PanelGroup("profiles", "Where the energy lies on average.", of(mean_panels, detector), 2),
        PanelGroup("response", response, of(response_panels), 2),
        PanelGroup("energy", "Visible energy.", of(energy_panels)),
        PanelGroup("layer_energies", "Energy in single layers.", of(layer_energy_panels)),
        PanelGroup("cell_energies", "Spectrum of all cell energies.", of(spectrum_panels)),
        PanelGroup("hits", "Number of cells above threshold.", of(hit_panels)),
        PanelGroup("centres", "Centre of energy of each shower.", of(centre_panels)),
        PanelGroup("widths", "Width of each shower.", of(width_panels, azimuthal)),
    ]
    if detector.n_layers > 1:
        caption = "Cells and lateral width along the layers."
        groups.append(PanelGroup("layers", caption, of(along_panels, detector), 2))
    return groups


def draw_pictures(
    evaluation: Evaluation,
    reference: Sample,
    generated: Sequence[Sample],
    detector: Detector,
    labels: tuple[str, str],
    clouds: tuple[Clouds, Clouds] | None = None,
) -> list[Picture]:
    """Draw every picture of the report.

    Args:
        evaluation: the numbers of the two samples.
        reference: the reference sample.
        generated: the generated sample, or its members, the first of which is that of the
            evaluation.
        detector: their readout.
        labels: names of reference and generated sample.
        clouds: a few of reference and generated sample, of similar energies, if they are clouds.

    Returns:
        Pictures; a detector of one layer has none along the layers.
    """
    pictures = []
    if clouds is not None:
        figure = cloud_figure(dict(zip(labels, clouds, strict=True)), detector.n_layers)
        pictures = [Picture("clouds", CLOUDS_CAPTION, figure)]
    for group in panel_groups(reference, generated, detector):
        figure = comparison_figure(group.panels, labels, group.n_columns)
        pictures.append(Picture(group.name, group.caption, figure))
    if detector.n_layers > 1:
        caption = "Correlations between the energies of the layers."
        figure = correlation_figure(evaluation.correlation, labels)
        pictures.append(Picture("correlations", caption, figure))
    averages = average_figures(
        detector, reference.mean_shower_mev, generated[0].mean_shower_mev, labels
    )
    return pictures + [Picture(name, _AVERAGE[name], fig) for name, fig in averages.items()]
