"""Progress bars with rate and time left; in a log file, a line now and then instead."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from tqdm import tqdm


@contextlib.contextmanager
def training_bar(n_steps: int) -> Iterator[Callable[[int, dict[str, float]], None]]:
    """A bar over training steps: gives the observer (steps done, latest means) that moves it."""
    with _bar(n_steps, "training", " step") as move:

        def observe(step: int, metrics: dict[str, float]) -> None:
            notes = {"loss": "loss {:.4f}", "data_wait": "waiting for data {:.1%}"}
            shown = (text.format(metrics[name]) for name, text in notes.items() if name in metrics)
            move(step, ", ".join(shown))

        yield observe


@contextlib.contextmanager
def sampling_bar(n_events: int, unit: str = "showers") -> Iterator[Callable[[int, int], None]]:
    """A bar over showers, or events: gives the observer (done, in all) that moves it."""
    with _bar(n_events, "sampling", f" {unit}") as move:
        yield lambda done, _: move(done, "")


@contextlib.contextmanager
def counting_bar(total: int, description: str, unit: str) -> Iterator[Callable[[int, str], None]]:
    """A bar over a few long tasks: gives the observer (done, what was last) that moves it."""
    with _bar(total, description, unit) as move:
        yield move


@contextlib.contextmanager
def _bar(total: int, description: str, unit: str) -> Iterator[Callable[[int, str], None]]:
    """The bar appears with the first move, so that an error before it stands alone.

    What was done before that (the steps of a run that is resumed) does not count in the rate.
    """
    interactive = sys.stderr.isatty()
    interval = 0.5 if interactive else 15.0
    bars: list[tqdm] = []

    def move(done: int, note: str) -> None:
        if not bars:
            initial = done - 1 if unit == " step" else 0
            bars.append(
                tqdm(
                    total=total,
                    initial=initial,
                    desc=description,
                    unit=unit,
                    mininterval=interval,
                    maxinterval=interval,
                    ascii=not interactive,
                    dynamic_ncols=interactive,
                )
            )
        bars[0].set_postfix_str(note, refresh=False)
        bars[0].update(done - bars[0].n)

    try:
        yield move
    finally:
        for bar in bars:
            bar.close()
