"""From configuration to functions: the network, the encoding of showers, the generative model."""

import jax
import jax.numpy as jnp

from jaxcalo.data import Showers
from jaxcalo.experiment.config import Experiment
from jaxcalo.families import Encode, GenerativeModel, Net, diffusion
from jaxcalo.geometry import Detector
from jaxcalo.preprocess import Constants, Preprocessor, augment, prepare
from jaxcalo.typing import Cond, Event, Key, Params, Scalar


def build(
    experiment: Experiment, detector: Detector, constants: Constants
) -> tuple[Net, Encode, GenerativeModel]:
    """Build what an experiment trains.

    Args:
        experiment: the configuration.
        detector: the geometry of the showers.
        constants: the fitted preprocessing.

    Returns:
        The network on flat events, the encoding of a shower (Showers of one, no batch axis), and
        the generative model of standardised events.

    Raises:
        InputError: the network does not fit the geometry.
    """
    recipe = experiment.preprocess
    preprocessor = prepare(recipe, detector, constants)
    net = experiment.net.build(
        detector, recipe.n_layer_energies(detector), experiment.diffusion.learned_variance
    )
    permute = augment(detector) if experiment.data.augment else None

    def encode(key: Key, shower: Showers) -> tuple[Event, Cond]:
        energy = jnp.asarray(shower.incident_energy_mev)
        voxels = jnp.asarray(shower.voxel_energy_mev)
        if permute is not None:
            voxels = permute(jax.random.uniform(key), voxels)
        event = preprocessor.transform.forward(voxels, energy)
        return event, preprocessor.condition(energy)

    model = diffusion(
        net,
        experiment.diffusion,
        experiment.sampling,
        experiment.optimizer.build(experiment.training.n_steps),
        encode=encode,
        n_components=len(constants.mean),
        ema_decay=experiment.optimizer.ema_decay ** (1.0 / experiment.optimizer.accumulate),
    )
    return net, encode, model


def in_mev(model: GenerativeModel, preprocessor: Preprocessor) -> GenerativeModel:
    """Wrap a model of standardised events: sample(key, params, [E_inc]) -> voxels, all in MeV."""

    def sample(key: Key, params: Params, incident_energy_mev: Cond) -> Event:
        energy: Scalar = incident_energy_mev[0]
        event = model.sample(key, params, preprocessor.condition(energy))
        return preprocessor.transform.inverse(event, energy)

    return model._replace(sample=sample)
