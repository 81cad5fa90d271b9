"""metrics.jsonl: one JSON object a line, appended as the run goes by the first process."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np


class RunLog:
    """Appends to a run's metrics.jsonl, flushing each line: a killed run keeps its history."""

    def __init__(self, path: Path):
        self._path = path
        self._writes = jax.process_index() == 0

    def write(self, record: dict[str, Any]) -> None:
        """Append one record; arrays become lists, non-finite numbers null (strict JSON)."""
        if not self._writes:
            return
        line = json.dumps({name: _plain(value) for name, value in record.items()}, allow_nan=False)
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")

    def drop_after(self, step: int) -> None:
        """Forget the records of steps after a checkpoint, which the resumed run will make again."""
        if not self._writes:
            return
        records = [record for record in read_metrics(self._path) if record["step"] <= step]
        self._path.write_text(
            "".join(json.dumps(record) + "\n" for record in records), encoding="utf-8"
        )


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All whole records of a metrics.jsonl; a last line cut short by a kill is left out."""
    if not path.exists():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


def _plain(value: Any) -> Any:
    if isinstance(value, str | int | bool | None):
        return value
    array = np.asarray(value, np.float64)
    return np.where(np.isfinite(array), array.astype(object), np.asarray(None)).tolist()
