"""Parts of a sample, made by the tasks of a job array, joined into the file of one task.

A part says which sample it is of, which part it is and how many there are: an HDF5 file by its
attributes, a CSV file by a last line that starts with `#`. Rows are copied as they are stored, a
piece at a time, so the whole is to the bit what one task would have written.
"""

import json
import math
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import h5py

from jaxcalo.data.calochallenge import plain_value
from jaxcalo.data.four_lepton import COMMENT, is_four_lepton_file, whole_text
from jaxcalo.data.hdf5_writer import Attribute, Hdf5Writer
from jaxcalo.data.validation import HDF5_ERRORS, damaged, open_hdf5
from jaxcalo.errors import InputError

OUTSIDE = "outside_training_domain"

# What differs between the parts of one sample, beside OUTSIDE.
_OWN = ("shard", "first_shower")
_PIECE_BYTES = 2**25


class Part(NamedTuple):
    """A file, and what it says of itself.

    Attributes:
        path: The file.
        facts: What `part_facts` and the writer put there.
        n_events: How many it holds.
    """

    path: Path
    facts: dict[str, Any]
    n_events: int

    @property
    def shard(self) -> tuple[int, int]:
        """(i, n): the i-th of n parts."""
        index, _, parts = str(self.facts["shard"]).partition("/")
        return int(index), int(parts)

    @property
    def common(self) -> dict[str, Any]:
        """What all parts of a sample share."""
        common = {k: v for k, v in self.facts.items() if k not in (*_OWN, OUTSIDE)}
        return common | {"number of parts": self.shard[1]}


def part_rows(n: int, shard: tuple[int, int]) -> range:
    """The numbers of the events of the i-th of n parts."""
    index, parts = shard
    return range(index * n // parts, (index + 1) * n // parts)


def part_facts(sample_id: str, n: int, shard: tuple[int, int]) -> dict[str, Attribute]:
    """What a file must say to be merged.

    Args:
        sample_id: The same for two files if they are of one sample, and else not.
        n: Events of the whole sample.
        shard: (i, n): the i-th of n parts.
    """
    return {
        "sample_id": sample_id,
        "sample_size": n,
        "shard": f"{shard[0]}/{shard[1]}",
        "first_shower": part_rows(n, shard).start,
    }


def merge(out: Path, paths: Sequence[Path]) -> int:
    """Join all parts of a sample.

    Args:
        out: The file to write; it appears only when it is whole.
        paths: The parts, in any order.

    Returns:
        The number of events written.

    Raises:
        InputError: A part is missing, given twice, cut short, of another sample or none, or the
            file cannot be written.
    """
    parts = _in_order(out, [_opened(path) for path in paths])
    if is_four_lepton_file(parts[0].path):
        _merge_csv(out, parts)
    else:
        _merge_hdf5(out, parts)
    return sum(part.n_events for part in parts)


def _opened(path: Path) -> Part:
    facts: dict[str, Any] = {}
    if is_four_lepton_file(path):
        n = -1  # the first line names the columns
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                n += not line.startswith(COMMENT)
                if line.startswith(f"{COMMENT} {{"):
                    facts = json.loads(line.removeprefix(COMMENT))
    else:
        with open_hdf5(path) as file:
            try:
                facts = {name: plain_value(value) for name, value in file.attrs.items()}
                datasets = [item for item in file.values() if isinstance(item, h5py.Dataset)]
                n = min((len(dataset) for dataset in datasets), default=0)
            except HDF5_ERRORS as error:
                raise damaged(path, error) from error
    if not {"sample_id", "sample_size", "shard"} <= facts.keys():
        raise InputError(
            f"{path}: expected a part made by jaxcalo sample --shard I/N, found a file that does "
            "not say what it is a part of; make it again with this version"
        )
    part = Part(path, facts, n)
    expected = len(part_rows(facts["sample_size"], part.shard))
    if n != expected:
        raise InputError(
            f"{path}: expected {expected} events of part {facts['shard']}, found {n}; "
            f"make it again with --shard {facts['shard']}"
        )
    return part


def _in_order(out: Path, parts: Sequence[Part]) -> list[Part]:
    """The parts by their number, when they are whole: all of one sample, each once."""
    first, found = parts[0], {}
    for part in parts:
        if out.exists() and out.samefile(part.path):
            raise InputError(f"{out}: expected another file than the parts; choose another OUT")
        names = [name for name in first.common if first.common[name] != part.common.get(name)]
        if names:
            told = [name for name in names if name != "sample_id"]
            others = (f"{name} {first.common[name]} -> {part.common.get(name)}" for name in told)
            raise InputError(
                f"{part.path}: expected a part of the sample of {first.path}, found another sample "
                f"({', '.join(others) or 'another run, way of sampling, or conditions'}); "
                "leave it out"
            )
        twice = found.setdefault(part.shard[0], part)
        if twice is not part:
            raise InputError(
                f"part {part.facts['shard']}: expected once, found it in {twice.path} and in "
                f"{part.path}; leave one of them out"
            )
    n = first.shard[1]
    missing = [i for i in range(n) if i not in found]
    if missing:
        raise InputError(
            f"expected all {n} parts of the sample, found {len(found)}; missing: "
            f"{_ranges(missing)} of 0-{n - 1}; make them with jaxcalo sample --shard I/{n}"
        )
    return [found[i] for i in range(n)]


def _ranges(numbers: Sequence[int]) -> str:
    """Numbers as Slurm takes them for --array: 3,7-9."""
    runs = groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])
    spans = [[number for _, number in run] for _, run in runs]
    return ",".join(f"{s[0]}-{s[-1]}" if len(s) > 1 else f"{s[0]}" for s in spans)


def _merge_hdf5(out: Path, parts: Sequence[Part]) -> None:
    facts = parts[0].facts | {"shard": "0/1", "first_shower": 0}
    if OUTSIDE in facts:
        facts[OUTSIDE] = sum(part.facts[OUTSIDE] for part in parts)
    with ExitStack() as stack:
        model = stack.enter_context(open_hdf5(parts[0].path))
        writer = stack.enter_context(_CopyWriter(out, model, facts))
        for part in parts:
            with open_hdf5(part.path) as file:
                writer.append(part, file)


class _CopyWriter(Hdf5Writer):
    """Data sets laid out as those of a part, filled with the stored rows of all."""

    def __init__(self, path: Path, model: h5py.File, attributes: dict[str, Attribute]):
        super().__init__(path, attributes)
        self._model = model

    def _create_datasets(self, file: h5py.File) -> None:
        self._copies = {
            name: file.create_dataset(
                name,
                (0, *like.shape[1:]),
                like.dtype,
                maxshape=(None, *like.shape[1:]),
                chunks=like.chunks,
                compression=like.compression,
                compression_opts=like.compression_opts,
                shuffle=like.shuffle,
            )
            for name, like in self._model.items()
        }

    def append(self, part: Part, file: h5py.File) -> None:
        """Copy all rows of a part."""
        for name, copy in self._copies.items():
            dataset = file[name]
            assert isinstance(dataset, h5py.Dataset)
            copy.resize(self.n_showers + part.n_events, axis=0)
            rows = max(1, _PIECE_BYTES // (copy.dtype.itemsize * math.prod(copy.shape[1:])))
            for start in range(0, part.n_events, rows):
                stop = min(start + rows, part.n_events)
                try:
                    piece = dataset[start:stop]
                except HDF5_ERRORS as error:
                    raise damaged(part.path, error) from error
                copy[self.n_showers + start : self.n_showers + stop] = piece
                self._check_disk()
        self.n_showers += part.n_events


def _merge_csv(out: Path, parts: Sequence[Part]) -> None:
    with whole_text(out) as file:
        for number, part in enumerate(parts):
            with part.path.open(encoding="utf-8") as lines:
                names = next(lines)
                if number == 0:
                    file.write(names)
                file.writelines(line for line in lines if not line.startswith(COMMENT))
