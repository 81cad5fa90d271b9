"""`jaxcalo worth NAME=FILE ... --training FILE --truth FILE`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from jaxcalo.errors import InputError

if TYPE_CHECKING:
    import numpy as np

_SMALLEST, _N_SIZES = 100, 7
_OF_LEPTONS = ("mass of the four leptons", "p_T of the four leptons")
_OF_SHOWERS = ("visible over incident energy", "number of hits", "depth of the centre")

_Read = Callable[[Path], "np.ndarray"]


def worth(
    samples: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="NAME=FILE ...")
    ],
    /,
    training: Path,
    truth: Path,
    geometry: str | None = None,
    out: Path = Path("worth"),
    seed: int = 0,
) -> None:
    """Say how many training events generated events are worth, and draw it against their number.

    Files hold four-lepton events (CSV; mass and p_T of the event) or showers (HDF5; visible over
    incident energy, hits, depth of the centre), all the same. Prints a table and writes
    report.html, report.md and report.json.

    Args:
        samples: NAME=FILE for each generated sample; showers at energies distributed as the
            truth's.
        training: What all of the generators were trained on, and nothing else.
        truth: Events that none was trained on; the more, the larger the worth that can be seen.
        geometry: Of showers: ild_ecal (clouds), ds1-photons, ds1-pions, ds2, ds3, par04_lite,
            ecal_crystals, or a binning XML.
        out: The folder of the report.
        seed: Of the order in which events are counted into smaller samples.
    """
    from importlib.metadata import version

    import jax
    import numpy as np

    from jaxcalo.metrics import usual_quantiles, worth_curve
    from jaxcalo.plots.text import aligned
    from jaxcalo.plots.worth_report import WorthResult, worth_notes, worth_table, write_worth

    paths = _parse(samples)
    read, observables = _reader([training, truth, *paths.values()], truth, geometry)
    known, trained = read(truth), read(training)
    quantiles = usual_quantiles(len(known), known.shape[1])
    curves = {}
    for name, path in paths.items():
        made = read(path)
        order = np.asarray(jax.random.permutation(jax.random.key(seed), len(made)))
        sizes = np.geomspace(min(_SMALLEST, len(made)), len(made), _N_SIZES).round().astype(int)
        sizes = np.unique(sizes).tolist()
        curves[name] = worth_curve(known, trained, made[order], quantiles, sizes)
    result = WorthResult(observables, quantiles, len(known), curves, version("jaxcalo"))
    path = write_worth(result, out)
    table = worth_table(result)
    print(aligned([list(table.header), *map(list, table.rows)]))
    print("\n".join(worth_notes(result)))
    print(f"report: {path}")


def _parse(arguments: Sequence[str]) -> dict[str, Path]:
    """NAME=FILE of each sample."""
    pairs = [argument.partition("=") for argument in arguments]
    found = {name.strip(): Path(file) for name, _, file in pairs}
    if not found or "" in found or len(found) < len(pairs) or not all(file for *_, file in pairs):
        raise InputError(
            "jaxcalo worth: expected NAME=FILE for one generated sample or more, each with a name"
            f" of its own, found {', '.join(arguments) or 'none'}"
        )
    return found


def _reader(paths: list[Path], truth: Path, geometry: str | None) -> tuple[_Read, tuple[str, ...]]:
    """What reads a file's observables (n, d), and their names in words.

    Raises:
        InputError: Showers without a geometry.
    """
    import numpy as np

    from jaxcalo.cli.shower_files import has_clouds, read_sample
    from jaxcalo.data import is_four_lepton_file, read_four_lepton
    from jaxcalo.geometry import load_geometry
    from jaxcalo.metrics import lepton_observables

    if is_four_lepton_file(truth):

        def of_leptons(path: Path) -> np.ndarray:
            found = lepton_observables(read_four_lepton(path))
            return np.stack([found["mass"], found["pt_event"]], axis=1)

        return of_leptons, _OF_LEPTONS
    if geometry is None:
        raise InputError("--geometry: expected one for showers, found none; give par04_lite, say")
    detector, as_clouds = load_geometry(geometry), has_clouds(paths)

    def of_showers(path: Path) -> np.ndarray:
        sample = read_sample((path,), detector, None, as_clouds)
        moments = sample.moments
        ratio = moments.features.e_tot_mev / sample.incident_energy_mev
        return np.stack([ratio, moments.n_hits, moments.centre_z], axis=1)

    return of_showers, _OF_SHOWERS
