"""How all figures look: one matplotlib style, applied while drawing and nowhere else.

Figures are matplotlib Figure objects without pyplot: nothing global is changed, no window is opened
and no figure is left in memory.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Of the palette of Okabe and Ito (2008), which colour-blind readers tell apart; without black,
# which is the reference's, and yellow, which is pale on white.
REFERENCE = "#555555"
REFERENCE_FILL = "#d9d9d9"
GENERATED = "#d55e00"
SERIES = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # several samples
MARKERS = ("o", "s", "^", "D", "v")  # as many as are coprime to the colours: 30 different lines
SEQUENTIAL = "viridis"
DIVERGING = "PuOr"

_STYLE: dict[Any, Any] = {
    "axes.grid": False,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "figure.dpi": 110,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "savefig.dpi": 110,
    "xtick.direction": "in",
    "xtick.labelsize": 8,
    "xtick.top": True,
    "ytick.direction": "in",
    "ytick.labelsize": 8,
    "ytick.right": True,
}


@contextmanager
def style() -> Iterator[None]:
    """Draw in the house style inside this context."""
    with mpl.rc_context(_STYLE):
        yield


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure with its own Agg canvas.

    Args:
        width: inches.
        height: inches.
    """
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def to_png(figure: Figure) -> bytes:
    """Render a figure to the bytes of a PNG file."""
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
