"""The timing protocol, on linear models whose every number can be counted by hand."""

import dataclasses
import json
from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from jaxcalo.diffusion import Ddim, Ddpm, Heun, UniPc
from jaxcalo.errors import InputError
from jaxcalo.experiment import (
    EnergyStage,
    Experiment,
    Teacher,
    TrainedModel,
    sampling_cost,
    time_sampling,
    timed_batch,
)
from jaxcalo.experiment import clock as clock_module
from jaxcalo.experiment.timed_batch import conditions, layout, prepare_batch
from jaxcalo.families import (
    Diffusion,
    GenerativeModel,
    Sampling,
    diffusion,
    generate,
    two_stage,
)
from jaxcalo.geometry import load_geometry
from jaxcalo.preprocess import Classes, Constants, Continuous
from jaxcalo.training import Algorithm, data_mesh

N = 3  # components of an event
ONE_DEVICE = data_mesh(jax.devices()[:1])


class Linear(NamedTuple):
    """F = W x + cond: N^2 + N parameters, 2 N^2 operations."""

    def init(self, key, x, c_noise, cond):
        return {"weight": jnp.eye(N), "bias": jnp.zeros(N)}

    def apply(self, params, x, c_noise, cond):
        return (x + cond[:, :1]) @ params["weight"] + params["bias"]


def one_product(key, params, cond):
    """A model without a chain, which compiles quickly."""
    return params["weight"] @ jax.random.normal(key, (N,)) + params["bias"] + jnp.log(cond[0])


def trained_model(known=(), **changed):
    """A model of `one_product`, trained on nothing: sampling needs no more."""
    model = GenerativeModel(Algorithm(lambda *_: None, lambda *_: None), one_product)
    params = Linear().init(None, None, None, None)
    detector = load_geometry("par04_lite")
    constants = Constants(*(np.zeros(()),) * 4)
    experiment = dataclasses.replace(Experiment(), **changed)
    return TrainedModel(model, params, constants, detector, experiment, 1, (1e3, 5e4), known)


def denoising_model(sampling):
    """The same with the chain of a diffusion model."""
    config = Diffusion(condition_dropout=0.1 if sampling.guidance != 1.0 else 0.0)
    optimizer = optax.sgd(1.0)
    model = diffusion(
        Linear(), config, sampling, optimizer, encode=None, n_components=N, ema_decay=0.9
    )
    return trained_model(sampling=sampling)._replace(model=model)


@pytest.fixture(scope="module")
def trained():
    return trained_model(sampling=Sampling(Ddim(), 2))


@pytest.fixture(scope="module")
def measured(trained):
    """Three batch sizes in the wrong order, one of them twice, and what was observed."""
    seen = []
    found = time_sampling(
        trained,
        batch_sizes=(130, 1, 7, 1),
        n_repeats=3,
        mesh=ONE_DEVICE,
        observe=lambda *progress: seen.append(progress),
    )
    return found, seen


def test_every_batch_size_has_its_repeats(measured):
    rows, seen = measured[0].batches, measured[1]
    assert [row.batch_size for row in rows] == [1, 7, 130]
    for row in rows:
        assert len(row.repeats_ms) == 3
        assert min(row.repeats_ms) > 0
        assert row.mean_ms == pytest.approx(np.mean(row.repeats_ms))
        deviations = np.asarray(row.repeats_ms) - row.mean_ms
        assert row.std_ms == pytest.approx(np.sqrt(np.sum(deviations**2) / 2))
        assert row.note is None
        assert row.compile_s > 0
        assert row.process_peak_bytes > 1e7
        # The showers (float32) and the parameters are the least that a program holds.
        assert row.planned_bytes > 4 * (N * row.batch_size + N * N + N)
    assert {total for _, total in seen} == {9}
    assert sorted(set(seen)) == [(done, 9) for done in range(10)]
    assert seen == sorted(seen)


def test_the_record_says_all_of_it(measured):
    record = json.loads(json.dumps(measured[0].to_json()))
    assert record["n_evaluations"] == 2
    last = record["batches"][-1]
    assert last["ms_per_shower"] == measured[0].batches[-1].mean_ms
    assert len(last["repeats_ms"]) == 3
    assert last["layout"] == {"n_devices": 1, "n_blocks": 3, "block": 44, "n_computed": 132}
    assert last["note"] is None


@pytest.mark.parametrize(
    ("batch_size", "n_devices", "expected"),
    [
        (1, 1, (1, 1, 1)),
        (64, 1, (1, 1, 64)),
        (100, 1, (1, 2, 50)),
        (10_000, 1, (1, 157, 64)),
        (3, 8, (3, 1, 1)),
        (1000, 8, (8, 2, 63)),
    ],
)
def test_a_batch_is_computed_in_equal_blocks(trained, batch_size, n_devices, expected):
    found = layout(trained, batch_size, data_mesh(jax.devices()[:n_devices]))
    assert found == expected
    assert batch_size <= found.n_computed <= 1.02 * batch_size


@pytest.mark.parametrize("batch_size", [1, 3])
def test_one_shower_asked_is_one_shower_computed(trained, batch_size):
    program = prepare_batch(trained, batch_size, seed=0, mesh=ONE_DEVICE).program
    assert program.memory_analysis().output_size_in_bytes == 4 * N * batch_size


@pytest.mark.parametrize(("n", "n_devices"), [(1, 1), (130, 1), (21, 8)])
def test_what_is_timed_are_the_showers_of_generate(trained, n, n_devices):
    mesh = data_mesh(jax.devices()[:n_devices])
    _, key = jax.random.split(jax.random.key(5))
    cond = conditions(trained, n, 5)
    expected = generate(key, trained.model, trained.params, cond, chunk=n, mesh=mesh)
    found = prepare_batch(trained, n, seed=5, mesh=mesh).run()
    assert found.shape == (n, N)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert np.abs(found - prepare_batch(trained, n, seed=6, mesh=mesh).run()).max() > 0.1


def test_energies_are_log_uniform_over_the_trained_range(trained):
    energy = conditions(trained, 4000, 0)[:, 0]
    assert 1e3 <= energy.min() < energy.max() <= 5e4
    u = np.log(energy / 1e3) / np.log(50)
    assert abs(u.mean() - 0.5) < 4 / np.sqrt(12 * 4000)


def test_further_conditions_are_the_mean_and_the_first_class():
    known = (Classes("pdg", (11, 22)), Continuous("impact_mm", (0.5, -1.5), (1.0, 2.0)))
    model = trained_model(known=known)
    np.testing.assert_array_equal(conditions(model, 3, 0)[:, 1:], [[11.0, 0.5, -1.5]] * 3)
    (row,) = time_sampling(model, batch_sizes=(2,), n_repeats=1, mesh=ONE_DEVICE).batches
    assert row.mean_ms > 0


@pytest.mark.parametrize(
    ("sampling", "n_evaluations"),
    [
        (Sampling(Ddpm(), 6), 6),
        (Sampling(UniPc(), 5), 5),
        (Sampling(Heun(), 4), 7),
        (Sampling(Heun(), 1), 1),
        (Sampling(Ddim(), 4, guidance=2.0), 8),
    ],
    ids=["ddpm", "unipc", "heun", "heun of one step", "guided"],
)
def test_operations_equal_the_hand_count(sampling, n_evaluations):
    cost = sampling_cost(denoising_model(sampling))
    assert cost.n_evaluations == n_evaluations
    assert cost.flops_per_shower == n_evaluations * 2 * N**2


def test_parameters_equal_the_hand_count(trained):
    cost = sampling_cost(trained)
    assert (cost.n_parameters, cost.n_parameters_training) == (N**2 + N, N**2 + N)
    student = sampling_cost(trained_model(teacher=Teacher("run", 10)))
    assert (student.n_parameters, student.n_parameters_training) == (N**2 + N, 2 * (N**2 + N))


def test_two_stages_are_counted_together():
    first, second = Sampling(Heun(), 3), Sampling(Ddim(), 4)
    stages = (denoising_model(sampling).model for sampling in (first, second))
    model = two_stage(*stages, n_head=N, layer_condition=lambda head, cond: head)
    trained = trained_model(
        energies=EnergyStage(sampling=first), sampling=second, teacher=Teacher("run", 10)
    )
    both = {"energies": trained.params, "shapes": trained.params}
    cost = sampling_cost(trained._replace(model=model, params=both))
    assert (cost.n_evaluations, cost.n_energy_evaluations) == (4, 5)
    assert cost.flops_per_shower == (4 + 5) * 2 * N**2
    assert cost.n_parameters == 2 * (N**2 + N)
    assert cost.n_parameters_training == 3 * (N**2 + N)


def test_too_little_memory_is_recorded_and_the_others_are_measured(trained):
    need = prepare_batch(trained, 1, seed=0, mesh=ONE_DEVICE).planned_bytes()
    rows = time_sampling(
        trained, batch_sizes=(1, 500), n_repeats=2, mesh=ONE_DEVICE, available_bytes=need
    ).batches
    assert rows[0].note is None
    assert rows[1].note.startswith("out of memory: ")
    assert rows[1].planned_bytes > need
    record = rows[1].to_json()
    assert (record["ms_per_shower"], record["ms_per_shower_std"]) == (None, None)
    assert rows[1].compile_s > 0
    assert rows[1].repeats_ms == ()


@pytest.fixture
def nothing_compiled(monkeypatch):
    """Programs that only a faked `run_program` can run."""
    program = SimpleNamespace(memory_analysis=lambda: None)
    lowered = SimpleNamespace(compile=lambda: program)
    wrapped = SimpleNamespace(lower=lambda *shapes: lowered)
    monkeypatch.setattr(timed_batch, "sampling_program", lambda *arguments: wrapped)


@pytest.mark.parametrize(
    "error", [MemoryError(), jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: no more bytes")]
)
def test_a_device_without_memory_is_recorded(trained, nothing_compiled, monkeypatch, error):
    def run(program, key, params, cond, first_index, size):
        if size == 2:
            raise error
        return cond

    monkeypatch.setattr(timed_batch, "run_program", run)
    rows = time_sampling(trained, batch_sizes=(1, 2, 3), n_repeats=2, mesh=ONE_DEVICE).batches
    assert [row.note for row in rows] == [None, "out of memory", None]
    assert [len(row.repeats_ms) for row in rows] == [2, 0, 2]


def test_other_failures_are_not_hidden(trained, nothing_compiled, monkeypatch):
    def run(*arguments):
        raise jax.errors.JaxRuntimeError("INTERNAL: broken")

    monkeypatch.setattr(timed_batch, "run_program", run)
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        time_sampling(trained, batch_sizes=(1,), n_repeats=1, mesh=ONE_DEVICE)


@pytest.fixture
def two_seconds_a_block(nothing_compiled, monkeypatch):
    """A clock that goes on by 2 s with each block, and stands still otherwise."""
    clock = [0.0]

    def run(program, key, params, cond, first_index, size):
        clock[0] += 2.0 * -(-size // 64)
        return cond

    monkeypatch.setattr(timed_batch, "run_program", run)
    counters = {"perf_counter": lambda: clock[0], "process_time": lambda: 2.0 * clock[0]}
    monkeypatch.setattr(clock_module, "time", SimpleNamespace(**counters))


def test_the_limit_gives_fewer_repeats_or_none(trained, two_seconds_a_block):
    sizes = (1, 64, 4 * 64, 6 * 64)
    rows = time_sampling(
        trained, batch_sizes=sizes, n_repeats=10, limit_s=21.0, mesh=ONE_DEVICE
    ).batches
    # The first call counts in the limit: 2 + 9 x 2 <= 21; 8 + 8 <= 21; 12 + 12 > 21.
    assert [len(row.repeats_ms) for row in rows] == [9, 9, 1, 0]
    assert [row.mean_ms for row in rows] == pytest.approx([2e3, 2e3 / 64, 8e3 / 256, None])
    assert [row.std_ms for row in rows] == [0.0, 0.0, None, None]
    assert rows[2].repeats_cpu_ms == pytest.approx((16e3 / 256,))
    assert rows[0].note == "9 of 10 repeats: the limit is 21 s"
    assert rows[2].note == "1 of 10 repeats: the limit is 21 s"
    assert rows[3].note.startswith("not run: a call is expected to take 12 s")
    assert rows[3].to_json()["layout"] is None


def test_with_time_enough_nothing_is_left_out(trained, two_seconds_a_block):
    (row,) = time_sampling(
        trained, batch_sizes=(6 * 64,), n_repeats=10, limit_s=132.0, mesh=ONE_DEVICE
    ).batches
    assert row.repeats_ms == pytest.approx([12e3 / 384] * 10)
    assert row.note is None


def test_compilation_does_not_use_the_cache(trained, tmp_path, monkeypatch):
    settings = {
        "jax_compilation_cache_dir": str(tmp_path),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    try:
        for name, value in settings.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()
        jax.jit(lambda x: x + 1.0)(jnp.ones(2))
        kept = len(list(tmp_path.iterdir()))
        assert kept > 0
        prepare_batch(trained, 2, seed=0, mesh=ONE_DEVICE)
        with_batch = len(list(tmp_path.iterdir()))
        assert with_batch > kept
        time_sampling(trained, batch_sizes=(3,), n_repeats=1, mesh=ONE_DEVICE)
        assert len(list(tmp_path.iterdir())) == with_batch
        jax.jit(lambda x: x + 2.0)(jnp.ones(2))
        assert len(list(tmp_path.iterdir())) > with_batch
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"batch_sizes": ()}, ("--batch-sizes", "none")),
        ({"batch_sizes": (4, 0)}, ("--batch-sizes", "4 0")),
        ({"n_repeats": 0}, ("--repeats", "found 0")),
        ({"limit_s": 0.0}, ("--limit", "found 0")),
        ({"limit_s": float("nan")}, ("--limit", "found nan")),
    ],
)
def test_unusable_requests(trained, options, parts):
    with pytest.raises(InputError) as failure:
        time_sampling(trained, **options)
    for part in parts:
        assert part in str(failure.value)
