"""The log-likelihood of showers under a trained run, by the probability flow."""

import jax
import numpy as np

from jaxcalo.data import Showers
from jaxcalo.errors import InputError
from jaxcalo.experiment.build import build, raw_condition
from jaxcalo.experiment.run import TrainedModel
from jaxcalo.families.map_events import map_events
from jaxcalo.preprocess import check_conditions, prepare

_TOGETHER = 32  # chosen, as in families/diffusion.py


def log_likelihoods(trained: TrainedModel, showers: Showers, seed: int = 0) -> np.ndarray:
    """Estimate log p of each shower, without bias, as a standardised event given its conditions.

    Args:
        trained: The model.
        showers: Which, in MeV, with the further conditions of the run.
        seed: Of the random directions of the divergence.

    Returns:
        (n,) nats of the whole event.

    Raises:
        InputError: A student, which has no density, or conditions that the model does not know.
    """
    check_conditions(trained.conditions, showers.conditions, "likelihood")
    model = build(
        trained.experiment, trained.detector, trained.constants, conditions=trained.conditions
    ).model
    log_prob = model.log_prob
    if log_prob is None:
        raise InputError(
            "likelihood: expected a run of plain denoising, found a student, which has no density; "
            "take its teacher"
        )
    preprocessor = prepare(
        trained.experiment.preprocess, trained.detector, trained.constants, trained.conditions
    )

    def of_shower(row):
        key, shower = row
        event = preprocessor.transform.forward(shower.voxel_energy_mev, shower.incident_energy_mev)
        cond = preprocessor.condition(raw_condition(shower))
        return log_prob(key, trained.params, event, cond)

    @jax.jit
    def of_showers(keys, showers):
        return map_events(of_shower, (keys, showers), _TOGETHER)

    keys = jax.random.split(jax.random.key(seed), len(showers.incident_energy_mev))
    return np.asarray(of_showers(keys, showers))
