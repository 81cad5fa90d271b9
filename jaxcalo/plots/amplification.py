"""How many training events generated events are worth, against how many are generated."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from jaxcalo.errors import InputError
from jaxcalo.metrics.amplification import Worth, at_least_events, equivalent_events
from jaxcalo.plots.cloud_comparison import looks
from jaxcalo.plots.style import REFERENCE, REFERENCE_FILL, new_figure, style


def amplification_figure(curves: Mapping[str, Sequence[Worth]]) -> Figure:
    """Draw the equivalent number of training events of each model, both axes logarithmic.

    Grey line: as many true events as are generated; dashed: the training events. A worth that
    the truth has too few events for is an arrow from what it exceeds.

    Args:
        curves: of each model, by its name, the worth of samples of increasing size; all models
            trained on as many events.

    Returns:
        The figure.

    Raises:
        InputError: no curves, or models trained on different numbers of events.
    """
    trained = {worth.n_training for curve in curves.values() for worth in curve}
    if len(trained) != 1:
        raise InputError(
            "expected at least one curve, all of models trained on equally many events, found"
            f" training sizes {sorted(trained)}; draw a figure for each"
        )
    n_training, drawn = trained.pop(), looks(list(curves))
    with style():
        figure = new_figure(5.2, 3.8)
        figure.set_layout_engine("constrained")
        axes = figure.subplots()
        axes.set(xscale="log", yscale="log")
        sizes = np.unique([worth.n_generated for curve in curves.values() for worth in curve])
        axes.plot(sizes, sizes, color=REFERENCE_FILL, linewidth=3, zorder=1, label="true events")
        axes.axhline(
            n_training, color=REFERENCE, linestyle="dashed", linewidth=1, label="training events"
        )
        for name, curve in curves.items():
            look = drawn[name]
            seen = [(w.n_generated, equivalent_events(w.inverse)) for w in curve]
            points = [(size, e.value, e.error) for size, e in seen if e is not None]
            x, y, error = np.reshape(points, (-1, 3)).T
            axes.errorbar(
                x,
                y,
                error,
                color=look.colour,
                linestyle=look.dashes,
                marker=look.marker,
                markersize=4,
                elinewidth=0.8,
                label=name,
            )
            for worth, (size, events) in zip(curve, seen, strict=True):
                if events is None:
                    limit = at_least_events(worth.inverse)
                    axes.plot(size, limit, marker=6, color=look.colour, markersize=7)
        axes.set_xlabel("generated events")
        axes.set_ylabel("worth in training events")
        axes.legend(loc="best")
    return figure
