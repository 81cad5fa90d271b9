"""Two stages: what each sees, that both train as if alone, and that energies come out exactly."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcalo.data import open_showers, sample_path
from jaxcalo.errors import InputError
from jaxcalo.experiment import Data, DiTNet, EnergyStage, Experiment, build
from jaxcalo.families import (
    Diffusion,
    GenerativeModel,
    Sampling,
    diffusion,
    frozen,
    split_encode,
    two_stage,
)
from jaxcalo.geometry import load_geometry, voxels
from jaxcalo.nets import ResidualMLP
from jaxcalo.preprocess import IncidentFractions, fit, prepare
from jaxcalo.training import Batch, data_mesh, init_state, map_step, shard_batch

MESH = data_mesh(jax.devices()[:1])
N_HEAD, SIZE, BATCH = 2, 5, 8


def layer_condition(head, cond):
    return 2.0 * head + cond[0]


def encode(key, datum):
    """The event is a fixed function of the datum and a key."""
    return datum["event"] + 0.1 * jax.random.normal(key, (SIZE,)), datum["cond"]


def batch():
    keys = jax.random.split(jax.random.key(3))
    event, cond = (jax.random.normal(k, (BATCH, n)) for k, n in zip(keys, (SIZE, 1), strict=True))
    return Batch(np.arange(BATCH, dtype=np.int32), {"event": event, "cond": cond})


def stage(encode, n_components, width=8, noises=1):
    return diffusion(
        ResidualMLP(width=width, depth=1, out_size=n_components),
        Diffusion(noises_per_event=noises),
        Sampling(n_steps=4),
        optax.adam(1e-2),
        encode=encode,
        n_components=n_components,
        ema_decay=0.9,
    )


def stages():
    of_head, of_shape = split_encode(encode, N_HEAD, layer_condition)
    return stage(of_head, N_HEAD), stage(of_shape, SIZE - N_HEAD, width=16)


def joined(energies, shapes):
    return two_stage(energies, shapes, n_head=N_HEAD, layer_condition=layer_condition)


def train(algorithm, n_steps, key=0):
    state = init_state(algorithm, jax.random.key(key), batch(), MESH)
    step, data = map_step(algorithm, MESH), shard_batch(batch(), MESH)
    metrics = {}
    for _ in range(n_steps):
        state, metrics = step(jax.random.key(key + 1), state, data)
    return jax.device_get(state), jax.device_get(metrics)


def test_the_shape_stage_sees_the_energies_that_were_drawn():
    """Stub stages: the head echoes its condition, the shape its own."""
    energies = GenerativeModel(None, lambda key, params, cond: params * cond[0] * jnp.ones(N_HEAD))
    shapes = GenerativeModel(None, lambda key, params, cond: params * cond)
    out = joined(energies, shapes).sample(
        jax.random.key(0), {"energies": 3.0, "shapes": 10.0}, jnp.array([1.5])
    )
    head = np.full(N_HEAD, 4.5)
    np.testing.assert_allclose(out, [*head, *(10 * (2 * head + 1.5)), 15.0], rtol=1e-6)


def test_encodings_are_the_parts_of_the_whole():
    datum = jax.tree.map(lambda x: x[2], batch().data)
    key = jax.random.key(5)
    event, cond = encode(key, datum)
    (head, same), (shape, given) = (
        part(key, datum) for part in split_encode(encode, N_HEAD, layer_condition)
    )
    np.testing.assert_array_equal(np.concatenate([head, shape]), event)
    np.testing.assert_array_equal(same, cond)
    np.testing.assert_allclose(given, [*(2 * head + cond[0]), *cond], rtol=1e-6)


@pytest.mark.slow
def test_each_stage_trains_as_if_it_were_alone():
    """Side by side, each has the gradients, moments and averages of its own training."""
    energies, shapes = stages()
    both, metrics = train(joined(energies, shapes).algorithm, 1)
    init_keys, step_keys = (jax.random.split(jax.random.key(k)) for k in (0, 1))
    for name, model, init_key, step_key in zip(
        ("energies", "shapes"), (energies, shapes), init_keys, step_keys, strict=True
    ):
        state = init_state(model.algorithm, init_key, batch(), MESH)
        alone, alone_metrics = map_step(model.algorithm, MESH)(
            step_key, state, shard_batch(batch(), MESH)
        )
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
            both.params[name],
            jax.device_get(alone.params),
        )
        np.testing.assert_allclose(metrics[f"loss_{name}"], alone_metrics["loss"], rtol=1e-5)
    np.testing.assert_allclose(
        metrics["loss"], metrics["loss_energies"] + metrics["loss_shapes"], rtol=1e-6
    )


def test_frozen_energies_stay_while_shapes_learn():
    energies, shapes = stages()
    known = jax.tree.map(
        lambda p: p + 0.5, energies.algorithm.init(jax.random.key(9), batch()).params
    )
    state, metrics = train(joined(frozen(energies, known), shapes).algorithm, 3)
    for kept in (state.params["energies"], state.ema["energies"]):
        jax.tree.map(np.testing.assert_array_equal, kept, jax.device_get(known))
    assert metrics["loss_energies"] == 0.0
    start, _ = train(joined(frozen(energies, known), shapes).algorithm, 0)
    moved = jax.tree.map(
        lambda a, b: np.abs(a - b).max(), start.params["shapes"], state.params["shapes"]
    )
    assert max(jax.tree.leaves(moved)) > 1e-3


def test_log_prob_is_that_of_the_head_plus_that_of_the_shape_given_it():
    def gaussian(mean_of):
        def log_prob(key, params, x, cond):
            return -0.5 * jnp.sum((x - mean_of(cond)) ** 2)

        return GenerativeModel(None, lambda *_: None, log_prob)

    model = joined(gaussian(lambda c: c[0]), gaussian(lambda c: jnp.sum(c)))
    event, cond = jnp.arange(5.0), jnp.array([0.5])
    given = float(sum(2 * np.arange(2.0) + 0.5) + 0.5)
    expected = -0.5 * (np.sum((np.arange(2) - 0.5) ** 2) + np.sum((np.arange(2, 5) - given) ** 2))
    found = model.log_prob(jax.random.key(0), {"energies": (), "shapes": ()}, event, cond)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_several_noises_an_event_are_different_noises():
    """At zero parameters the loss is that of the noise alone; its error falls with their number."""
    of_head, _ = split_encode(encode, N_HEAD, layer_condition)

    def losses(noises):
        algorithm = stage(of_head, N_HEAD, noises=noises).algorithm
        state = init_state(algorithm, jax.random.key(0), batch(), MESH)
        zero = state._replace(params=jax.tree.map(jnp.zeros_like, state.params))
        step, data = map_step(algorithm, MESH), shard_batch(batch(), MESH)
        copy = lambda: jax.tree.map(jnp.copy, zero)  # noqa: E731
        return np.array([step(jax.random.key(k), copy(), data)[1]["loss"] for k in range(40)])

    one, sixteen = losses(1), losses(16)
    assert sixteen.std() < 0.5 * one.std()
    assert abs(one.mean() - sixteen.mean()) < 3 * one.std() / np.sqrt(40)


@pytest.fixture(scope="module")
def real():
    """A two-stage model with random parameters on real showers."""
    detector = load_geometry("par04_lite")
    with open_showers(sample_path("par04_lite_train"), detector) as file:
        showers = file.read(0, 256)
    experiment = Experiment(
        data=Data(batch_size=16),
        energies=EnergyStage(width=16, depth=1, sampling=Sampling(n_steps=4)),
        net=DiTNet(patch=(3, 8, 6), width=16, depth=1, n_heads=2),
        sampling=Sampling(n_steps=4),
    )
    constants = fit(experiment.preprocess, detector, [showers[:2]])
    return experiment, detector, constants, showers


def test_sampled_layer_energies_are_the_first_stage_s(real):
    """In MeV, after shapes and threshold: to 1e-4 of each layer."""
    experiment, detector, constants, showers = real
    built = build(experiment, detector, constants)
    preprocessor = prepare(experiment.preprocess, detector, constants)
    params = built.model.algorithm.init(
        jax.random.key(1), Batch(jnp.zeros(1, jnp.int32), jax.tree.map(lambda x: x[:1], showers))
    ).params
    # New networks return zero; moved parameters give shapes of all kinds.
    rng = np.random.default_rng(4)
    params = jax.tree.map(lambda p: p + np.float32(0.05) * rng.normal(size=p.shape), params)

    @jax.jit
    @jax.vmap
    def both(key, energy):
        event = built.model.sample(key, params, preprocessor.condition(energy[None]))
        head = event[: detector.n_layers]
        return preprocessor.layers.inverse(head, energy), preprocessor.transform.inverse(
            event, energy
        )

    energy = jnp.asarray(showers.incident_energy_mev)
    first, shower = both(jax.random.split(jax.random.key(2), len(energy)), energy)
    first, shower = np.asarray(first, np.float64), np.asarray(shower, np.float64)
    assert ((shower == 0) | (shower >= detector.threshold_mev * (1 - 1e-6))).all()
    layer = voxels(detector).layer
    after = np.stack([shower[:, layer == i].sum(1) for i in range(detector.n_layers)], axis=1)
    first[first < detector.threshold_mev] = 0.0
    assert (first > 0).mean() > 0.5
    np.testing.assert_allclose(after, first, rtol=1e-4)


def test_layer_conditions_are_the_true_layer_energies(real):
    experiment, detector, constants, showers = real
    preprocessor = prepare(experiment.preprocess, detector, constants)
    energy, shower = showers.incident_energy_mev[7], showers.voxel_energy_mev[7]
    event = preprocessor.transform.forward(jnp.asarray(shower), jnp.asarray(energy))
    cond = preprocessor.condition(jnp.asarray(energy)[None])
    found = preprocessor.layer_condition(event[: detector.n_layers], cond)
    layer = voxels(detector).layer
    true = [shower[layer == i].sum() / detector.threshold_mev for i in range(detector.n_layers)]
    np.testing.assert_allclose(found, np.log1p(true) / 4, atol=2e-3)


def test_recipe_without_layer_energies_is_refused(real):
    experiment, detector, _, showers = real
    experiment = dataclasses.replace(experiment, preprocess=IncidentFractions())
    constants = fit(experiment.preprocess, detector, [showers[:2]])
    with pytest.raises(InputError, match="LayerShapes"):
        build(experiment, detector, constants)
