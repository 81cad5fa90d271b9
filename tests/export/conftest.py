"""Tiny models with random parameters, as if they were trained, and what equal showers are."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxcalo.data import open_showers, sample_path
from jaxcalo.diffusion import Ddim
from jaxcalo.experiment import DiTNet, EnergyStage, Experiment, TrainedModel, build, in_mev
from jaxcalo.families import Sampling
from jaxcalo.geometry import load_geometry
from jaxcalo.preprocess import fit, prepare
from jaxcalo.training import Batch

TWO_STEPS = Sampling(Ddim(), 2)
TINY = Experiment(
    net=DiTNet(patch=(5, 8, 6), width=8, depth=1, n_heads=2),
    energies=EnergyStage(width=8, depth=1, sampling=TWO_STEPS),
    sampling=TWO_STEPS,
)


def as_trained(experiment):
    """A run of an experiment that has fitted its preprocessing and drawn its parameters."""
    detector = load_geometry("par04_lite")
    with open_showers(sample_path("par04_lite_train"), detector) as file:
        showers = file.read(0, 64)
    constants = fit(experiment.preprocess, detector, [showers[:2]])
    model = build(experiment, detector, constants).model
    batch = Batch(np.arange(2, dtype=np.int32), jax.tree.map(lambda x: x[:2], showers))
    shapes = jax.eval_shape(model.algorithm.init, jax.random.key(0), batch).params
    leaves, tree = jax.tree.flatten(shapes)
    rng = np.random.default_rng(0)  # also where networks start from zero
    drawn = [0.2 * rng.normal(size=leaf.shape).astype(np.float32) for leaf in leaves]
    physical = in_mev(model, prepare(experiment.preprocess, detector, constants))
    params = jax.tree.unflatten(tree, drawn)
    return TrainedModel(physical, params, constants, detector, experiment, 1, (1e3, 5e4))


@pytest.fixture(scope="module")
def trained():
    """A transformer in two stages, two deterministic steps each."""
    return as_trained(TINY)


@pytest.fixture(scope="session")
def changed():
    """Makes the same with some fields changed."""
    return lambda **fields: as_trained(dataclasses.replace(TINY, **fields))


@pytest.fixture(scope="session")
def evaluate():
    """Runs a function of arrays, quick to compile, slow to run."""

    def run(function, *values):
        compiled = jax.jit(function).lower(*values).compile({"xla_backend_optimization_level": 0})
        return jax.device_get(compiled(*values))

    return run


@pytest.fixture(scope="session")
def assert_same_showers():
    """Voxels are equal to 1e-5 of the shower's energy; few change sides, at the threshold.

    What differs by rounding may fall below the threshold here and not there.
    """

    def check(found, expected, threshold_mev):
        scale = expected.sum(axis=1, keepdims=True)
        assert (scale > 0.0).all()
        assert (np.abs(found - expected) / scale).max() < 1e-5
        flipped = (found > 0.0) != (expected > 0.0)
        assert flipped.sum() <= 0.01 * (expected > 0.0).sum()
        assert np.maximum(found, expected)[flipped].max(initial=0.0) < 1.01 * threshold_mev

    return check


@pytest.fixture(scope="session")
def arguments():
    """Inputs for a sampler of noise: (sampler, showers) -> noise, incident energies in MeV."""

    def draw(sampler, n):
        noise = np.random.default_rng(1).normal(size=(n, sampler.inputs[0].shape[1]))
        return noise.astype(np.float32), np.geomspace(2e3, 4e4, n).astype(np.float32)

    return draw
