"""`jaxcalo sample RUN -n N -o FILE`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import tyro

from jaxcalo.cli.progress import sampling_bar
from jaxcalo.cli.samplers import AnyGridName, SamplerName, changed_sampling
from jaxcalo.errors import InputError
from jaxcalo.units import GeV

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from jaxcalo.experiment import Request, TrainedClouds, TrainedModel
    from jaxcalo.typing import Observe


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
    """Generate showers from a trained run into an HDF5 file.

    It is in the CaloChallenge format (MeV); of a run on point clouds, in that of CaloClouds (GeV).

    Shower i depends on the seed and on i alone: not on --batch-size, devices or --shard.

    Args:
        run: The run folder.
        out: The file to write; it appears only when it is whole.
        n_showers: How many showers.
        energy: Incident energy of every shower in GeV.
        energy_range: Log-uniform energies between LO and HI in GeV; default: the trained range.
        energies_from: Take the incident energies, and whatever else the run is conditioned on, of
            this file of showers or clouds, in order.
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
    from jaxcalo.experiment import Request, TrainedClouds, load_trained

    trained = load_trained(run)
    request = Request(
        n_showers, energy, energy_range, energies_from, _named(condition), seed, _shard(shard)
    )
    changes = (sampler, grid, steps, guidance)
    if isinstance(trained, TrainedClouds):
        job = _clouds(run, trained, request, changes)
    else:
        job = _showers(run, trained, request, changes)
    if dry_run:
        print(f"would write {job.planned}, to {out}")
        return
    with sampling_bar(job.n_showers) as observe:
        n = job.write(out, batch_size, observe)
    print(f"{out}: {n} showers of {job.made}, trained for {trained.step} steps")


class _Job(NamedTuple):
    """What is to be done for one run.

    Attributes:
        n_showers: How many showers.
        planned: What will be written, in words.
        made: Of what a shower is made, in words.
        write: (file, batch size, observer) -> showers written.
    """

    n_showers: int
    planned: str
    made: str
    write: "Callable[[Path, int, Observe], int]"


_Changes = tuple[SamplerName | None, AnyGridName | None, int | None, float | None]


def _showers(run: Path, trained: "TrainedModel", request: "Request", changes: _Changes) -> _Job:
    """The job of a run on showers of voxels."""
    from jaxcalo.experiment import sample_to_file, with_sampling
    from jaxcalo.experiment.sampling import requested_conditions
    from jaxcalo.preprocess import outside_ranges

    sampling = changed_sampling(run, trained, *changes)
    trained = with_sampling(trained, sampling)
    raw, first = requested_conditions(request, trained)
    _warn_energies(raw[:, 0], trained.energy_range_mev)
    n_outside = int(outside_ranges(trained.conditions, raw[:, 1:]).sum())
    if n_outside:
        print(
            f"jaxcalo: warning: the further conditions of {n_outside} of {len(raw)} showers lie "
            "outside the trained ranges; these showers are an extrapolation",
            file=sys.stderr,
        )
    made = f"{trained.detector.n_voxels} voxels"
    planned = f"{_described(raw[:, 0], first)}, {made} each, by {sampling}"

    def write(out: Path, batch_size: int, observe: "Observe") -> int:
        return sample_to_file(trained, request, out, batch_size=batch_size, observe=observe)

    return _Job(len(raw), planned, made, write)


def _clouds(run: Path, trained: "TrainedClouds", request: "Request", changes: _Changes) -> _Job:
    """The job of a run on point clouds."""
    from jaxcalo.experiment import requested_energies, sample_clouds_to_file, with_cloud_sampling

    if any(change is not None for change in changes):
        trained = with_cloud_sampling(trained, changed_sampling(run, trained, *changes))
    raw, first = requested_energies(request, trained)
    _warn_energies(raw[:, 0], trained.energy_range_mev)
    way = trained.experiment.sampling or "one evaluation of the generator"
    made = f"at most {trained.max_points} points"
    planned = f"{_described(raw[:, 0], first)}, {made} each, by {way}"

    def write(out: Path, batch_size: int, observe: "Observe") -> int:
        return sample_clouds_to_file(trained, request, out, batch_size=batch_size, observe=observe)

    return _Job(len(raw), planned, made, write)


def _described(energies_mev: "np.ndarray", first: int) -> str:
    """How many showers, which ones, and of what energies."""
    low, high = energies_mev.min() / GeV, energies_mev.max() / GeV
    n = len(energies_mev)
    return f"{n} showers (numbers {first} to {first + n - 1}) of {low:.3g} to {high:.3g} GeV"


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


def _warn_energies(energies: "np.ndarray", trained_range_mev: tuple[float, float]) -> None:
    low, high = trained_range_mev
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
