"""Excess noise of layer energies on made-up layers whose true scatter is known."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from jaxcalo.errors import InputError
from jaxcalo.geometry import Detector, PolarLayer, load_geometry
from jaxcalo.metrics import Sample, layer_noise, layer_noise_floor
from jaxcalo.metrics.features import Features, Moments
from jaxcalo.metrics.layer_noise import unmeasurable

N_SHOWERS = 600
SCATTER = 0.15  # of a layer's energy, given everything else
DETECTOR = Detector(
    "made-up",
    "electron",
    11,
    tuple(PolarLayer(i, tuple(range(0, 60, 10)), 8 + 2 * (i % 2)) for i in range(6)),
)
N_VOXELS = np.asarray([layer.n_voxels for layer in DETECTOR.layers])


def made_up(seed, n, noise=0.0, source="made-up", scatter=SCATTER):
    """Smooth profiles of fluctuating depth, and an energy a hit that all layers share.

    Noise multiplies every layer's energy by a log-normal factor of that width.
    """
    keys = jax.random.split(jax.random.key(seed), 6)
    shape = (n, DETECTOR.n_layers)
    log_energy = jax.random.uniform(keys[0], (n, 1), minval=7.0, maxval=10.0)
    depth = 0.3 * log_energy + 0.7 * jax.random.normal(keys[1], (n, 1))
    occupied = 0.8 * np.exp(-((np.arange(6) - depth) ** 2) / 12)
    hits = np.rint(N_VOXELS * occupied * np.exp(0.1 * jax.random.normal(keys[2], shape)))
    shared = 0.1 * log_energy + 0.1 * jax.random.normal(keys[3], (n, 1))
    free = scatter * jax.random.normal(keys[4], shape)
    energy = hits * np.exp(shared + free + noise * jax.random.normal(keys[5], shape))
    return sample_of(np.exp(np.asarray(log_energy[:, 0])), hits, energy, source)


def sample_of(incident, hits, energy, source="made-up"):
    hits, energy = np.asarray(hits, dtype=float), np.asarray(energy, dtype=float)
    none = np.zeros((len(hits), 0))
    radius = np.where(hits > 0, 20 + np.sqrt(hits), 0.0)
    features = Features(
        energy.sum(axis=1), energy, none, none, none, none, radius, radius / 2, 1 - hits / N_VOXELS
    )
    nothing = np.zeros(len(hits))
    moments = Moments(features, hits.sum(axis=1), none, nothing, nothing, nothing)
    return Sample(source, 0.0, np.asarray(incident), moments, None, none, nothing)


def first(sample, n):
    moments = jax.tree.map(lambda values: values[:n], sample.moments)
    return replace(sample, incident_energy_mev=sample.incident_energy_mev[:n], moments=moments)


@pytest.fixture(scope="module")
def reference():
    return made_up(0, N_SHOWERS)


@pytest.fixture(scope="module")
def null(reference):
    return layer_noise(reference, made_up(1, N_SHOWERS), DETECTOR)


def test_none_is_found_where_there_is_none(null):
    assert abs(null.value) < 2.5 * null.error
    # 5 of 6 layers have hits enough; of v alone, without the network's share, from (3) of both
    rows = N_SHOWERS * 5
    least = SCATTER**2 * np.sqrt(2 * 2 / rows)
    assert least < null.error < 2 * least
    assert null.n == N_SHOWERS


@pytest.mark.parametrize("noise", [0.1, 0.2])
def test_known_noise_is_recovered(reference, null, noise):
    found = layer_noise(reference, made_up(1, N_SHOWERS, noise), DETECTOR)
    assert abs(found.value - noise**2) < 2.5 * found.error
    assert found.value > 5 * found.error
    # the same showers without the noise; the response of 1.15 would show here
    assert found.value - null.value == pytest.approx(noise**2, rel=0.1)


def test_too_little_scatter_is_negative(reference):
    found = layer_noise(reference, made_up(1, N_SHOWERS, scatter=SCATTER / 2), DETECTOR)
    assert found.value == pytest.approx(-0.75 * SCATTER**2, rel=0.2)
    assert found.value < -5 * found.error


def test_the_reference_has_none_of_its_own():
    """A network scored on its own training showers would find 35 %^2 of noise in others."""
    found = layer_noise_floor(made_up(2, 2 * N_SHOWERS), DETECTOR)
    assert found.n == N_SHOWERS
    assert abs(found.value) < 2.5 * found.error < 30e-4


def test_one_seed_gives_one_number(reference, null):
    other = made_up(1, N_SHOWERS)
    assert layer_noise(reference, other, DETECTOR) == null
    assert layer_noise(reference, other, DETECTOR, seed=1).value != null.value


def test_broken_showers_give_a_number(reference):
    """Empty showers, showers in one layer, and energies without bound."""
    broken = made_up(1, N_SHOWERS)
    energy, sparsity = (
        getattr(broken.moments.features, name).copy() for name in ("e_layer_mev", "sparsity")
    )
    energy[:20], sparsity[:20] = 0, 1
    energy[20:40, 1:], sparsity[20:40, 1:] = 0, 1
    energy[40:60] *= 1e6
    incident = broken.incident_energy_mev
    found = layer_noise(reference, sample_of(incident, (1 - sparsity) * N_VOXELS, energy), DETECTOR)
    assert np.isfinite(found.value)
    assert found.value > 5 * found.error


def test_what_cannot_be_measured_is_refused(reference):
    few = first(reference, 199)
    with pytest.raises(InputError, match="at least 200 showers with 5 hits in a layer, found 199"):
        layer_noise(few, reference, DETECTOR)
    with pytest.raises(InputError, match=r"found 199 in made-up"):
        layer_noise(reference, few, DETECTOR)
    with pytest.raises(InputError, match="halves of at least 200 showers, found 199"):
        layer_noise_floor(first(reference, 399), DETECTOR)
    with pytest.raises(InputError, match="halves of at least 200 showers, found 100"):
        layer_noise_floor(reference, DETECTOR, n_generated=100)
    crystals = load_geometry("ecal_crystals")
    with pytest.raises(InputError, match=r"two layers or more.*one layer in 'ecal"):
        layer_noise(reference, reference, crystals)
    thin = sample_of(np.ones(300), np.full((300, 6), 4), np.ones((300, 6)))
    assert "found 0" in (unmeasurable(thin, DETECTOR) or "")
    assert unmeasurable(reference, DETECTOR) is None
