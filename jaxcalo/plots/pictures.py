"""Which pictures a report shows, in its order."""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from jaxcalo.data.point_cloud import Clouds
from jaxcalo.geometry import Detector
from jaxcalo.metrics.evaluation import Evaluation
from jaxcalo.metrics.sample import Sample
from jaxcalo.metrics.tables import is_azimuthal
from jaxcalo.plots.clouds import cloud_figure
from jaxcalo.plots.comparison import comparison_figure
from jaxcalo.plots.histograms import (
    cell_spectrum_panel,
    centre_panels,
    energy_panels,
    hit_panels,
    layer_energy_panels,
    width_panels,
)
from jaxcalo.plots.profiles import (
    longitudinal_panel,
    occupancy_panel,
    radial_panel,
    response_panels,
    width_profile_panel,
)
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


def _histograms(
    reference: Sample, generated: Sample, detector: Detector, labels: tuple[str, str]
) -> list[Picture]:
    """The distributions over showers and cells."""
    pair = (reference, generated)
    azimuthal = np.flatnonzero([is_azimuthal(layer) for layer in detector.relevant_layers])
    drawn = (
        ("energy", "Visible energy.", energy_panels(*pair)),
        ("layer_energies", "Energy in single layers.", layer_energy_panels(*pair)),
        ("cell_energies", "Spectrum of all cell energies.", [cell_spectrum_panel(*pair)]),
        ("hits", "Number of cells above threshold.", hit_panels(*pair)),
        ("centres", "Centre of energy of each shower.", centre_panels(*pair)),
        ("widths", "Width of each shower.", width_panels(*pair, azimuthal)),
    )
    return [
        Picture(name, caption, comparison_figure(panels, labels)) for name, caption, panels in drawn
    ]


def draw_pictures(
    evaluation: Evaluation,
    reference: Sample,
    generated: Sample,
    detector: Detector,
    labels: tuple[str, str],
    clouds: tuple[Clouds, Clouds] | None = None,
) -> list[Picture]:
    """Draw every picture of the report.

    Args:
        evaluation: the numbers of the two samples.
        reference: the reference sample.
        generated: the generated sample.
        detector: their readout.
        labels: names of reference and generated sample.
        clouds: a few of reference and generated sample, of similar energies, if they are clouds.

    Returns:
        Pictures; a detector of one layer has none along the layers.
    """
    layered = detector.n_layers > 1
    single = []
    if clouds is not None:
        figure = cloud_figure(dict(zip(labels, clouds, strict=True)), detector.n_layers)
        single = [Picture("clouds", CLOUDS_CAPTION, figure)]
    profiles = [longitudinal_panel(evaluation)] if layered else []
    pictures = [
        *single,
        Picture(
            "profiles",
            "Where the energy lies on average.",
            comparison_figure([*profiles, radial_panel(evaluation)], labels, n_columns=2),
        ),
        Picture(
            "response",
            "Response and resolution against the incident energy.",
            comparison_figure(response_panels(reference, generated), labels, n_columns=2),
        ),
        *_histograms(reference, generated, detector, labels),
    ]
    if layered:
        panels = [
            occupancy_panel(reference, generated, detector),
            width_profile_panel(reference, generated),
        ]
        pictures += [
            Picture(
                "layers",
                "Cells and lateral width along the layers.",
                comparison_figure(panels, labels, n_columns=2),
            ),
            Picture(
                "correlations",
                "Correlations between the energies of the layers.",
                correlation_figure(evaluation.correlation, labels),
            ),
        ]
    averages = average_figures(
        detector, reference.mean_shower_mev, generated.mean_shower_mev, labels
    )
    return pictures + [Picture(name, _AVERAGE[name], fig) for name, fig in averages.items()]
