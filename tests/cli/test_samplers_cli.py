"""`jaxcalo sample --sampler --grid --steps`: every name works and means something of its own."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command_line import run

from jaxcalo.cli.samplers import GRIDS, SAMPLERS, changed_sampling
from jaxcalo.data import read_showers
from jaxcalo.experiment import load_run, with_sampling


@pytest.mark.slow
def test_every_sampler_by_its_name(trained, tmp_path, capsys):
    """Each is accepted by the command line, and makes showers of its own from the same noise."""
    model, made = load_run(trained), {}
    keys, energy = jax.random.split(jax.random.key(0), 2), jnp.full(1, 1e4)
    for name, (sampler, grid) in SAMPLERS.items():
        arguments = ["-n", 2, "--sampler", name, "--steps", 3, "-o", tmp_path / "x.h5"]
        assert run("sample", trained, *arguments, "--dry-run") == 0
        assert type(sampler).__name__ in capsys.readouterr().out
        sampling = changed_sampling(trained, model, name, None, 3, None)
        assert (sampling.sampler, sampling.grid, sampling.n_steps) == (sampler, grid, 3)
        draw = with_sampling(model, sampling).model.sample
        made[name] = jax.jit(jax.vmap(draw, (0, None, None)))(keys, model.params, energy)
        assert np.isfinite(made[name]).all()
    for first, second in itertools.combinations(made, 2):
        same = np.array_equal(made[first], made[second])
        # Three steps, the last of order 1, have no use for the third order.
        assert same == ({first, second} == {"dpmpp-2m", "dpmpp-3m"}), (first, second)


def test_grids_and_steps(trained, tmp_path, capsys):
    made = []
    for grid in GRIDS:
        arguments = ["-n", 2, "--energy", 10, "--grid", grid, "-o", tmp_path / "x.h5"]
        assert run("sample", trained, *arguments) == 0
        made.append(read_showers(tmp_path / "x.h5").voxel_energy_mev)
        assert all(not np.allclose(made[-1], other) for other in made[:-1])
    capsys.readouterr()
    code = run("sample", trained, "-n", 2, "--steps", 0, "-o", tmp_path / "y.h5")
    err = capsys.readouterr().err
    assert code == 2
    assert err.startswith("jaxcalo: error: --steps: expected at least 1, found 0")
    assert err.count("\n") == 1
    assert not (tmp_path / "y.h5").exists()
