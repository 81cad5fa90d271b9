"""The samplers and grids by the names that the command line gives them."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jaxcalo.diffusion import (
    Consistency,
    Ddim,
    Ddpm,
    DpmSolver,
    Euler,
    Heun,
    ReverseSde,
    UniPc,
)
from jaxcalo.diffusion.time_grids import Karras, Quadratic, Uniform, UniformLogSnr
from jaxcalo.errors import InputError
from jaxcalo.families import GridConfig, SamplerConfig, Sampling

if TYPE_CHECKING:
    from jaxcalo.experiment import TrainedClouds, TrainedFamily, TrainedModel

SamplerName = Literal[
    "ddpm",
    "ddim",
    "euler",
    "heun",
    "dpmpp-2m",
    "dpmpp-2m-sde",
    "dpmpp-3m",
    "unipc",
    "reverse-sde",
    "consistency",
]
GridName = Literal["uniform", "quadratic", "log-snr", "karras"]
AnyGridName = GridName | Literal["searched"]

# Each sampler with the grid that suits it: the one of its paper, or the better one in
# experiments/README.md.
SAMPLERS: dict[SamplerName, tuple[SamplerConfig, GridConfig]] = {
    "ddpm": (Ddpm(), Uniform()),
    "ddim": (Ddim(), Uniform()),
    "euler": (Euler(), Uniform()),
    "heun": (Heun(), Karras()),
    "dpmpp-2m": (DpmSolver(2), UniformLogSnr()),
    "dpmpp-2m-sde": (DpmSolver(2, eta=1.0), UniformLogSnr()),
    "dpmpp-3m": (DpmSolver(3), UniformLogSnr()),
    "unipc": (UniPc(), UniformLogSnr()),
    "reverse-sde": (ReverseSde(), Uniform()),
    "consistency": (Consistency(), Uniform()),
}
GRIDS: dict[GridName, GridConfig] = {
    "uniform": Uniform(),
    "quadratic": Quadratic(),
    "log-snr": UniformLogSnr(),
    "karras": Karras(),
}


def sampler_name(sampler: SamplerConfig) -> str:
    """The name of a sampler, or its class where the command line has none."""
    names = [name for name, (known, _) in SAMPLERS.items() if known == sampler]
    return names[0] if names else type(sampler).__name__


def changed_sampling(
    run: Path,
    trained: "TrainedModel | TrainedFamily | TrainedClouds",
    sampler: SamplerName | None,
    grid: AnyGridName | None,
    steps: int | None,
    guidance: float | None,
) -> Sampling:
    """The sampling of a run with what the command line asks in place of it.

    A sampler brings its own grid unless one is given.

    Raises:
        InputError: Fewer than one step, a GAN, or no grid was searched for this run and sampler.
    """
    if steps is not None and steps < 1:
        raise InputError(f"--steps: expected at least 1, found {steps}")
    old = trained.experiment.sampling
    if old is None:
        raise InputError(
            "--sampler, --steps, --grid, --guidance: expected none for a family that has one way "
            "to sample, such as a GAN; leave them out"
        )
    method, usual_grid = SAMPLERS[sampler] if sampler else (old.sampler, old.grid)
    n_steps = old.n_steps if steps is None else steps
    changed = dataclasses.replace(old, sampler=method, grid=usual_grid, n_steps=n_steps)
    if guidance is not None:
        changed = dataclasses.replace(changed, guidance=guidance)
    if grid is None:
        return changed
    return dataclasses.replace(changed, grid=grid_named(run, trained, grid, changed))


def grid_named(
    run: Path,
    trained: "TrainedModel | TrainedFamily | TrainedClouds",
    name: AnyGridName,
    sampling: Sampling,
) -> GridConfig:
    """A grid by its name; a searched one comes from the run's folder."""
    from jaxcalo.experiment import load_grid

    if name != "searched":
        return GRIDS[name]
    return load_grid(run, trained.step, sampler_name(sampling.sampler), sampling.n_steps)
