"""manifest.json of a run folder: what rebuilds the run, and what it was made with."""

import dataclasses
import hashlib
import json
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxcalo.data import ShowerFile
from jaxcalo.errors import InputError
from jaxcalo.experiment.extrapolation import fit_domain
from jaxcalo.experiment.record import differences, from_record, to_record
from jaxcalo.geometry import Detector
from jaxcalo.preprocess import Condition, check_conditions, fit_condition
from jaxcalo.whole_files import write_all

_MANIFEST = "manifest.json"
_FORMAT = 1
FIT_CHUNK = 1024


def resumed_manifest(
    experiment: Any, folder: Path, path: Path, new: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """The manifest of the run in a folder, or a new one, written there.

    Args:
        experiment: What is to be trained.
        folder: The run.
        path: The data file.
        new: Makes the manifest of a new run.

    Raises:
        InputError: The folder holds a run of another experiment or of another data file.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        manifest = new()
        if jax.process_index() == 0:  # the others make the same one
            write_json(folder / _MANIFEST, manifest)
        return manifest
    # A field that an older version did not have is at its default.
    old = to_record(from_record(manifest["experiment"]))
    changed = differences(old, to_record(experiment))
    if changed:
        raise InputError(
            f"{folder}: expected the configuration this run was started with, found other values "
            f"({'; '.join(changed)}); give the old values to resume it, "
            "or another --out to start anew"
        )
    if manifest["data"]["sha256"] != sha256(path):
        raise InputError(
            f"{folder}: expected the data file this run was trained on "
            f"(SHA-256 {manifest['data']['sha256'][:12]}...), "
            f"found another content in {path}; use that file or another --out"
        )
    return manifest


def new_manifest(
    experiment: Any,
    detector: Detector,
    file: ShowerFile,
    n_train: int,
    conditions: tuple[Condition, ...] | None = None,
) -> dict[str, Any]:
    """Look through the showers that will be trained on, and write down what a run starts from.

    A detector without a threshold gets the smallest energy of the file.

    Args:
        experiment: What will be trained.
        detector: The geometry of the showers.
        file: The showers.
        n_train: How many of them, from the first on, are trained on.
        conditions: The further conditions as a teacher has them; None fits them.

    Raises:
        InputError: No shower has energy, or the further conditions are unusable.
    """
    energies, smallest = [], np.inf
    for start in range(0, n_train, FIT_CHUNK):
        showers = file.read(start, min(start + FIT_CHUNK, n_train))
        energies.append(showers.incident_energy_mev)
        positive = showers.voxel_energy_mev[showers.voxel_energy_mev > 0.0]
        smallest = min(smallest, float(positive.min())) if positive.size else smallest
    if not np.isfinite(smallest):
        raise InputError(
            f"{file.path}: expected showers with energy in some voxel, found only empty ones"
        )
    energy = np.concatenate(energies)
    if conditions is None:
        conditions = _fitted(file, n_train)
    further = file.read_conditions(0, file.n_showers)
    check_conditions(conditions, further, str(file.path))
    if detector.threshold_mev == 0.0:
        detector = dataclasses.replace(detector, threshold_mev=smallest)
    energies_mev = float(energy.min()), float(energy.max())
    domain = None
    if further is not None:
        domain = fit_domain(conditions, np.column_stack([energy, further[:n_train]]))
    return manifest_record(experiment, detector, file.path, file.n_showers, energies_mev) | {
        "conditions": to_record(conditions),
        "domain": to_record(domain),
    }


def manifest_record(
    experiment: Any,
    detector: Detector,
    path: Path,
    n_showers: int,
    energy_range_mev: tuple[float, float],
) -> dict[str, Any]:
    """What a run on showers writes down at its start.

    Args:
        experiment: What will be trained.
        detector: The geometry, with the threshold used.
        path: The data file.
        n_showers: How many showers it has.
        energy_range_mev: Smallest and largest incident energy that will be trained on.
    """
    record = run_record(experiment, path, n_showers)
    record["data"]["energy_range_mev"] = list(energy_range_mev)
    return record | {"detector": to_record(detector)}


def run_record(experiment: Any, path: Path, n_events: int) -> dict[str, Any]:
    """What every run writes down at its start, on whatever data.

    Args:
        experiment: What will be trained.
        path: The data file.
        n_events: How many events, or showers, it has.
    """
    packages = ("jaxcalo", "jax", "flax", "optax", "orbax-checkpoint", "numpy")
    return {
        "format": _FORMAT,
        "experiment": to_record(experiment),
        "data": {"path": str(path), "sha256": sha256(path), "n_showers": n_events},
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in packages},
        },
        "devices": [str(device.device_kind) for device in jax.devices()],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _fitted(file: ShowerFile, n_train: int) -> tuple[Condition, ...]:
    raw = file.read_conditions(0, n_train)
    if raw is None:
        return ()
    stops = np.cumsum([spec.n_columns for spec in file.conditions])
    columns = np.split(raw, stops[:-1], axis=1)
    return tuple(
        fit_condition(spec.name, part, spec.is_whole)
        for spec, part in zip(file.conditions, columns, strict=True)
    )


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest in a folder, or None if there is none.

    Raises:
        InputError: It is not a manifest of this version.
    """
    path = folder / _MANIFEST
    if not path.exists():
        return None
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        found = manifest["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: expected the manifest of a run, found something else ({error})"
        ) from error
    if found != _FORMAT:
        raise InputError(
            f"{path}: expected manifest format {_FORMAT}, found {found}; "
            "use the jaxcalo that wrote it"
        )
    return manifest


def trained_manifest(folder: Path) -> tuple[dict[str, Any], Any]:
    """The manifest of a run that has a checkpoint, and its experiment.

    Raises:
        InputError: The folder is not a run, of this version, or nothing was trained yet.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise InputError(
            f"{folder}: expected a run folder with manifest.json, found none; "
            "make one with jaxcalo train"
        )
    experiment = from_record(manifest["experiment"])
    if not (folder / "checkpoints").is_dir():
        raise InputError(
            f"{folder}: expected a checkpoint, found none; train the run first (jaxcalo train)"
        )
    return manifest, experiment


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Write a file of a run folder, whole or not at all.

    Raises:
        InputError: The folder cannot be written.
    """
    try:
        write_all(path.parent, {path.name: json.dumps(record, indent=2).encode()})
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror}); choose another --out"
        ) from error


def sha256(path: Path) -> str:
    """The checksum of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
