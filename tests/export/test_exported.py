"""The pure samplers are the run's sampler."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcalo.diffusion import Consistency, Ddpm, randn
from jaxcalo.errors import InputError
from jaxcalo.experiment.exported import noise_sampler, par04_sampler, seeded_sampler
from jaxcalo.families import ConsistencyTraining, Sampling, sampling_program
from jaxcalo.training import data_mesh

ENERGIES = np.asarray([2e3, 4e4], np.float32)


def test_a_seed_gives_the_showers_of_jaxcalo_sample(trained, evaluate, assert_same_showers):
    sampler = seeded_sampler(trained)
    found = evaluate(sampler.function, np.uint32(3), np.uint32(7), ENERGIES)
    model = trained.model._replace(one_by_one=True)  # a block of 64 takes long to compute
    one = data_mesh(jax.devices()[:1])
    _, key = jax.random.split(jax.random.key(3))
    program = sampling_program(model, one, 1)
    index = np.asarray([7, 8], np.uint32)
    expected = evaluate(program, key, trained.params, index, ENERGIES[:, None])
    assert_same_showers(found, expected, trained.detector.threshold_mev)


def test_the_noise_that_the_model_draws_gives_its_shower(trained, evaluate, assert_same_showers):
    sampler = noise_sampler(trained)
    assert sampler.inputs[0].shape == ("n", 15 + 720)

    def both(key):
        starts = [jax.random.split(stage)[0] for stage in jax.random.split(key)]
        noise = [randn(start, (n,)) for start, n in zip(starts, (15, 720), strict=True)]
        expected = trained.model.sample(key, trained.params, ENERGIES[:1])
        return sampler.function(jnp.concatenate(noise)[None], ENERGIES[:1]), expected[None]

    found, expected = evaluate(both, jax.random.key(5))
    assert_same_showers(found, expected, trained.detector.threshold_mev)


def test_a_consistency_function_takes_noise_for_every_step(changed, evaluate):
    student = {"energies": None, "few_steps": ConsistencyTraining()}
    one, two = (
        noise_sampler(changed(sampling=Sampling(Consistency(), n), **student)) for n in (1, 2)
    )
    n = one.inputs[0].shape[1]
    assert two.inputs[0].shape[1] == 2 * n
    noise = np.random.default_rng(0).normal(size=(2, 2 * n)).astype(np.float32)
    noise[1, :n] = noise[0, :n]  # which differs only in what the second step starts from
    first = evaluate(one.function, noise[:1, :n], ENERGIES[:1])
    again = evaluate(two.function, noise, np.full(2, ENERGIES[0]))
    assert np.abs(again[0] - again[1]).max() > 1e-3
    assert np.abs(again[0] - first[0]).max() > 1e-3


def test_par04_gets_fractions_radius_slowest(trained, arguments, evaluate, assert_same_showers):
    sampler, plain = par04_sampler(trained), noise_sampler(trained)
    noise, energies = arguments(plain, 2)
    unused = np.asarray([[0.5, 0.0, 1.0], [1.0, 1.0, 0.0]], np.float32)
    rows = np.column_stack([noise, energies / 1_024_000.0, unused]).astype(np.float32)
    fractions = evaluate(sampler.function, rows)
    expected = evaluate(plain.function, noise, energies)
    found = fractions.reshape(2, 6, 8, 15).transpose(0, 3, 2, 1).reshape(2, 720)
    assert_same_showers(found * energies[:, None], expected, trained.detector.threshold_mev)
    assert f"/Par04/inference/setSizeLatentVector {15 + 720}" in sampler.facts["par04_macro"]


def test_a_sampler_that_draws_on_its_way_says_which_do_not(changed):
    with pytest.raises(InputError, match=r"found Sampling\(sampler=Ddpm.*--sampler ddim"):
        noise_sampler(changed(sampling=Sampling(Ddpm(), 2)))
