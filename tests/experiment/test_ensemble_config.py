"""Ensembles of a recipe: which there are, what their members learn, and how they are written."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcalo.errors import InputError
from jaxcalo.experiment import (
    CouplingFlow,
    DiffusionFamily,
    FamilyExperiment,
    FlowFamily,
    GanFamily,
    LeptonExperiment,
    MaskedEnsemble,
    MixtureFamily,
    NearestFamily,
    PlainNet,
    RepulsiveEnsemble,
    VaeFamily,
    from_record,
    n_members,
    to_record,
)
from jaxcalo.experiment.ensemble_config import build_family
from jaxcalo.experiment.vector_families import Family
from jaxcalo.experiment.vector_nets import EventShape
from jaxcalo.families import (
    Diffusion,
    GenerativeModel,
    PhysicsTerm,
    Repulsion,
    Sampling,
    Vae,
    fix_member,
    with_member,
)
from jaxcalo.training import AdamW, Batch, data_mesh, init_state, map_step, shard_batch

SHAPE = EventShape(3)
TINY = DiffusionFamily(4, 1, sampling=Sampling(n_steps=1))
MESH = data_mesh(jax.devices()[:1])
KEY = jax.random.key(0)
DROPPED = DiffusionFamily(diffusion=Diffusion(condition_dropout=0.1))


def encode(key, datum):
    return datum, datum[:1]


@pytest.mark.parametrize("experiment", [FamilyExperiment, LeptonExperiment])
@pytest.mark.parametrize(
    ("family", "ensemble", "message"),
    [
        (MixtureFamily(), RepulsiveEnsemble(), "learns by gradients, found MixtureFamily"),
        (NearestFamily(), MaskedEnsemble(), "learns by gradients, found NearestFamily"),
        (VaeFamily(), MaskedEnsemble(), "found VaeFamily; choose RepulsiveEnsemble"),
        (DROPPED, MaskedEnsemble(), "condition_dropout 0.*found 0.1"),
    ],
)
def test_impossible_ensembles_are_refused_before_anything_is_written(
    experiment, family, ensemble, message
):
    with pytest.raises(InputError, match=message):
        experiment(family=family, ensemble=ensemble)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RepulsiveEnsemble(n_members=1), "at least 2 members, found 1"),
        (lambda: MaskedEnsemble(n_members=0), "at least 2 members, found 0"),
        (lambda: MaskedEnsemble(drop=0.0), "drop between 0 and 1, found 0"),
        (lambda: MaskedEnsemble(drop=float("nan")), "drop between 0 and 1, found nan"),
    ],
)
def test_unusable_numbers(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    "ensemble",
    [RepulsiveEnsemble(3, Repulsion(0.2, 10, 1.0)), RepulsiveEnsemble(2, None), MaskedEnsemble(4)],
)
def test_ensembles_survive_json(ensemble):
    experiment = LeptonExperiment(ensemble=ensemble)
    assert from_record(json.loads(json.dumps(to_record(experiment)))) == experiment
    assert n_members(experiment) == ensemble.n_members


@pytest.mark.parametrize("experiment", [FamilyExperiment(), LeptonExperiment()])
def test_records_of_older_versions_are_of_single_models(experiment):
    record = to_record(experiment)
    del record["ensemble"]
    assert from_record(record) == experiment
    assert n_members(experiment) is None


class Fixed:
    """A family whose held-out number and samples are its parameter."""

    def build(self, shape, encode, n_steps, terms):
        model = GenerativeModel(None, lambda key, params, cond: params * jnp.ones(3))
        return Family(model, lambda key, params, data: {"loss": params + data})


def test_held_out_numbers_are_means_over_the_members():
    built = build_family(Fixed(), RepulsiveEnsemble(2), SHAPE, encode, 10)
    found = built.evaluate(KEY, jnp.asarray([1.0, 4.0]), 1.0)
    assert float(found["loss"]) == 3.5


BATCH = Batch(np.arange(8, dtype=np.int32), np.linspace(-1, 1, 24, dtype=np.float32).reshape(8, 3))


FAMILIES = {
    "diffusion": TINY,
    "vae": VaeFamily(PlainNet((4,)), Vae(n_latent=2)),
    "gan": GanFamily(PlainNet((4,)), PlainNet((4,))),
    "flow": FlowFamily(CouplingFlow("nice", 2, (4,))),
}


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_members_are_single_models_that_are_pushed_while_there_is_repulsion(family):
    one = build_family(family, None, SHAPE, encode, 10).model.algorithm
    single = jax.eval_shape(one.init, KEY, BATCH).params
    for repulsion in (Repulsion(), None):
        ensemble = RepulsiveEnsemble(2, repulsion)
        algorithm = build_family(family, ensemble, SHAPE, encode, 10).model.algorithm
        state = jax.eval_shape(algorithm.init, KEY, BATCH)
        assert jax.eval_shape(lambda p, e=ensemble: e.member(p, 1), state.params) == single
        metrics = jax.eval_shape(map_step(algorithm, MESH), KEY, state, BATCH)[1]
        assert ("member_difference" in metrics) == (repulsion is not None)


@pytest.mark.slow
def test_repulsion_moves_what_the_loss_leaves_alone():
    still = DiffusionFamily(4, 1, optimizer=AdamW(learning_rate=1e-12))
    ensemble = RepulsiveEnsemble(2, Repulsion(rate=1.0))
    algorithm = build_family(still, ensemble, SHAPE, encode, 10).model.algorithm
    state, batch = init_state(algorithm, KEY, BATCH, MESH), shard_batch(BATCH, MESH)
    draws = np.random.default_rng(0)  # for a new network answers nothing that could differ
    before = jax.tree.map(lambda x: draws.standard_normal(x.shape).astype(x.dtype), state.params)
    after, metrics = map_step(algorithm, MESH)(KEY, state._replace(params=before), batch)
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), jax.device_get(after.params), before)
    assert max(jax.tree.leaves(moved)) > 1e-4
    assert float(metrics["member_difference"]) > 0.1


def test_physics_of_masked_members_do_not_see_the_number_of_the_member():
    shapes = []

    def features(event, cond):
        shapes.append(cond.shape)
        return event[:1]

    terms = [PhysicsTerm("x", features, 1.0)]
    algorithm = build_family(TINY, MaskedEnsemble(3), SHAPE, encode, 10, terms).model.algorithm
    state = jax.eval_shape(algorithm.init, KEY, BATCH)
    assert "physics_x" in jax.eval_shape(map_step(algorithm, MESH), KEY, state, BATCH)[1]
    assert set(shapes) == {(1,)}


def test_a_masked_member_is_a_single_model_of_masked_weights():
    ensemble, draws = MaskedEnsemble(3, 0.5), np.random.default_rng(0)
    net, numbered = TINY.member_net(SHAPE, 3, 0.5), with_member(encode, 3)
    told = TINY.build_with(net, SHAPE, numbered, 10, ()).model
    single = build_family(TINY, None, SHAPE, encode, 10).model
    shapes = jax.eval_shape(told.algorithm.init, KEY, BATCH).params
    params = jax.tree.map(lambda s: draws.standard_normal(s.shape).astype(np.float32), shapes)
    cond = np.asarray([0.3], np.float32)

    def both(params):
        members = [single.sample(KEY, ensemble.member(params, m), cond) for m in range(3)]
        expected = [fix_member(told, m).sample(KEY, params, cond) for m in range(3)]
        return jnp.stack(members), jnp.stack(expected)

    program = jax.jit(both).lower(params).compile({"xla_backend_optimization_level": 0})
    found, expected = program(params)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert np.ptp(found, axis=0).min() > 1e-3


def test_only_diffusion_has_masks():
    with pytest.raises(InputError, match="found GanFamily"):
        build_family(GanFamily(), MaskedEnsemble(), SHAPE, encode, 10)
