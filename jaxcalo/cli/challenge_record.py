"""challenge.json: what is measured so far, and with what; JSON alone, replaced after each step."""

import dataclasses
import hashlib
import json
import math
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jaxcalo.errors import InputError
from jaxcalo.whole_files import write_all

if TYPE_CHECKING:
    from jaxcalo.geometry import Detector
    from jaxcalo.metrics import Estimate
    from jaxcalo.metrics.challenge_measures import Row
    from jaxcalo.metrics.challenge_protocol import Protocol
    from jaxcalo.plots.challenge import ChallengeResult

_NAME = "challenge.json"
_SCOPE = ("classifiers", "floor")  # which steps there are, not what they give


class Record(NamedTuple):
    """What stands in the file.

    Attributes:
        settings: everything that the numbers depend on.
        measured: quantities by row and step.
    """

    settings: dict[str, Any]
    measured: "dict[str, dict[str, Row]]"


def settings_of(
    reference: Path, generated: tuple[Path, ...], detector: "Detector", protocol: "Protocol"
) -> dict[str, Any]:
    """What the numbers depend on: files by their content, readout, protocol, versions."""
    numbers = {k: v for k, v in dataclasses.asdict(protocol).items() if k not in _SCOPE}
    settings = {
        "reference": _file(reference),
        "generated": [_file(path) for path in generated],
        "geometry": {
            "name": detector.name,
            "particle": detector.particle,
            "threshold_mev": detector.threshold_mev,
            "layers_sha256": hashlib.sha256(repr(detector.layers).encode()).hexdigest(),
        },
        "protocol": numbers,
        "versions": {name: version(name) for name in ("jaxcalo", "jax", "flax")},
    }
    return json.loads(json.dumps(settings))  # lists for tuples, as they will be read


def _file(path: Path) -> dict[str, str]:
    with path.open("rb") as stream:
        return {"name": path.name, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}


def read_record(out: Path, settings: dict[str, Any]) -> Record:
    """What an earlier call with the same settings has measured; an empty record if there is none.

    Raises:
        InputError: the folder holds something else, or the result of other settings.
    """
    path = out / _NAME
    if not path.exists():
        return Record(settings, {})
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        changed = [key for key in settings if content["settings"][key] != settings[key]]
        measured = {
            row: {
                step: {name: _estimate(**fields) for name, fields in quantities.items()}
                for step, quantities in taken.items()
            }
            for row, taken in content["measured"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: expected a result of jaxcalo challenge, found something else; choose another"
            " --out"
        ) from error
    if changed:
        raise InputError(
            f"{path}: expected the result of the same files and settings, found other"
            f" {', '.join(changed)}; choose another --out"
        )
    return Record(settings, measured)


def _estimate(value: float, error: float | None, n: int) -> "Estimate":
    from jaxcalo.metrics import Estimate

    return Estimate(value, math.nan if error is None else error, n)


def _fields(estimate: "Estimate") -> dict[str, float | int | None]:
    """Plain numbers; an error that is not known (NaN) is null."""
    error = None if math.isnan(estimate.error) else float(estimate.error)
    return {"value": float(estimate.value), "error": error, "n": int(estimate.n)}


def _row(row: "Row") -> dict[str, Any]:
    return {name: _fields(estimate) for name, estimate in row.items()}


def write_record(out: Path, record: Record, result: "ChallengeResult | None" = None) -> None:
    """Write challenge.json whole or not at all; with the result once everything is measured."""
    content: dict[str, Any] = {"settings": record.settings}
    if result is not None:
        from jaxcalo.metrics.challenge import judge

        judged = {name: judge(row, result.floors[name]) for name, row in result.rows.items()}
        content |= {
            "n_showers": {"reference": result.reference[1], **result.generated},
            "differences_from_protocol": result.differences,
            "agrees_with_geant4": {
                name: {key: j.agrees for key, j in found.items()} for name, found in judged.items()
            },
            "rows": {name: _row(row) for name, row in result.rows.items()},
            "floors": {name: _row(row) for name, row in result.floors.items()},
        }
    content["measured"] = {
        row: {step: _row(quantities) for step, quantities in taken.items()}
        for row, taken in record.measured.items()
    }
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    write_all(out, {_NAME: text.encode()})
