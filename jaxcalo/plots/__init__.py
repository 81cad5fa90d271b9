"""Plots: numbers in, matplotlib Figure out; and the report that shows them.

`write_report` is what the command line calls; the figures can be drawn one by one.
"""

from jaxcalo.plots.clouds import cloud_figure, similar_rows
from jaxcalo.plots.comparison import Curve, Panel, comparison_figure
from jaxcalo.plots.pareto import ParetoFloor, ParetoPoint, pareto_figure, pareto_table
from jaxcalo.plots.pictures import Picture, draw_pictures
from jaxcalo.plots.report import write_report
from jaxcalo.plots.showers import average_figures, correlation_figure
from jaxcalo.plots.style import new_figure, style, to_png

__all__ = [
    "Curve",
    "Panel",
    "ParetoFloor",
    "ParetoPoint",
    "Picture",
    "average_figures",
    "cloud_figure",
    "comparison_figure",
    "correlation_figure",
    "draw_pictures",
    "new_figure",
    "pareto_figure",
    "pareto_table",
    "similar_rows",
    "style",
    "to_png",
    "write_report",
]
