"""Sample a run on point clouds into a file, chunk by chunk, atomically."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jax.sharding import Mesh

from jaxcalo.data import CloudWriter, is_cloud_file, open_clouds, open_showers, unpad
from jaxcalo.data.merge import OUTSIDE
from jaxcalo.errors import InputError
from jaxcalo.experiment.cloud_run import TrainedClouds
from jaxcalo.experiment.extrapolation import extrapolated
from jaxcalo.experiment.sample_facts import sample_facts
from jaxcalo.experiment.sampling import (
    Request,
    drawn_energies,
    n_requested,
    part_of,
    whole_of,
    write_events,
)


def sample_clouds_to_file(
    trained: TrainedClouds,
    request: Request,
    path: Path,
    *,
    batch_size: int,
    mesh: Mesh | None = None,
    observe: Callable[[int, int], None] = lambda _done, _total: None,
) -> int:
    """Generate the requested showers into a file in the layout of CaloClouds: `sample_to_file`.

    Raises:
        InputError: An impossible request, or the file cannot be written.
    """
    whole, _ = requested_energies(whole_of(request), trained)
    raw, first = part_of(request, whole)
    outside = extrapolated(raw, trained.energy_range_mev)
    attributes = sample_facts(trained, request.seed, request.shard, whole) | {
        "geometry": trained.detector.name,
        OUTSIDE: int(outside.sum()),
        "energy_unit": "GeV",
        "length_unit": "mm",
        "threshold_mev": trained.experiment.calibration.threshold_mev,
    }
    return write_events(
        trained,
        request,
        (raw, first),
        CloudWriter(path, trained.max_points, attributes),
        lambda raw, points: unpad(raw[:, 0], points),
        batch_size=batch_size,
        mesh=mesh,
        observe=observe,
    )


def requested_energies(request: Request, trained: TrainedClouds) -> tuple[np.ndarray, int]:
    """What the showers of this shard are to be made for.

    Returns:
        E_inc in MeV (n, 1) float32, and the global index of the first.

    Raises:
        InputError: An impossible request.
    """
    if request.conditions:
        raise InputError(
            "--condition: expected none, for a run on point clouds knows only the energy, found "
            f"{', '.join(request.conditions)}; leave it out"
        )
    n = n_requested(request)
    if request.energies_from is not None:
        energies = _energies_of(request.energies_from)
        energies = np.resize(energies, len(energies) if n is None else n)
    else:
        energies = drawn_energies(request, trained.energy_range_mev, n or 0)
    return part_of(request, energies[:, None])


def _energies_of(path: Path) -> np.ndarray:
    """The incident energies of a file of clouds or of showers, (n,) MeV."""
    opened = open_clouds if is_cloud_file(path) else open_showers
    with opened(path) as file:
        return np.concatenate([part.incident_energy_mev for part in file.chunks(4096)])
