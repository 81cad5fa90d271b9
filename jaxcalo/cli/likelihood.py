"""`jaxcalo likelihood RUN --data FILE`."""

from pathlib import Path
from typing import Annotated

import tyro

from jaxcalo.errors import InputError


def likelihood(
    run: tyro.conf.Positional[Path],
    /,
    data: Path,
    n_showers: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 64,
    seed: int = 0,
) -> None:
    """Estimate the log-likelihood of showers under a trained run, in nats.

    The density is that of the standardised event given its conditions, by the probability flow with
    a random estimate of its divergence. Empty voxels have one exact value, whose density grows
    with the schedule's log_snr at t = 0: compare runs of one schedule and preprocessing only.

    Args:
        run: The run folder.
        data: Showers (CaloChallenge HDF5, MeV), best ones that the run has not seen.
        n_showers: How many, from the start of the file.
        seed: Of the estimate.
    """
    import jax.numpy as jnp

    from jaxcalo.data import open_showers
    from jaxcalo.experiment import load_run, log_likelihoods

    if n_showers < 2:
        raise InputError(f"-n: expected at least 2 showers, found {n_showers}")
    trained = load_run(run)
    with open_showers(data, trained.detector, trained.experiment.data.conditions) as file:
        showers = file.read(0, min(n_showers, file.n_showers))
    nats = log_likelihoods(trained, showers, seed)
    n, size = len(nats), len(trained.constants.mean)
    error = nats.std(ddof=1) / n**0.5
    cleanest = float(trained.experiment.diffusion.schedule.log_snr(jnp.zeros(())))
    print(
        f"{data}: log-likelihood of {n} showers {nats.mean():.1f} +- {error:.1f} nats an event, "
        f"{nats.mean() / size:.4f} +- {error / size:.4f} a component "
        f"({size} components, log_snr {cleanest:.3g} at t = 0)"
    )
