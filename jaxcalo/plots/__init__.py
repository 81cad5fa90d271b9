"""Plots: numbers in, matplotlib Figure out; and the report that shows them.

`write_report` is what the command line calls; the figures can be drawn one by one.
"""

from jaxcalo.plots.amplification import amplification_figure
from jaxcalo.plots.bands import banded_panels, bands_coverage
from jaxcalo.plots.clouds import cloud_figure, similar_rows
from jaxcalo.plots.comparison import Curve, Panel, comparison_figure
from jaxcalo.plots.four_lepton import (
    four_lepton_pictures,
    lepton_correlation_figure,
    lepton_energy_figure,
    lepton_momentum_figure,
    lepton_spectrum_figure,
)
from jaxcalo.plots.four_lepton_tables import (
    column_table,
    lepton_notes,
    lepton_verdict,
    overlap_table,
    slot_table,
    thesis_table,
)
from jaxcalo.plots.pareto import ParetoFloor, ParetoPoint, pareto_figure, pareto_table
from jaxcalo.plots.pictures import PanelGroup, Picture, draw_pictures, panel_groups
from jaxcalo.plots.report import write_report
from jaxcalo.plots.showers import average_figures, correlation_figure
from jaxcalo.plots.speed import bar_figure, rate_figure
from jaxcalo.plots.style import new_figure, style, to_png

__all__ = [
    "Curve",
    "Panel",
    "PanelGroup",
    "ParetoFloor",
    "ParetoPoint",
    "Picture",
    "amplification_figure",
    "average_figures",
    "banded_panels",
    "bands_coverage",
    "bar_figure",
    "cloud_figure",
    "column_table",
    "comparison_figure",
    "correlation_figure",
    "draw_pictures",
    "four_lepton_pictures",
    "lepton_correlation_figure",
    "lepton_energy_figure",
    "lepton_momentum_figure",
    "lepton_notes",
    "lepton_spectrum_figure",
    "lepton_verdict",
    "new_figure",
    "overlap_table",
    "panel_groups",
    "pareto_figure",
    "pareto_table",
    "rate_figure",
    "similar_rows",
    "slot_table",
    "style",
    "thesis_table",
    "to_png",
    "write_report",
]
