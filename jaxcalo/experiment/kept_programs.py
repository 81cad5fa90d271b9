"""Where the traced sampling programs of a run are kept: beside JAX's compiled ones."""

import hashlib
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxcalo.experiment.record import to_record
from jaxcalo.families import ProgramStore

# Arguments of the program, what it is traced from, and what it does not know.
_ELSEWHERE = ("params", "model", "step")
_CACHE = "jax_enable_compilation_cache", "jax_compilation_cache_dir"


def kept_programs(trained: Any) -> ProgramStore | None:
    """The programs of a trained model; None where JAX keeps no compiled ones either.

    Its configuration, fitted constants, geometry and conditions are the programs' name: all that
    the model is built from.
    """
    wanted, folder = (getattr(jax.config, name) for name in _CACHE)
    if not (wanted and folder):
        return None
    built_from = {
        name: to_record(value)
        for name, value in trained._asdict().items()
        if name not in _ELSEWHERE
    }
    text = json.dumps([type(trained).__name__, built_from], default=_digest)
    return ProgramStore(Path(folder) / "traced", hashlib.sha256(text.encode()).hexdigest())


def _digest(array: Any) -> list[Any]:
    """An array as JSON, in short."""
    array = np.asarray(array)
    if array.dtype == object:
        raise TypeError(f"expected numbers, found {array}")
    return [str(array.dtype), array.shape, hashlib.sha256(array.tobytes()).hexdigest()]
