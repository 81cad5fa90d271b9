"""`jaxcalo VERB ...`: dispatch, and every failure as one line."""

import sys
from collections.abc import Sequence

import tyro

from jaxcalo.cli.bench import bench
from jaxcalo.cli.calibrate import calibrate
from jaxcalo.cli.challenge import challenge
from jaxcalo.cli.compare import compare
from jaxcalo.cli.contest import contest
from jaxcalo.cli.distill import distill_help, distill_main
from jaxcalo.cli.doctor import doctor
from jaxcalo.cli.evaluate import evaluate
from jaxcalo.cli.export import export
from jaxcalo.cli.generate_events import generate_events
from jaxcalo.cli.inspect import inspect
from jaxcalo.cli.likelihood import likelihood
from jaxcalo.cli.merge import merge
from jaxcalo.cli.pareto import pareto
from jaxcalo.cli.quickstart import quickstart
from jaxcalo.cli.runtime import configure
from jaxcalo.cli.sample import sample
from jaxcalo.cli.search_grid import search_grid
from jaxcalo.cli.train import train_help, train_main
from jaxcalo.cli.worth import worth
from jaxcalo.errors import InputError

_DESCRIPTION = (
    "Generative models of calorimeter showers: train on Geant4, generate, and prove it from "
    "the physics. "
    "Start with `jaxcalo quickstart`. Energies are in GeV on the command line and in MeV in files."
)
_VERBS = {
    "quickstart": quickstart,
    "train": train_help,
    "distill": distill_help,
    "calibrate": calibrate,
    "sample": sample,
    "merge": merge,
    "evaluate": evaluate,
    "compare": compare,
    "contest": contest,
    "worth": worth,
    "challenge": challenge,
    "search-grid": search_grid,
    "pareto": pareto,
    "likelihood": likelihood,
    "bench": bench,
    "export": export,
    "generate-events": generate_events,
    "inspect": inspect,
    "doctor": doctor,
}
# These verbs have an option for every field of the experiment that their first argument names.
_WITH_FIELDS = {"train": train_main, "distill": distill_main}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one verb. Exit codes: 0 done, 1 failed, 2 unusable input, 130 or 143 interrupted."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments in ([], ["help"]):
        arguments = ["--help"]
    configure()
    sys.exit(_guarded(arguments))


def _guarded(arguments: list[str]) -> int:
    from jaxcalo.training import Interrupted, NonFiniteLossError

    try:
        if arguments[0] in _WITH_FIELDS and arguments[1:] and not arguments[1].startswith("-"):
            _WITH_FIELDS[arguments[0]](arguments[1:])
        else:
            tyro.extras.subcommand_cli_from_dict(
                _VERBS,
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
