"""The hit calibration of a run: measured on its own clouds, kept beside its checkpoints."""

from collections.abc import Callable, Iterable
from pathlib import Path

import jax
import numpy as np

from jaxcalo.data import Clouds, open_clouds, unpad
from jaxcalo.experiment.cloud_run import HIT_CALIBRATION, TrainedClouds
from jaxcalo.experiment.manifest import write_json
from jaxcalo.families import generate_chunks
from jaxcalo.geometry import Detector, project_cells
from jaxcalo.preprocess import HitCalibration, fit_hit_calibration
from jaxcalo.training import data_mesh
from jaxcalo.typing import Key

_CHUNK = 64


def calibrate_hits(
    trained: TrainedClouds,
    folder: Path,
    data: Path,
    *,
    n_showers: int,
    seed: int = 0,
    observe: Callable[[int, int], None] = lambda _done, _total: None,
) -> HitCalibration:
    """Measure and keep how many points a run must make for the hits of Monte Carlo.

    Args:
        trained: The model, without a hit calibration.
        folder: Its run folder; hit_calibration.json is written there.
        data: Monte Carlo clouds, those it was trained on.
        n_showers: Showers to generate, at the energies of the file's first ones.
        seed: Decides them.
        observe: Called with (showers done, showers in all) now and then.

    Raises:
        InputError: Too few showers, or the folder cannot be written.
    """
    with open_clouds(data) as file:
        n_showers = min(n_showers, file.n_showers)
        reference = _counted(file.chunks(_CHUNK), trained.detector)
        energies = file.read(0, n_showers).incident_energy_mev
    done = 0

    def counting(clouds: Clouds) -> Clouds:
        nonlocal done
        done += clouds.n_showers
        observe(done, n_showers)
        return clouds

    generated = _counted(
        map(counting, _generated(jax.random.key(seed), trained, energies)), trained.detector
    )
    calibration = fit_hit_calibration(*reference, *generated)
    record = {name: [float(x) for x in part] for name, part in calibration._asdict().items()}
    write_json(folder / HIT_CALIBRATION, record | {"trained_steps": trained.step})
    return calibration


def _generated(key: Key, trained: TrainedClouds, energies_mev: np.ndarray) -> Iterable[Clouds]:
    done = 0
    raw = energies_mev[:, None]
    mesh = data_mesh()
    for points in generate_chunks(key, trained.model, trained.params, raw, chunk=_CHUNK, mesh=mesh):
        yield unpad(energies_mev[done : done + len(points)], points)
        done += len(points)


def _counted(chunks: Iterable[Clouds], detector: Detector) -> tuple[np.ndarray, np.ndarray]:
    """Points and hits of each shower."""
    points, hits = [], []
    for clouds in chunks:
        cells = project_cells(clouds.points, clouds.shower, detector)
        points.append(clouds.n_points)
        hits.append(np.bincount(cells.shower, minlength=clouds.n_showers))
    return np.concatenate(points), np.concatenate(hits)
