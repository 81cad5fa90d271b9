"""`jaxcalo search-grid RUN --sampler NAME --steps K`."""

from pathlib import Path

import tyro

from jaxcalo.cli.progress import counting_bar
from jaxcalo.cli.samplers import GRIDS, SAMPLERS, GridName, SamplerName


def search_grid(
    run: tyro.conf.Positional[Path],
    /,
    steps: int,
    sampler: SamplerName = "dpmpp-2m",
    start: GridName | None = None,
    n_showers: int = 128,
    iterations: int = 60,
    seed: int = 0,
) -> None:
    """Search the best times for a trained run, a sampler and a number of steps.

    Minutes on two cores. The grid is kept in the run's folder; use it with
    `jaxcalo sample RUN --sampler NAME --steps K --grid searched`.

    Args:
        run: The run folder.
        steps: Steps of the grid.
        sampler: A deterministic one.
        start: The grid to start from; default: what suits the sampler.
        n_showers: Showers that are searched with.
        iterations: Steps of the optimizer.
        seed: Of these showers.
    """
    from jaxcalo.experiment import load_run, save_grid, search_run

    method, usual = SAMPLERS[sampler]
    trained = load_run(run)
    with counting_bar(iterations + 1, "searching", " iteration") as move:
        found = search_run(
            trained,
            method,
            steps,
            start=GRIDS[start] if start else usual,
            n_showers=n_showers,
            n_iterations=iterations,
            seed=seed,
            observe=lambda done, error: move(done + 1, f"distance {error:.4f}"),
        )
    save_grid(run, trained.step, sampler, found)
    print(
        f"{run}: root mean square distance to {sampler} with many steps "
        f"{found.start_error:.4f} -> {found.error:.4f} standard deviations of a component\n"
        f"sample with: jaxcalo sample {run} --sampler {sampler} --steps {steps} --grid searched"
    )
