"""What a file of generated events says of itself."""

import hashlib
import json
from typing import Any

import jax
import numpy as np

from jaxcalo.data.merge import part_facts
from jaxcalo.experiment.record import to_record


def sample_facts(
    trained: Any, seed: int, shard: tuple[int, int], whole: np.ndarray
) -> dict[str, str | int | float | bool]:
    """Who made a file, and which part of which sample it is.

    Samples are the same if their model's configuration and numbers, the seed, and the conditions
    are.

    Args:
        trained: The model, of any kind.
        seed: Of the sample.
        shard: (i, n): the file is the i-th of n parts.
        whole: Raw conditions of the whole sample, (n, c).
    """
    digest = hashlib.sha256(json.dumps([to_record(trained.experiment), seed]).encode())
    fitted = trained.params, trained.constants, getattr(trained, "hits", None)
    for leaf in jax.tree.leaves((fitted, whole)):
        digest.update(np.asarray(leaf).tobytes())
    return {
        "generator": "jaxcalo",
        "seed": seed,
        "trained_steps": trained.step,
        **part_facts(digest.hexdigest()[:16], len(whole), shard),
    }
