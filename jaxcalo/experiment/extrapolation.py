"""Which showers are asked for outside of what a run was trained on."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxcalo.preprocess import (
    Classes,
    Condition,
    TrainingDomain,
    encode_conditions,
    fit_training_domain,
    outside_domain,
    outside_ranges,
)


def fit_domain(conditions: Sequence[Condition], raw: np.ndarray) -> TrainingDomain:
    """The domain of showers that have further conditions.

    Args:
        conditions: What the showers depend on beside the energy, fitted.
        raw: [E_inc in MeV, further conditions] of the training showers, (n, 1 + k).
    """
    names = ["log E_inc"]
    for condition in conditions:
        parts = condition.values if isinstance(condition, Classes) else range(condition.size)
        names += [f"{condition.name}[{part}]" for part in parts]
    return fit_training_domain(_columns(conditions, raw), names)


def extrapolated(
    raw: np.ndarray,
    energy_range_mev: tuple[float, float],
    conditions: Sequence[Condition] = (),
    domain: TrainingDomain | None = None,
) -> np.ndarray:
    """Which showers lie outside the training domain; without one, outside the trained ranges.

    Args:
        raw: [E_inc in MeV, further conditions] that are asked for, (n, 1 + k).
        energy_range_mev: Smallest and largest incident energy trained on.
        conditions: What the showers depend on beside the energy, fitted.
        domain: Of `fit_domain`; None for showers of the energy alone, and in older runs.

    Returns:
        (n,) bool.
    """
    if domain is not None:
        return outside_domain(domain, _columns(conditions, raw))
    low, high = energy_range_mev
    # Half a percent: files hold energies in single precision, and a sample may have the range's
    # own ends.
    outside = (raw[:, 0] < 0.995 * low) | (raw[:, 0] > 1.005 * high)
    return outside | outside_ranges(conditions, raw[:, 1:])


def _columns(conditions: Sequence[Condition], raw: np.ndarray) -> np.ndarray:
    """[log E_inc, further conditions as a network sees them]: distances mean something."""
    encoded = jax.vmap(partial(encode_conditions, conditions))(jnp.asarray(raw[:, 1:]))
    return np.column_stack([np.log(raw[:, 0].astype(np.float64)), encoded])
