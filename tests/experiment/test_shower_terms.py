"""Observables of showers as terms of a loss: those of the metrics, with finite slopes, learned."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcalo.data import Showers
from jaxcalo.errors import InputError
from jaxcalo.experiment import (
    Data,
    FamilyExperiment,
    MixtureFamily,
    NearestFamily,
    PlainNet,
    ShowerTerms,
    VaeFamily,
    build,
)
from jaxcalo.experiment.shower_terms import shower_observables, shower_terms
from jaxcalo.families import FixedWidth, Vae
from jaxcalo.geometry import CartesianLayer, Detector, PolarLayer
from jaxcalo.metrics import condense
from jaxcalo.metrics.wasserstein import wasserstein_1
from jaxcalo.preprocess import IncidentFractions, LayerShapes, fit, prepare
from jaxcalo.training import AdamW, Batch, TrainingPlan, data_mesh, map_step

EDGES = (0.0, 5.0, 10.0, 20.0)
POLAR = Detector("polar", "photon", 22, (*(PolarLayer(i, EDGES, 4) for i in range(3)),), 1.0)
RING = PolarLayer(1, (0.0, 7.0, 30.0), 1)
MIXED = dataclasses.replace(POLAR, layers=(PolarLayer(0, EDGES, 4), RING))
CRYSTALS = dataclasses.replace(POLAR, layers=(CartesianLayer(0, (-9, 1, 6, 20), (0, 4, 20)),))
ALL = ShowerTerms(*(1.0 for _ in dataclasses.fields(ShowerTerms)))


def quickly(function, *arguments):
    """The function compiled in half the time."""
    lowered = jax.jit(function).lower(*arguments)
    return lowered.compile({"xla_backend_optimization_level": 0})(*arguments)


def toy(detector, n, seed=0):
    """Showers of some hits: the first is empty, the second one voxel, the third one layer."""
    draws = np.random.default_rng(seed)
    hits = draws.exponential(60.0, (n, detector.n_voxels)) + detector.threshold_mev
    voxels = np.where(draws.random(hits.shape) < 0.6, hits, 0.0)
    voxels[:2], voxels[1, -1] = 0.0, 50.0
    voxels[2, detector.offsets[1] :] = 0.0
    energy = 2.0 * voxels.sum(axis=1) * draws.uniform(0.9, 1.1, n)
    return Showers(np.maximum(energy, 100.0).astype(np.float32), voxels.astype(np.float32))


def by_metrics(showers, detector):
    """The same observables as the report has, n_effective by its definition."""
    sample = condense([showers], detector)
    moments, energy = sample.moments, showers.voxel_energy_mev.astype(float)
    squares = np.maximum((energy**2).sum(axis=1), 1e-30)
    return {
        "e_ratio": moments.features.e_tot_mev / showers.incident_energy_mev,
        "centre_x": moments.centre_x_mm,
        "centre_y": moments.centre_y_mm,
        "centre_z": moments.centre_z,
        "width_r": moments.features.width_r_mm,
        "n_effective": energy.sum(axis=1) ** 2 / squares,
    }


@pytest.mark.parametrize("detector", [POLAR, MIXED, CRYSTALS], ids=["polar", "mixed", "crystals"])
def test_observables_are_those_of_the_metrics(detector):
    showers, found = toy(detector, 50), shower_observables(detector)
    expected = by_metrics(showers, detector)
    assert list(found) == list(expected) == [field.name for field in dataclasses.fields(ALL)]

    def observe(voxels, energy):
        return {name: observable(voxels, energy) for name, observable in found.items()}

    values = quickly(jax.vmap(observe), showers.voxel_energy_mev, showers.incident_energy_mev)
    for name, known in expected.items():
        value, known = np.asarray(values[name]), known.reshape(50, -1)
        np.testing.assert_allclose(value, known, rtol=2e-5, atol=2e-3, err_msg=name)
    assert values["n_effective"][1, 0] == 1.0


@pytest.mark.parametrize("recipe", [LayerShapes(), IncidentFractions()])
def test_terms_decode_events_and_have_finite_slopes(recipe):
    """Of showers, empty ones too, and of numbers that no shower has."""
    showers = toy(POLAR, 100)
    constants = fit(recipe, POLAR, [showers[:2]])
    preprocessor = prepare(recipe, POLAR, constants)
    terms = shower_terms(ALL, POLAR, preprocessor, constants)
    assert shower_terms(ShowerTerms(), POLAR, preprocessor, constants) == []

    def features(event, cond):
        return jnp.concatenate([term.features(event, cond) for term in terms])

    def both(event, cond):
        return features(event, cond), jax.jacrev(features)(event, cond)

    def of_showers(voxels, energy):
        return preprocessor.transform.forward(voxels, energy), preprocessor.condition(energy[None])

    pair = showers.voxel_energy_mev, showers.incident_energy_mev
    events, conds = quickly(jax.vmap(of_showers), *pair)
    wild = 5.0 * np.random.default_rng(1).standard_normal((20, events.shape[1]))
    events = np.concatenate([events, wild, 0.0 * wild[:1] - 50.0]).astype(np.float32)
    conds = np.concatenate([conds, conds[:21]])
    values, slopes = quickly(jax.vmap(both), events, conds)
    expected = by_metrics(showers, POLAR).values()
    expected = np.concatenate([known.reshape(100, -1) for known in expected], axis=1)
    np.testing.assert_allclose(values[3:100], expected[3:], rtol=5e-3, atol=5e-3)
    assert np.isfinite(values).all()
    assert np.isfinite(slopes).all()
    moved = np.abs(slopes).max(axis=(0, 2))
    assert (moved > 1e-3).all(), moved  # every column has a gradient


def experiment_of(family, **weights):
    return FamilyExperiment(
        data=Data(augment=False),
        family=family,
        terms=ShowerTerms(**weights),
        training=TrainingPlan(n_steps=100),
    )


def test_terms_are_part_of_the_loss_of_a_run():
    showers = toy(POLAR, 16)
    constants = fit(LayerShapes(), POLAR, [showers[:2]])
    experiment = experiment_of(VaeFamily(PlainNet((4,))), centre_z=0.5, n_effective=1.0)
    algorithm = build(experiment, POLAR, constants).model.algorithm
    batch, key = Batch(np.arange(16, dtype=np.int32), showers), jax.random.key(0)
    state = jax.eval_shape(algorithm.init, key, batch)
    step = map_step(algorithm, data_mesh(jax.devices()[:1]))
    _, metrics = jax.eval_shape(step, key, state, batch)
    found = {name for name in metrics if name.startswith("physics_")}
    assert found == {"physics_centre_z", "physics_n_effective"}


@pytest.mark.slow
def test_a_term_lowers_the_distance_of_its_observable():
    """A VAE of a fixed width makes too good a resolution of the energy: it decodes means."""
    showers = toy(POLAR, 128)
    constants = fit(LayerShapes(), POLAR, [showers[:2]])
    batch = Batch(np.arange(128, dtype=np.int32), showers)
    family = VaeFamily(
        PlainNet((16,)), Vae(2, 1.0, FixedWidth(1.0)), AdamW(learning_rate=1e-2, ema_decay=0.9)
    )
    found = []
    for weight in (0.0, 30.0):
        model = build(experiment_of(family, e_ratio=weight), POLAR, constants).model
        step = map_step(model.algorithm, data_mesh(jax.devices()[:1]))
        preprocessor = prepare(LayerShapes(), POLAR, constants)

        def program(key, batch, model=model, step=step, preprocessor=preprocessor):
            state = model.algorithm.init(key, batch)
            state, metrics = jax.lax.scan(lambda s, _: step(key, s, batch), state, None, 100)
            energy = batch.data.incident_energy_mev

            def ratio(key, energy):
                cond = preprocessor.condition(energy[None])
                event = model.sample(key, state.ema, cond)
                return preprocessor.transform.inverse(event, energy).sum() / energy

            return jax.vmap(ratio)(jax.random.split(key, 128), energy), metrics

        ratios, metrics = quickly(program, jax.random.key(0), batch)
        known = showers.voxel_energy_mev.sum(axis=1) / showers.incident_energy_mev
        found.append(wasserstein_1(known, np.asarray(ratios)))
        assert ("physics_e_ratio" in metrics) == (weight > 0.0)
    assert metrics["physics_e_ratio"][-20:].mean() < 0.5 * metrics["physics_e_ratio"][:5].mean()
    assert found[1] < 0.7 * found[0]


@pytest.mark.parametrize("family", [MixtureFamily(), NearestFamily()], ids=["mixture", "nearest"])
def test_families_without_gradients_take_none(family):
    constants = fit(LayerShapes(), POLAR, [toy(POLAR, 20)[:2]])
    with pytest.raises(InputError, match="no gradients, found 2; leave them out"):
        build(experiment_of(family, width_r=1.0, centre_z=0.1), POLAR, constants)
