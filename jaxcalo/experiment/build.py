"""From configuration to functions: the network, the encoding of showers, the generative model."""

from functools import partial

import jax
import jax.numpy as jnp

from jaxcalo.data import Showers
from jaxcalo.experiment.config import Experiment
from jaxcalo.families import (
    Encode,
    GenerativeModel,
    Net,
    ProgressiveDistillation,
    consistency,
    diffusion,
    progressive,
)
from jaxcalo.geometry import Detector
from jaxcalo.preprocess import Constants, Preprocessor, augment, prepare
from jaxcalo.typing import Cond, Event, Key, Params, Scalar


def build(
    experiment: Experiment,
    detector: Detector,
    constants: Constants,
    teacher: Params | None = None,
) -> tuple[Net, Encode, GenerativeModel]:
    """Build what an experiment trains.

    Args:
        experiment: the configuration.
        detector: the geometry of the showers.
        constants: the fitted preprocessing.
        teacher: the parameters that a student starts from and learns from, if it is to be trained.

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

    return net, encode, _family(experiment, net, encode, len(constants.mean), teacher)


def _family(
    experiment: Experiment, net: Net, encode: Encode, n_components: int, teacher: Params | None
) -> GenerativeModel:
    method, n_steps = experiment.few_steps, experiment.training.n_steps
    n_cycles = method.n_stages if isinstance(method, ProgressiveDistillation) else 1
    optimizer = experiment.optimizer.build(n_steps, n_cycles)
    ema_decay = experiment.optimizer.ema_decay ** (1.0 / experiment.optimizer.accumulate)
    if method is None:
        return diffusion(
            net,
            experiment.diffusion,
            experiment.sampling,
            optimizer,
            encode=encode,
            n_components=n_components,
            ema_decay=ema_decay,
        )
    if isinstance(method, ProgressiveDistillation):
        student = partial(progressive, method=method)
    else:
        student = partial(consistency, method=method)
    return student(
        net,
        experiment.diffusion,
        sampling=experiment.sampling,
        optimizer=optimizer,
        encode=encode,
        n_components=n_components,
        ema_decay=ema_decay,
        n_steps=n_steps,
        teacher=teacher,
        teacher_guidance=1.0 if experiment.teacher is None else experiment.teacher.guidance,
    )


def in_mev(model: GenerativeModel, preprocessor: Preprocessor) -> GenerativeModel:
    """Wrap a model of standardised events: sample(key, params, [E_inc]) -> voxels, all in MeV."""

    def sample(key: Key, params: Params, incident_energy_mev: Cond) -> Event:
        energy: Scalar = incident_energy_mev[0]
        event = model.sample(key, params, preprocessor.condition(energy))
        return preprocessor.transform.inverse(event, energy)

    return model._replace(sample=sample)
