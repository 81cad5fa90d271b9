"""`jaxcalo sample RUN -n N -o FILE`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from jaxcalo.cli.progress import sampling_bar
from jaxcalo.cli.samplers import AnyGridName, SamplerName, changed_sampling
from jaxcalo.errors import InputError
from jaxcalo.units import GeV

if TYPE_CHECKING:
    import numpy as np

    from jaxcalo.experiment import TrainedModel


def sample(
    run: tyro.conf.Positional[Path],
    /,
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    n_showers: Annotated[int | None, tyro.conf.arg(aliases=["-n"])] = None,
    energy: float | None = None,
    energy_range: tuple[float, float] | None = None,
    energies_from: Path | None = None,
    condition: tuple[str, ...] = (),
    seed: int = 0,
    sampler: SamplerName | None = None,
    steps: int | None = None,
    grid: AnyGridName | None = None,
    guidance: float | None = None,
    batch_size: int = 256,
    shard: str = "0/1",
    dry_run: bool = False,
) -> None:
    """Generate showers from a trained run into a CaloChallenge HDF5 file (MeV).

    Shower i depends on the seed and on i alone: not on --batch-size, devices or --shard.

    Args:
        run: The run folder.
        out: The file to write; it appears only when it is whole.
        n_showers: How many showers.
        energy: Incident energy of every shower in GeV.
        energy_range: Log-uniform energies between LO and HI in GeV; default: the trained range.
        energies_from: Take the incident energies, and whatever else the run is conditioned on, of
            this shower file, in order.
        condition: NAME=VALUE[,VALUE...] for each data set beside the energy that the run is
            conditioned on, the same for all showers: --condition impact_mm=1.5,-3 pdg=22
        seed: Decides every energy and every shower.
        sampler: The method; default: the recipe's. dpmpp-2m and unipc are good from 8 steps on;
            consistency is for students of that kind.
        steps: Steps from noise to shower, each one network evaluation (heun: two, but for the
            last); default: the recipe's.
        grid: Where the steps are; default: what suits the sampler, or the recipe's. searched: what
            `jaxcalo search-grid` found.
        guidance: Classifier-free guidance scale (1: none); default: the recipe's.
        batch_size: Showers per call of the compiled program; memory grows with it.
        shard: I/N makes the I-th of N parts (I = 0 ... N-1) of the sample, for job arrays.
        dry_run: Say what would be done and stop.
    """
    from jaxcalo.experiment import Request, load_run, sample_to_file, with_sampling
    from jaxcalo.experiment.sampling import requested_conditions

    trained = load_run(run)
    sampling = changed_sampling(run, trained, sampler, grid, steps, guidance)
    trained = with_sampling(trained, sampling)
    request = Request(
        n_showers, energy, energy_range, energies_from, _named(condition), seed, _shard(shard)
    )
    raw, first = requested_conditions(request, trained)
    energies = raw[:, 0]
    _warn_outside(raw, trained)
    if dry_run:
        print(
            f"would write {len(energies)} showers "
            f"(numbers {first} to {first + len(energies) - 1}) of "
            f"{energies.min() / GeV:.3g} to {energies.max() / GeV:.3g} GeV, "
            f"{trained.detector.n_voxels} voxels each, "
            f"by {trained.experiment.sampling}, to {out}"
        )
        return
    with sampling_bar(len(energies)) as observe:
        n = sample_to_file(trained, request, out, batch_size=batch_size, observe=observe)
    print(
        f"{out}: {n} showers of {trained.detector.n_voxels} voxels, "
        f"trained for {trained.step} steps"
    )


def _shard(text: str) -> tuple[int, int]:
    index, slash, parts = text.partition("/")
    if not (slash and index.isdecimal() and parts.isdecimal()):
        raise InputError(f"--shard: expected I/N, for example 0/4, found {text!r}")
    return int(index), int(parts)


def _named(texts: tuple[str, ...]) -> dict[str, tuple[float, ...]]:
    """The values of each NAME=VALUE[,VALUE...]."""
    found: dict[str, tuple[float, ...]] = {}
    for text in texts:
        name, _, values = text.partition("=")
        try:
            if not name or name in found:
                raise ValueError(name)
            found[name] = tuple(float(value) for value in values.split(","))
        except ValueError as error:
            raise InputError(
                "--condition: expected NAME=VALUE[,VALUE...], each name once, for example "
                f"impact_mm=1.5,-3, found {text!r}"
            ) from error
    return found


def _warn_outside(raw: "np.ndarray", trained: "TrainedModel") -> None:
    from jaxcalo.preprocess import outside_ranges

    energies, (low, high) = raw[:, 0], trained.energy_range_mev
    # Half a percent: files hold energies in single precision, and a sample may have the range's
    # own ends.
    n_outside = int(((energies < 0.995 * low) | (energies > 1.005 * high)).sum())
    if n_outside:
        print(
            f"jaxcalo: warning: {n_outside} of {len(energies)} incident energies lie outside "
            f"the trained range {low / GeV:.3g} to {high / GeV:.3g} GeV; "
            "their showers are an extrapolation",
            file=sys.stderr,
        )
    n_outside = int(outside_ranges(trained.conditions, raw[:, 1:]).sum())
    if n_outside:
        print(
            f"jaxcalo: warning: the further conditions of {n_outside} of {len(raw)} showers lie "
            "outside the trained ranges; these showers are an extrapolation",
            file=sys.stderr,
        )
