"""Grids of times searched for a run, kept in its folder as grids.json."""

import json
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
from jax import Array

from jaxcalo.diffusion.time_grids import Searched
from jaxcalo.errors import InputError
from jaxcalo.experiment.build import build
from jaxcalo.experiment.manifest import write_json
from jaxcalo.experiment.run import TrainedModel
from jaxcalo.experiment.sampling import typical_conditions
from jaxcalo.families import GridConfig, GridSearch, SamplerConfig, search_grid
from jaxcalo.families.process import plain_denoiser, with_flag
from jaxcalo.preprocess import prepare
from jaxcalo.typing import Cond, Key

_FILE = "grids.json"


def search_run(
    trained: TrainedModel,
    sampler: SamplerConfig,
    n_steps: int,
    *,
    start: GridConfig,
    n_showers: int = 128,
    n_iterations: int = 60,
    seed: int = 0,
    observe: Callable[[int, float], None] = lambda _done, _error: None,
) -> GridSearch:
    """Search a grid for a trained model, on showers log-uniform over its trained energies.

    Further conditions are drawn like those it was trained with.

    Args:
        trained: The model.
        sampler: A deterministic sampler.
        n_steps: Steps of the grid.
        start: The grid to start from.
        n_showers: Showers that are searched with.
        n_iterations: Steps of the optimizer.
        seed: Of these showers.
        observe: See `search_grid`.

    Raises:
        InputError: A student, a sampler that draws noise, or nothing to search.
    """
    experiment = trained.experiment
    if experiment.few_steps is not None:
        raise InputError(
            "grid search: expected a run of plain denoising, found a student, whose steps are "
            "its own; search its teacher's grid"
        )
    fitted = trained.detector, trained.constants
    denoised = build(experiment, *fitted, conditions=trained.conditions).denoised
    assert denoised is not None  # of any Experiment
    condition = prepare(experiment.preprocess, *fitted, trained.conditions).condition
    raw = typical_conditions(trained, n_showers, seed)
    head_key, noise_key = jax.random.split(jax.random.key(seed))
    process = experiment.diffusion

    def given(key: Key, row: Array) -> Cond:
        cond = denoised.condition(key, trained.params, condition(row))
        return with_flag(process, cond)

    return search_grid(
        noise_key,
        process.schedule,
        plain_denoiser(denoised.net, denoised.params(trained.params), process),
        sampler,
        n_steps,
        jax.vmap(given)(jax.random.split(head_key, n_showers), jnp.asarray(raw)),
        denoised.n_components,
        start=start,
        n_iterations=n_iterations,
        observe=observe,
    )


def save_grid(folder: Path, step: int, sampler: str, search: GridSearch) -> None:
    """Keep a searched grid in the run's folder, beside those of other samplers and numbers."""
    grids = _read(folder)
    n_steps = len(search.grid.times) - 1
    grids[f"{sampler}:{n_steps}"] = {
        "trained_steps": step,
        "times": list(search.grid.times),
        "start_error": search.start_error,
        "error": search.error,
    }
    write_json(folder / _FILE, grids)


def load_grid(folder: Path, step: int, sampler: str, n_steps: int) -> Searched:
    """The grid that was searched for a sampler and a number of steps.

    Raises:
        InputError: There is none, or the run was trained further since.
    """
    found = _read(folder).get(f"{sampler}:{n_steps}")
    advice = f"search it with: jaxcalo search-grid {folder} --sampler {sampler} --steps {n_steps}"
    if found is None:
        raise InputError(
            f"{folder}: expected a searched grid of {sampler} with {n_steps} steps, found none; "
            + advice
        )
    if found["trained_steps"] != step:
        raise InputError(
            f"{folder}: expected a grid searched after {step} steps of training, found one of "
            f"{found['trained_steps']}; {advice}"
        )
    return Searched(tuple(found["times"]))


def _read(folder: Path) -> dict[str, dict]:
    path = folder / _FILE
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise InputError(f"{path}: expected searched grids, found no JSON; remove it") from error
