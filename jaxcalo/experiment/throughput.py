"""Showers a second: what sampling makes of the machine, by batch, evaluations and devices."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax

from jaxcalo.errors import InputError
from jaxcalo.experiment.clock import Elapsed, median
from jaxcalo.experiment.peak import Peak, rates
from jaxcalo.experiment.record import to_record
from jaxcalo.experiment.run import TrainedModel
from jaxcalo.experiment.timing import BatchTiming, time_sampling
from jaxcalo.experiment.variants import with_sampling
from jaxcalo.families import Sampling
from jaxcalo.training import data_mesh


def sampling_throughput(
    trained: TrainedModel,
    sampling: Sampling,
    peak: Peak,
    *,
    batch_sizes: Sequence[int],
    devices: Sequence[int] = (),
    n_repeats: int = 5,
    limit_s: float = 120.0,
    observe: Callable[[int, int], None] = lambda _done, _total: None,
) -> Iterator[dict[str, Any]]:
    """Time sampling at several batch sizes, on several numbers of devices.

    Args:
        trained: The model.
        sampling: How it samples.
        peak: Of the network's type of numbers.
        batch_sizes: Showers of a batch, over all devices.
        devices: Numbers of devices; default all there are.
        n_repeats: Of each row.
        limit_s: As of `time_sampling`.
        observe: Called with (repeats done, repeats in all) of one number of devices.

    Raises:
        InputError: An impossible request.
    """
    trained = with_sampling(trained, sampling)
    for n_devices in check_devices(devices):
        found = time_sampling(
            trained,
            batch_sizes=batch_sizes,
            n_repeats=n_repeats,
            limit_s=limit_s,
            mesh=data_mesh(jax.devices()[:n_devices]),
            observe=observe,
        )
        how = {
            "sampling": to_record(sampling),
            "n_evaluations": found.cost.n_evaluations,
            "n_energy_evaluations": found.cost.n_energy_evaluations,
            "n_devices": n_devices,
        }
        for row in found.batches:
            yield how | _row(row, found.cost.flops_per_shower, peak)


def check_devices(asked: Sequence[int]) -> Sequence[int]:
    """The numbers of devices asked for; all that there are if none.

    Raises:
        InputError: More than there are, or fewer than one.
    """
    n = len(jax.devices())
    if asked and not 1 <= min(asked) <= max(asked) <= n:
        raise InputError(
            f"--devices: expected numbers from 1 to the {n} there are, found "
            f"{' '.join(map(str, asked))}; a CPU is shown as several devices by "
            "XLA_FLAGS=--xla_force_host_platform_device_count=4"
        )
    return asked or (n,)


def _row(row: BatchTiming, flops_per_shower: int, peak: Peak) -> dict[str, Any]:
    record = row.to_json()
    if not row.repeats_ms or row.layout is None:
        return record
    times = zip(row.repeats_ms, row.repeats_cpu_ms, strict=True)
    shower = median([Elapsed(*ms) / 1e3 for ms in times])
    return record | {
        "showers_per_s": 1.0 / shower.wall_s,
        "cpu_ms_per_shower": 1e3 * shower.cpu_s,
        **rates(flops_per_shower, shower, peak, row.layout.n_devices),
    }
