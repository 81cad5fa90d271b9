"""What a benchmark writes: its rows as they come, and at the end a figure beside them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxcalo.cli.machine import commit, machine_record
from jaxcalo.errors import InputError
from jaxcalo.whole_files import write_all

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from jaxcalo.experiment import Peak


class Record:
    """The rows of one benchmark: printed, and written anew with each, whole or not at all."""

    def __init__(self, out: Path | None, settings: dict[str, Any]):
        """Give the file to write, if any, and what all rows share.

        Raises:
            InputError: The file is a folder.
        """
        check_file(out)
        self._out = out
        self._record = {"settings": settings, "commit": commit(), **machine_record()}
        self.rows: list[dict[str, Any]] = []
        self.peaks: dict[str, Peak] = {}

    def peak(self, dtype: str) -> "Peak":
        """The machine's peak for a type of numbers, measured when it is first asked for."""
        from jaxcalo.experiment import measure_peak

        if dtype not in self.peaks:
            peak = self.peaks[dtype] = measure_peak(dtype)
            cpu = peak.gflops_per_cpu_s
            also = "" if cpu is None else f", {cpu:.4g} GFLOP a second of CPU time"
            print(
                f"peak of {dtype} products: {peak.gflops_per_s:.4g} GFLOP/s{also} "
                f"({peak.size} x {peak.size})"
            )
        return self.peaks[dtype]

    def add(self, row: dict[str, Any], text: str) -> None:
        """Print a row and write all rows so far."""
        self.rows.append(row)
        print(text, flush=True)
        if self._out is not None:
            peaks = {name: peak._asdict() for name, peak in self.peaks.items()}
            write_json(self._out, {**self._record, "peaks": peaks, "rows": self.rows})

    def draw(self, figure: "Figure") -> None:
        """Write the figure beside the rows."""
        from jaxcalo.plots import to_png

        if self._out is not None:
            picture = self._out.with_suffix(".png")
            write_all(picture.parent, {picture.name: to_png(figure)})
            print(f"written: {self._out} and {picture.name}")


def check_file(path: Path | None) -> None:
    """Make the folder of a file that is to be written.

    Raises:
        InputError: The file is a folder.
    """
    if path is None:
        return
    if path.is_dir():
        raise InputError(
            f"-o: expected a file to write, found the folder {path}; give a file in it"
        )
    path.parent.mkdir(parents=True, exist_ok=True)


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Write a record, whole or not at all."""
    write_all(path.parent, {path.name: (json.dumps(record, indent=1) + "\n").encode()})
