"""From configuration to functions: the network, the encoding of showers, the generative model."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jaxcalo.data import Showers
from jaxcalo.errors import InputError
from jaxcalo.experiment.config import EnergyStage, Experiment
from jaxcalo.experiment.ensemble_config import build_family
from jaxcalo.experiment.family_config import FamilyExperiment
from jaxcalo.experiment.shower_terms import shower_terms
from jaxcalo.experiment.vector_nets import EventShape
from jaxcalo.families import (
    Encode,
    GenerativeModel,
    Net,
    NoiseMap,
    ProgressiveDistillation,
    consistency,
    diffusion,
    evaluate_diffusion,
    evaluate_two_stage,
    frozen,
    noise_map,
    progressive,
    shape_condition,
    split_encode,
    two_stage,
    two_stage_noise,
)
from jaxcalo.families.two_stage import ENERGIES, SHAPES, LayerCondition
from jaxcalo.geometry import Detector
from jaxcalo.preprocess import Condition, Constants, Preprocessor, augment, prepare
from jaxcalo.typing import Cond, Event, Key, Params


class Denoised(NamedTuple):
    """What the network of a diffusion model denoises: events, or with an energy stage shapes.

    Attributes:
        net: The network of `experiment.net`.
        params: Its part of the model's parameters.
        condition: (key, model's parameters, condition) -> what it is conditioned on.
        n_components: How many numbers it denoises.
    """

    net: Net
    params: Callable[[Params], Params]
    condition: Callable[[Key, Params, Cond], Cond]
    n_components: int


class Built(NamedTuple):
    """What an experiment trains.

    Attributes:
        model: The generative model of standardised events.
        evaluate: (key, averaged parameters, showers) -> held-out numbers; None for students.
        denoised: What its network denoises; None for other families.
        noise_map: The model's sampling as a function of its noise, where it is one.
    """

    model: GenerativeModel
    evaluate: Callable[[Key, Params, Any], dict[str, Array]] | None
    denoised: Denoised | None
    noise_map: NoiseMap | None = None


def build(
    experiment: Experiment | FamilyExperiment,
    detector: Detector,
    constants: Constants,
    teacher: Params | None = None,
    conditions: tuple[Condition, ...] = (),
) -> Built:
    """Build what an experiment trains.

    Args:
        experiment: the configuration.
        detector: the geometry of the showers.
        constants: the fitted preprocessing.
        teacher: the parameters that a student starts from and learns from, if it is to be trained.
        conditions: the fitted further conditions of the showers.

    Raises:
        InputError: the network does not fit the geometry, or the preprocessing not the stages.
    """
    recipe, size = experiment.preprocess, len(constants.mean)
    preprocessor = prepare(recipe, detector, constants, conditions)
    encode = _encoder(experiment.data.augment, detector, preprocessor)
    n_head = recipe.n_layer_energies(detector)
    if isinstance(experiment, FamilyExperiment):
        grid = detector.grid_shape if detector.is_regular else None
        n_steps = experiment.training.n_steps
        terms = shower_terms(experiment.terms, detector, preprocessor, constants)
        shape = EventShape(size, grid, n_head)
        family = build_family(experiment.family, experiment.ensemble, shape, encode, n_steps, terms)
        return Built(family.model, family.evaluate, None, family.noise_map)
    has_variance = experiment.diffusion.learned_variance
    if experiment.energies is not None:
        if preprocessor.layer_condition is None:
            raise InputError(
                "an energy stage: expected preprocessing that keeps layer energies apart "
                f"(LayerShapes), found {type(recipe).__name__}; change the recipe's preprocess or "
                "leave energies out"
            )
        net = experiment.net.build(detector, 0, has_variance, n_head)
        return _two_stages(
            experiment,
            experiment.energies,
            net,
            encode,
            preprocessor.layer_condition,
            n_head,
            size,
            teacher,
        )
    net = experiment.net.build(detector, n_head, has_variance)
    model = _family(experiment, net, encode, size, teacher)
    evaluate = evaluate_diffusion(net, experiment.diffusion, encode=encode)
    return Built(
        model,
        evaluate if experiment.few_steps is None else None,
        Denoised(net, lambda params: params, lambda _key, _params, cond: cond, size),
        noise_map(net, experiment.diffusion, experiment.sampling, size),
    )


def _two_stages(
    experiment: Experiment,
    stage: EnergyStage,
    net: Net,
    encode: Encode,
    layer_condition: LayerCondition,
    n_head: int,
    size: int,
    teacher: Params | None,
) -> Built:
    encode_head, encode_shape = split_encode(encode, n_head, layer_condition)
    energy_net = stage.build(n_head)
    energies = diffusion(
        energy_net,
        stage.diffusion,
        stage.sampling,
        stage.optimizer.build(experiment.training.n_steps),
        encode=encode_head,
        n_components=n_head,
        ema_decay=stage.optimizer.ema_decay,
    )
    if teacher is not None:
        energies, teacher = frozen(energies, teacher[ENERGIES]), teacher[SHAPES]
    shapes = _family(experiment, net, encode_shape, size - n_head, teacher)
    evaluate = evaluate_two_stage(
        evaluate_diffusion(energy_net, stage.diffusion, encode=encode_head),
        evaluate_diffusion(net, experiment.diffusion, encode=encode_shape),
        n_head,
        size,
    )

    def net_condition(key: Key, params: Params, cond: Cond) -> Cond:
        head = energies.sample(key, params[ENERGIES], cond)
        return shape_condition(layer_condition, head, cond)

    return Built(
        two_stage(energies, shapes, n_head=n_head, layer_condition=layer_condition),
        evaluate if experiment.few_steps is None else None,
        Denoised(net, lambda params: params[SHAPES], net_condition, size - n_head),
        two_stage_noise(
            noise_map(energy_net, stage.diffusion, stage.sampling, n_head),
            noise_map(net, experiment.diffusion, experiment.sampling, size - n_head),
            layer_condition,
        ),
    )


def _encoder(has_symmetry: bool, detector: Detector, preprocessor: Preprocessor) -> Encode:
    """(key, Showers of one, no batch axis) -> (event, condition)."""
    permute = augment(detector) if has_symmetry else None

    def encode(key: Key, shower: Showers) -> tuple[Event, Cond]:
        energy = jnp.asarray(shower.incident_energy_mev)
        voxels = jnp.asarray(shower.voxel_energy_mev)
        if permute is not None:
            voxels = permute(jax.random.uniform(key), voxels)
        event = preprocessor.transform.forward(voxels, energy)
        return event, preprocessor.condition(raw_condition(shower))

    return encode


def raw_condition(showers: Showers) -> Array:
    """[E_inc in MeV, further conditions] of one shower or of many, (..., 1 + k)."""
    energy = jnp.asarray(showers.incident_energy_mev)[..., None]
    if showers.conditions is None:
        return energy
    return jnp.concatenate([energy, jnp.asarray(showers.conditions)], axis=-1)


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
    """Wrap a model of standardised events: sample(key, params, raw condition) -> voxels in MeV."""

    def sample(key: Key, params: Params, raw: Cond) -> Event:
        event = model.sample(key, params, preprocessor.condition(raw))
        return preprocessor.transform.inverse(event, raw[0])

    return model._replace(sample=sample)
