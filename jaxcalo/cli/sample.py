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
    from collections.abc import Callable, Sequence

    import numpy as np

    from jaxcalo.experiment import (
        Request,
        TrainedClouds,
        TrainedFamily,
        TrainedLeptons,
        TrainedModel,
    )
    from jaxcalo.typing import Observe

_BATCH_SIZE = 256


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
    member: int | None = None,
    batch_size: int = _BATCH_SIZE,
    shard: str = "0/1",
    dry_run: bool = False,
) -> None:
    """Generate showers, or events, from a trained run into a file.

    It is HDF5 in the CaloChallenge format (MeV); of a run on point clouds, in that of CaloClouds
    (GeV); of a run on four-lepton events, CSV (GeV).

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
            conditioned on, the same for all showers: --condition impact_mm=1.5,-3 pdg=22; of
            four-lepton events the flavours: --condition pdg=11,-11,13,-13
        seed: Decides every energy and every shower.
        sampler: The method; default: the recipe's. dpmpp-2m and unipc are good from 8 steps on;
            consistency is for students of that kind.
        steps: Steps from noise to shower, each one network evaluation (heun: two, but for the
            last); default: the recipe's.
        grid: Where the steps are; default: what suits the sampler, or the recipe's. searched: what
            `jaxcalo search-grid` found.
        guidance: Classifier-free guidance scale (1: none); default: the recipe's.
        member: Number of the member of an ensemble that makes all showers, from 0; default: each
            is made by a member drawn at random. Equal seeds give members equal noise: files whose
            scatter is to be a band (`evaluate --members`) need seeds of their own.
        batch_size: Showers per call of the compiled program; memory grows with it.
        shard: I/N makes the I-th of N parts (I = 0 ... N-1) of the sample, for job arrays;
            `jaxcalo merge` joins them.
        dry_run: Say what would be done and stop.
    """
    from jaxcalo.experiment import Request

    request = Request(
        n_showers, energy, energy_range, energies_from, _named(condition), seed, _shard(shard)
    )
    job = job_of(run, request, (sampler, grid, steps, guidance), member)
    if dry_run:
        print(f"would write {job.planned}, to {out}")
        return
    with sampling_bar(job.n_showers, job.made.split()[0]) as observe:
        n = job.write(out, batch_size, observe)
    print(f"{out}: {n} {job.made}, trained for {job.trained_steps} steps")


class Job(NamedTuple):
    """What is to be done for one run.

    Attributes:
        n_showers: How many showers.
        planned: What will be written, in words.
        made: What is written, in words.
        trained_steps: Of the run.
        write: (file, batch size, observer) -> showers written.
    """

    n_showers: int
    planned: str
    made: str
    trained_steps: int
    write: "Callable[[Path, int, Observe], int]"


_Changes = tuple[SamplerName | None, AnyGridName | None, int | None, float | None]
_NO_CHANGES: _Changes = (None, None, None, None)


def job_of(
    run: Path,
    request: "Request",
    changes: _Changes = _NO_CHANGES,
    member: int | None = None,
) -> Job:
    """What sampling a run will do.

    Args:
        run: The run folder.
        request: Which events.
        changes: Sampler, grid, steps and guidance in place of the recipe's.
        member: Of an ensemble that makes all events; None: each is made by one drawn at random.

    Raises:
        InputError: The folder is not a run, or the request is impossible.
    """
    from jaxcalo.experiment import TrainedClouds, TrainedLeptons, load_trained, one_member

    trained = load_trained(run)
    if member is not None:
        trained = one_member(trained, member)
    if isinstance(trained, TrainedLeptons):
        return _leptons(trained, request, changes)
    if isinstance(trained, TrainedClouds):
        return _clouds(run, trained, request, changes)
    return _showers(run, trained, request, changes)


def sample_like(
    run: Path, reference: Path, out: Path, seed: int = 0, member: int | None = None
) -> None:
    """Sample a run into a file: as many events as a reference has, of showers at its energies.

    Args:
        run: The run folder.
        reference: A file of showers, clouds or four-lepton events, as the run makes.
        out: The file to write.
        seed: Decides every event.
        member: As in `job_of`.

    Raises:
        InputError: The folder is not a run, the reference unusable, or the file cannot be written.
    """
    from jaxcalo.data import is_four_lepton_file, read_four_lepton
    from jaxcalo.experiment import Request

    if is_four_lepton_file(reference):
        request = Request(n_showers=read_four_lepton(reference).n_events, seed=seed)
    else:
        request = Request(energies_from=reference, seed=seed)
    job = job_of(run, request, member=member)
    out.parent.mkdir(parents=True, exist_ok=True)
    with sampling_bar(job.n_showers, job.made.split()[0]) as observe:
        job.write(out, _BATCH_SIZE, observe)


def _showers(
    run: Path, trained: "TrainedModel | TrainedFamily", request: "Request", changes: _Changes
) -> Job:
    """The job of a run on showers of voxels."""
    from jaxcalo.experiment import sample_to_file, with_sampling
    from jaxcalo.experiment.extrapolation import extrapolated
    from jaxcalo.experiment.sampling import requested_conditions

    if any(change is not None for change in changes):
        trained = with_sampling(trained, changed_sampling(run, trained, *changes))
    raw, first = requested_conditions(request, trained)
    known = trained.energy_range_mev, trained.conditions
    names = [condition.name for condition in trained.conditions]
    _warn_extrapolated(extrapolated(raw, *known, trained.domain), trained.energy_range_mev, names)
    made = f"{trained.detector.n_voxels} voxels"
    way = trained.experiment.sampling or "the one way of its family"
    planned = f"{_described(raw[:, 0], first)}, {made} each, by {way}"

    def write(out: Path, batch_size: int, observe: "Observe") -> int:
        return sample_to_file(trained, request, out, batch_size=batch_size, observe=observe)

    return Job(len(raw), planned, f"showers of {made}", trained.step, write)


def _leptons(trained: "TrainedLeptons", request: "Request", changes: _Changes) -> Job:
    """The job of a run on four-lepton events."""
    from jaxcalo.experiment import requested_flavours, sample_leptons_to_file

    if any(change is not None for change in changes):
        raise InputError(
            "--sampler, --steps, --grid, --guidance: expected none for four-lepton events, which "
            "are sampled as their recipe says; leave them out"
        )
    raw, first = requested_flavours(request, trained)
    planned = f"{len(raw)} events (numbers {first} to {first + len(raw) - 1})"

    def write(out: Path, batch_size: int, observe: "Observe") -> int:
        return sample_leptons_to_file(trained, request, out, batch_size=batch_size, observe=observe)

    return Job(len(raw), planned, "events of four leptons", trained.step, write)


def _clouds(run: Path, trained: "TrainedClouds", request: "Request", changes: _Changes) -> Job:
    """The job of a run on point clouds."""
    from jaxcalo.experiment import requested_energies, sample_clouds_to_file, with_cloud_sampling
    from jaxcalo.experiment.extrapolation import extrapolated

    if any(change is not None for change in changes):
        trained = with_cloud_sampling(trained, changed_sampling(run, trained, *changes))
    raw, first = requested_energies(request, trained)
    trained_range = trained.energy_range_mev
    _warn_extrapolated(extrapolated(raw, trained_range), trained_range)
    way = trained.experiment.sampling or "one evaluation of the generator"
    made = f"at most {trained.max_points} points"
    planned = f"{_described(raw[:, 0], first)}, {made} each, by {way}"

    def write(out: Path, batch_size: int, observe: "Observe") -> int:
        return sample_clouds_to_file(trained, request, out, batch_size=batch_size, observe=observe)

    return Job(len(raw), planned, f"showers of {made}", trained.step, write)


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


def _warn_extrapolated(
    outside: "np.ndarray", trained_range_mev: tuple[float, float], names: "Sequence[str]" = ()
) -> None:
    """One line if some showers (n,) bool are extrapolated; names of the further conditions."""
    if not outside.any():
        return
    low, high = trained_range_mev
    further = f" or the trained {', '.join(names)} at their energy" if names else ""
    print(
        f"jaxcalo: warning: {int(outside.sum())} of {len(outside)} showers lie outside the "
        f"trained range {low / GeV:.3g} to {high / GeV:.3g} GeV{further}; they are an "
        "extrapolation",
        file=sys.stderr,
    )
