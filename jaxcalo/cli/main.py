"""`jaxcalo VERB ...`: dispatch, and every failure as one line."""

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import tyro

from jaxcalo.cli.runtime import configure, one_device_a_core
from jaxcalo.errors import InputError

_DESCRIPTION = (
    "Generative models of calorimeter showers: train on Geant4, generate, and prove it from "
    "the physics. "
    "Start with `jaxcalo quickstart`. Energies are in GeV on the command line and in MeV in files."
)
# Where the verbs are: only that which is asked for is imported.
_VERBS = {
    "quickstart": "quickstart.quickstart",
    "train": "train.train_help",
    "distill": "distill.distill_help",
    "calibrate": "calibrate.calibrate",
    "sample": "sample.sample",
    "merge": "merge.merge",
    "evaluate": "evaluate.evaluate",
    "compare": "compare.compare",
    "contest": "contest.contest",
    "worth": "worth.worth",
    "challenge": "challenge.challenge",
    "search-grid": "search_grid.search_grid",
    "pareto": "pareto.pareto",
    "likelihood": "likelihood.likelihood",
    "bench": "bench.bench",
    "export": "export.export",
    "generate-events": "generate_events.generate_events",
    "inspect": "inspect.inspect",
    "doctor": "doctor.doctor",
}
# These verbs have an option for every field of the experiment that their first argument names.
_WITH_FIELDS = {"train": "train.train_main", "distill": "distill.distill_main"}


def _verb(place: str) -> Callable[..., Any]:
    module, name = place.split(".")
    return getattr(importlib.import_module(f"jaxcalo.cli.{module}"), name)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one verb. Exit codes: 0 done, 1 failed, 2 unusable input, 130 or 143 interrupted."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments in ([], ["help"]):
        arguments = ["--help"]
    one_device_a_core(arguments)
    configure()
    sys.exit(_guarded(arguments))


def _guarded(arguments: list[str]) -> int:
    from jaxcalo.training import Interrupted, NonFiniteLossError

    try:
        if arguments[0] in _WITH_FIELDS and arguments[1:] and not arguments[1].startswith("-"):
            _verb(_WITH_FIELDS[arguments[0]])(arguments[1:])
        else:
            asked = {arguments[0]} if arguments[0] in _VERBS else _VERBS
            tyro.extras.subcommand_cli_from_dict(
                {name: _verb(place) for name, place in _VERBS.items() if name in asked},
                prog="jaxcalo",
                description=_DESCRIPTION,
                args=arguments,
                sort_subcommands=False,
            )
    except InputError as error:
        return _fail(str(error), 2)
    except NonFiniteLossError as error:
        return _fail(str(error), 1)
    except Interrupted as stop:
        _fail(
            f"stopped at step {stop.step}; everything is saved: "
            "the same command goes on from there",
            0,
        )
        return 128 + stop.signal_number
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except OSError as error:
        return _fail(f"{error.filename or 'input or output'}: {error.strerror or error}", 2)
    return 0


def _fail(message: str, code: int) -> int:
    print(
        f"jaxcalo: {'error: ' if code in (1, 2) else ''}{' '.join(message.split())}",
        file=sys.stderr,
    )
    return code
