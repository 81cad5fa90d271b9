"""The sampler of a run on voxels as one pure function of arrays, to be written to a file.

Three forms: of a seed, of noise, and of the one vector that Geant4's example Par04 gives a network.
"""

import dataclasses
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxcalo.errors import InputError
from jaxcalo.experiment.build import build
from jaxcalo.experiment.run import TrainedFamily, TrainedModel
from jaxcalo.export import BATCH, Port, PureSampler
from jaxcalo.preprocess import n_condition_columns, prepare
from jaxcalo.typing import Cond, Event
from jaxcalo.units import GeV

Trained = TrainedModel | TrainedFamily

# How Par04 scales what it gives (Par04InferenceSetup of Geant4 11.0 to 11.4, model type VAE).
PAR04_MAX_ENERGY_MEV = 1024.0 * GeV
PAR04_MAX_ANGLE_DEG = 90.0
PAR04_N_CONDITIONS = 4


def seeded_sampler(trained: Trained) -> PureSampler:
    """The sampler of a run, of any family.

    Shower i of a call is the shower first_shower + i of `jaxcalo sample --seed SEED` at its energy.
    """
    model, params = trained.model, jax.device_get(trained.params)

    def function(seed: Array, first_shower: Array, *raw: Array) -> Array:
        _, key = jax.random.split(jax.random.key(seed))

        def shower(i: Array, raw: Cond) -> Event:
            return model.sample(jax.random.fold_in(key, i), params, raw)

        conds = _raw_conditions(*raw)
        index = first_shower + jnp.arange(conds.shape[0], dtype=jnp.uint32)
        return jax.vmap(shower)(index, conds)

    inputs = (
        Port("seed", (), "uint32", "decides every shower"),
        Port("first_shower", (), "uint32", "number of the first shower among those of the seed"),
        *_condition_ports(trained),
    )
    return PureSampler(function, inputs, _mev_port(trained), _facts(trained))


def noise_sampler(trained: Trained) -> PureSampler:
    """The sampler of a run as a function of its noise.

    Raises:
        InputError: The run draws noise on its way to a shower.
    """
    n_noise, of_noise = _of_noise(trained)

    def function(noise: Array, *raw: Array) -> Array:
        return jax.vmap(of_noise)(noise, _raw_conditions(*raw))

    inputs = (_noise_port(n_noise), *_condition_ports(trained))
    return PureSampler(function, inputs, _mev_port(trained), _facts(trained))


def par04_sampler(trained: Trained) -> PureSampler:
    """The sampler of a run with the input and output of a network in Geant4's example Par04.

    In: [noise, E_inc / 1024 GeV, angle / 90 degrees, geometry (2)], out: voxel energies in units of
    E_inc, radius slowest, then azimuth, layer fastest. Angle and geometry change nothing.

    Raises:
        InputError: The run draws noise on its way to a shower, knows conditions that Par04 does not
            give, or its voxels are no regular cylinder.
    """
    n_noise, of_noise = _of_noise(trained)
    detector = trained.detector
    if not (detector.is_cylindrical and detector.is_regular):
        raise InputError(
            f"--format par04: expected a geometry of equal cylindrical layers, found "
            f"{detector.name}; choose --format onnx"
        )
    if trained.conditions:
        raise InputError(
            "--format par04: expected a run that is conditioned on the energy alone, found "
            f"{', '.join(condition.name for condition in trained.conditions)}; "
            "choose --format onnx"
        )

    def shower(row: Array) -> Array:
        energy = row[n_noise] * PAR04_MAX_ENERGY_MEV
        voxels = of_noise(row[:n_noise], energy[None]) / energy
        return voxels.reshape(detector.grid_shape).transpose(2, 1, 0).reshape(-1)

    meaning = (
        f"{n_noise} standard normal numbers, then incident energy / {PAR04_MAX_ENERGY_MEV:g} MeV, "
        f"angle / {PAR04_MAX_ANGLE_DEG:g} degrees and two numbers of the geometry, all three unused"
    )
    given = Port("par04_input", (BATCH, n_noise + PAR04_N_CONDITIONS), "float32", meaning)
    made = Port(
        "voxel_energy_fractions",
        (BATCH, detector.n_voxels),
        "float32",
        "voxel energies / incident energy; radius slowest, then azimuth, layer fastest",
    )
    n_layers, n_azimuth, n_radius = detector.grid_shape
    macro = [
        "/Par04/inference/setModelType VAE",
        f"/Par04/inference/setSizeLatentVector {n_noise}",
        f"/Par04/inference/setSizeConditionVector {PAR04_N_CONDITIONS}",
        f"/Par04/inference/setNbOfRhoCells {n_radius}",
        f"/Par04/inference/setNbOfPhiCells {n_azimuth}",
        f"/Par04/inference/setNbOfZCells {n_layers}",
    ]
    return PureSampler(jax.vmap(shower), (given,), made, _facts(trained) | {"par04_macro": macro})


def _of_noise(trained: Trained) -> tuple[int, Callable[[Array, Cond], Event]]:
    """How much noise a shower needs, and (noise, raw condition) -> voxels in MeV."""
    experiment, fitted = trained.experiment, (trained.detector, trained.constants)
    noise_map = build(experiment, *fitted, conditions=trained.conditions).noise_map
    if noise_map is None:
        raise InputError(
            "noise as an input: expected a run that draws all of its noise first, found "
            f"{_way(trained)}; choose --sampler ddim, euler, heun, dpmpp-2m, dpmpp-3m, unipc or "
            "(students) consistency, one --member of an ensemble, or --format stablehlo with a seed"
        )
    preprocessor = prepare(experiment.preprocess, *fitted, trained.conditions)
    params = jax.device_get(trained.params)

    def of_noise(noise: Array, raw: Cond) -> Event:
        event = noise_map.event(noise, params, preprocessor.condition(raw))
        return preprocessor.transform.inverse(event, raw[0])

    return noise_map.n_noise, of_noise


def _raw_conditions(incident_energy_mev: Array, *conditions: Array) -> Array:
    """(n, 1 + k)."""
    return jnp.concatenate([incident_energy_mev[:, None], *conditions], axis=1)


def _condition_ports(trained: Trained) -> tuple[Port, ...]:
    energy = Port("incident_energy_mev", (BATCH,), "float32", "incident energies, MeV")
    if not trained.conditions:
        return (energy,)
    columns = ", ".join(f"{c.name} ({c.size})" for c in trained.conditions)
    size = n_condition_columns(trained.conditions)
    return energy, Port("conditions", (BATCH, size), "float32", f"columns, as in a file: {columns}")


def _noise_port(n_noise: int) -> Port:
    return Port("noise", (BATCH, n_noise), "float32", "independent standard normal numbers")


def _mev_port(trained: Trained) -> Port:
    meaning = "voxel energies, MeV, in the order of a shower file: layer slowest, radius fastest"
    return Port("voxel_energy_mev", (BATCH, trained.detector.n_voxels), "float32", meaning)


def _way(trained: Trained) -> str:
    """How a run samples, in words."""
    experiment: Any = trained.experiment
    return repr(experiment.sampling or experiment.ensemble or experiment.family)


def _facts(trained: Trained) -> dict[str, Any]:
    detector = trained.detector
    return {
        "geometry": detector.name,
        "particle": detector.particle,
        "voxels_of_layers": [layer.n_voxels for layer in detector.relevant_layers],
        "threshold_mev": detector.threshold_mev,
        "energy_range_mev": list(trained.energy_range_mev),
        "conditions": [dataclasses.asdict(condition) for condition in trained.conditions],
        "sampling": _way(trained),
        "trained_steps": trained.step,
        "versions": {name: version(name) for name in ("jaxcalo", "jax")},
    }
