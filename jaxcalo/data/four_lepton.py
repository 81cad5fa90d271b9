"""Events of four leptons, and the CSV files that hold them.

The layout of this package has 20 columns, in any order and with further ones between them; energies
and momenta are in GeV, pdg is 11 electron, -11 positron, 13 muon, -13 antimuon:

    E1 ... E4, pdg1 ... pdg4, p1x, p1y, p1z, ... p4z

The leptons keep the file's order. In files of `jaxcalo generate-events` 1 and 2 are of one boson,
3 and 4 of the other, the particle before the antiparticle.

The four-lepton candidates of CMS Open Data have other names (PID1, E1, px1, py1, pz1, ...) and
their own order. They are brought into that of this package: of the ways to make two pairs of a
particle and its antiparticle the one with the pair nearest the mass of the Z, that pair first.

A part of a sample ends with a line that starts with `#`, see `merge`.

Source: CMS Open Data, records 5200 and 5201 (the candidates); Balciunas, master's thesis, Vilnius
    University 2024 (the 20 columns).
"""

import io
import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np

from jaxcalo.data.validation import one_line
from jaxcalo.errors import InputError

LEPTONS = (11, -11, 13, -13)
COMMENT = "#"

_Z_MASS_GEV = 91.1880  # PDG 2024
_PDG_NAMES = tuple(f"pdg{i}" for i in range(1, 5))
_OWN = tuple((f"E{i}", *(f"p{i}{axis}" for axis in "xyz")) for i in range(1, 5))
_CMS_PDG_NAMES = tuple(f"PID{i}" for i in range(1, 5))
_CMS = tuple((f"E{i}", *(f"p{axis}{i}" for axis in "xyz")) for i in range(1, 5))
_OWN_NAMES = (
    *(f"E{i}" for i in range(1, 5)),
    *_PDG_NAMES,
    *(f"p{i}{axis}" for i in range(1, 5) for axis in "xyz"),
)
_WANTED = "expected E1..4, pdg1..4, p1x..p4z, or PID1..4, E1, px1, py1, pz1 ... of CMS Open Data"
# The three ways to divide four leptons into two pairs.
_PAIRINGS = np.array([[0, 1, 2, 3], [0, 2, 1, 3], [0, 3, 1, 2]])


class LeptonEvents(NamedTuple):
    """Events of four leptons.

    Attributes:
        pdg: (n, 4) int32, each 11, -11, 13 or -13.
        momentum_gev: (n, 4, 4) float64, E, px, py, pz of each lepton, GeV.
    """

    pdg: np.ndarray
    momentum_gev: np.ndarray

    @property
    def n_events(self) -> int:
        """Number of events."""
        return len(self.pdg)

    def rows(self, which: np.ndarray | slice) -> "LeptonEvents":
        """Return the events that an index array, a mask or a slice names, in its order."""
        return LeptonEvents(self.pdg[which], self.momentum_gev[which])


def read_four_lepton(path: str | os.PathLike) -> LeptonEvents:
    """Read a CSV file in either layout.

    Raises:
        InputError: no such file, not a table of numbers, a column is missing, a row has another
            number of values than the header, there is no event, a number is NaN or infinite, a
            lepton is none, or those of a CMS candidate make no two pairs of a particle and its
            antiparticle.
    """
    path = Path(path)
    text = _read_text(path)
    names, pdg_names, momentum_names = _layout(path, text)
    table = _table(path, text, len(names))
    pdg = table[:, [names.index(name) for name in pdg_names]]
    columns = [names.index(name) for lepton in momentum_names for name in lepton]
    momentum = table[:, columns].reshape(-1, 4, 4)
    events = LeptonEvents(np.where(np.isin(pdg, LEPTONS), pdg, 0).astype(np.int32), momentum)
    if not events.pdg.all():
        row, lepton = np.unravel_index(int(np.argmin(events.pdg != 0)), pdg.shape)
        raise InputError(
            f"{path}: {pdg_names[lepton]} of event {row} must be 11, -11, 13 or -13, found"
            f" {pdg[row, lepton]:g}; only electrons and muons are known, remove that event"
        )
    check_four_lepton(events, str(path))
    return _paired(path, events) if pdg_names == _CMS_PDG_NAMES else events


def write_four_lepton(
    path: str | os.PathLike, events: LeptonEvents, facts: Mapping[str, object] | None = None
) -> None:
    """Write events as CSV of the 20 columns, with nine digits: single precision comes back exactly.

    The file appears complete or not at all; an existing one is replaced.

    Args:
        path: the file to make.
        events: at least one.
        facts: what to say of the file in a last line `# {...}`.

    Raises:
        InputError: there is no event, one is not such that `read_four_lepton` would accept it, the
            folder does not exist or cannot be written to, or the disk is full.
    """
    path = Path(path)
    events = LeptonEvents(np.asarray(events.pdg), np.asarray(events.momentum_gev, np.float64))
    check_four_lepton(events, f"cannot write {path}")
    momentum = events.momentum_gev
    flat = momentum[:, :, 1:].reshape(-1, 12)
    rows = np.concatenate([momentum[:, :, 0], events.pdg, flat], axis=1)
    with whole_text(path) as file:
        np.savetxt(file, rows, "%.9g", ",", header=",".join(_OWN_NAMES), comments="")
        if facts is not None:
            file.write(f"{COMMENT} {json.dumps(facts)}\n")


@contextmanager
def whole_text(path: Path) -> Iterator[TextIO]:
    """A text file to write that appears complete or not at all; an existing one is replaced.

    Raises:
        InputError: the folder does not exist or cannot be written to, or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "x", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {one_line(error)};"
            " check the folder, its rights and its free space"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def is_four_lepton_file(path: str | os.PathLike) -> bool:
    """Whether the first line of a file names the columns of either layout."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            _layout(Path(path), file.readline(2**16))
    except (InputError, OSError, UnicodeDecodeError):
        # whoever reads it next says what is wrong with it
        return False
    return True


def check_four_lepton(events: LeptonEvents, where: str) -> None:
    """Raise InputError, naming the first bad event, unless all is finite and of known leptons.

    Energies need not agree with momenta: that is what generated events are judged on.

    Args:
        events: n events.
        where: beginning of the message, e.g. the file's name.
    """
    n = events.n_events
    if events.pdg.shape != (n, 4) or events.momentum_gev.shape != (n, 4, 4):
        raise InputError(
            f"{where}: expected pdg (n, 4) and momenta (n, 4, 4), found arrays of shape"
            f" {events.pdg.shape} and {events.momentum_gev.shape}"
        )
    if n == 0:
        raise InputError(f"{where}: there are no events; at least one is needed")
    if not np.isin(events.pdg, LEPTONS).all():
        row = int(np.argmin(np.isin(events.pdg, LEPTONS).all(axis=1)))
        raise InputError(
            f"{where}: the leptons of event {row} must be 11, -11, 13 or -13, found"
            f" {', '.join(str(pdg) for pdg in events.pdg[row])}; remove that event"
        )
    finite = np.isfinite(events.momentum_gev)
    if not finite.all():
        row, lepton, component = np.unravel_index(int(np.argmin(finite)), finite.shape)
        raise InputError(
            f"{where}: {_OWN[lepton][component]} of event {row} must be finite, found"
            f" {events.momentum_gev[row, lepton, component]:g}; remove that event"
        )


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not text; expected a CSV file of four-lepton events, unpacked"
        ) from error


def _layout(
    path: Path, text: str
) -> tuple[list[str], tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """All names of the first line, and those of the pdg and of E, px, py, pz of each lepton."""
    names = [name.strip() for name in text.partition("\n")[0].split(",")]
    pdg_names, momentum_names = _PDG_NAMES, _OWN
    if set(_CMS_PDG_NAMES) & set(names):
        pdg_names, momentum_names = _CMS_PDG_NAMES, _CMS
    needed = [*pdg_names, *(name for lepton in momentum_names for name in lepton)]
    missing = [name for name in needed if name not in names]
    if missing:
        raise InputError(
            f"{path} lacks {_listed(missing)} in its first line; {_WANTED}; name the columns there"
        )
    twice = [name for name in needed if names.count(name) > 1]
    if twice:
        raise InputError(f"{path} has more than one column {_listed(twice)}; remove all but one")
    return names, pdg_names, momentum_names


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:4])}{' and others' if len(names) > 4 else ''}"


def _table(path: Path, text: str, n_columns: int) -> np.ndarray:
    """The numbers below the first line, (n, n_columns) float64."""
    body = text.partition("\n")[2]
    if not body.strip():
        raise InputError(f"{path} holds no events; at least one is needed")
    try:
        table = np.loadtxt(io.StringIO(body), delimiter=",", comments=COMMENT, ndmin=2)
    except ValueError as error:
        raise _bad_line(path, body, n_columns) from error
    if table.shape[1] != n_columns:
        raise _bad_line(path, body, n_columns)
    return table


def _bad_line(path: Path, body: str, n_columns: int) -> InputError:
    """The error for the first line that is not n_columns numbers."""
    for number, line in enumerate(body.split("\n"), start=2):
        values = line.split(",")
        if not line.strip() or line.startswith(COMMENT):
            continue
        if len(values) != n_columns:
            return InputError(
                f"{path}: line {number} has {len(values)} values, its first line names {n_columns}"
                " columns; mend or remove that line"
            )
        for value in values:
            try:
                float(value)
            except ValueError:
                return InputError(
                    f"{path}: line {number} must hold numbers, found {value.strip()[:20]!r};"
                    " mend or remove that line"
                )
    return InputError(f"{path} is not a table of numbers; expected a CSV file")


def _paired(path: Path, events: LeptonEvents) -> LeptonEvents:
    """Bring candidates into the order of this package, see the module."""
    orders = np.concatenate([_PAIRINGS, _PAIRINGS[:, [2, 3, 0, 1]]])
    pdg = events.pdg[:, orders]  # (n, 6, 4)
    momentum = events.momentum_gev[:, orders]
    is_pair = (pdg[..., 0] == -pdg[..., 1]) & (pdg[..., 2] == -pdg[..., 3])
    total = momentum[..., :2, :].sum(axis=-2)
    mass = np.sqrt(np.maximum(total[..., 0] ** 2 - (total[..., 1:] ** 2).sum(axis=-1), 0.0))
    distance = np.where(is_pair, np.abs(mass - _Z_MASS_GEV), np.inf)
    if not is_pair.any(axis=1).all():
        row = int(np.argmin(is_pair.any(axis=1)))
        raise InputError(
            f"{path}: the leptons of event {row} must be two pairs of a particle and its"
            f" antiparticle, found {', '.join(str(pdg) for pdg in events.pdg[row])}; remove it"
        )
    every = np.arange(events.n_events)
    order = orders[distance.argmin(axis=1)]
    pdg = events.pdg[every[:, None], order]
    # within a pair the particle, which has the positive number, stands first
    swaps = np.repeat(pdg[:, ::2] < 0, 2, axis=1)
    order = np.where(swaps, order[:, [1, 0, 3, 2]], order)
    return LeptonEvents(
        events.pdg[every[:, None], order], events.momentum_gev[every[:, None], order]
    )
