"""`jaxcalo calibrate RUN`."""

from pathlib import Path
from typing import Annotated

import tyro

from jaxcalo.cli.progress import sampling_bar


def calibrate(
    run: tyro.conf.Positional[Path],
    /,
    data: Path | None = None,
    n_showers: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 256,
    seed: int = 0,
) -> None:
    """Measure how many points a run on point clouds must make for the hits of Monte Carlo.

    Generates clouds, counts the cells that they hit, and writes hit_calibration.json into the run
    folder, which every later sample of the run then obeys.

    Args:
        run: The run folder.
        data: Monte Carlo clouds; default: those the run was trained on.
        n_showers: Showers to generate for it.
        seed: Decides them.
    """
    import jax.numpy as jnp
    import numpy as np

    from jaxcalo.experiment import calibrate_hits, load_cloud_run
    from jaxcalo.preprocess import calibrated_number

    trained = load_cloud_run(run, calibrated=False)
    path = data or Path(trained.experiment.data.path)
    with sampling_bar(n_showers) as observe:
        hits = calibrate_hits(trained, run, path, n_showers=n_showers, seed=seed, observe=observe)
    points = np.asarray([500.0, 1000.0, 2000.0])
    for n, wanted in zip(points, calibrated_number(hits, jnp.asarray(points)), strict=True):
        print(f"for the hits of {n:.0f} points of Monte Carlo: {wanted:.0f} points")
