"""The samples that `jaxcalo compare` is given: files, members of ensembles, and runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jaxcalo.cli.sample import sample_like
from jaxcalo.errors import InputError

REFERENCE = "Geant4"


class Given(NamedTuple):
    """What one sample is made of.

    Attributes:
        name: of the sample.
        members: the files of each member, which are read one after the other; one member where the
            sample is no ensemble.
    """

    name: str
    members: tuple[tuple[Path, ...], ...]


def given_samples(arguments: Sequence[str], reference: Path, out: Path, seed: int) -> list[Given]:
    """Return the files of all samples; runs are sampled for it.

    Args:
        arguments: NAME=PATH[,PATH...] or PATH[,PATH...] of each sample; a path is a file or a run.
            Several are members; a run of an ensemble is all of its members.
        reference: its energies, or its number of events, are what runs are sampled for.
        out: the folder that gets samples/.
        seed: of the first member of a run; the others have the following ones, so that the
            fluctuations of their samples are their own.

    Raises:
        InputError: names that are missing or not different, or a run that cannot be sampled.
    """
    parsed = [_parse(argument) for argument in arguments]
    names = [REFERENCE, *(name for name, _ in parsed)]
    if not parsed or "" in names or len(set(names)) < len(names):
        found = ", ".join(arguments) or "none"
        raise InputError(
            "jaxcalo compare: expected NAME=FILE for one generated sample or more, each with a name"
            f" of its own that is not {REFERENCE}, found {found}"
        )
    return [_sampled(name, paths, reference, out, seed) for name, paths in parsed]


def _parse(argument: str) -> tuple[str, list[Path]]:
    """Name and paths of a sample; a file that has a comma in its name is one."""
    name, equals, files = argument.partition("=")
    files = files if equals else argument
    paths = [Path(file) for file in ([files] if Path(files).exists() else files.split(","))]
    return (name.strip() if equals else paths[0].stem), paths


def _sampled(name: str, paths: list[Path], reference: Path, out: Path, seed: int) -> Given:
    """Files as they are; runs, and each member of a run, as the files of what they make."""
    every = [(path, member) for path in paths for member in _members(path)]
    files = []
    for number, (path, member) in enumerate(every):
        if path.is_dir():
            of = f"-{number}" if len(every) > 1 else ""
            file = out / "samples" / f"{name}{of}{reference.suffix}"
            sample_like(path, reference, file, seed + number, member=member)
            path = file
        files.append((path,))
    return Given(name, tuple(files))


def _members(path: Path) -> Sequence[int | None]:
    """Numbers of the members of a run; None for what is not an ensemble."""
    from jaxcalo.experiment import n_members
    from jaxcalo.experiment.manifest import trained_manifest

    number = n_members(trained_manifest(path)[1]) if path.is_dir() else None
    return [None] if number is None else range(number)
