import jax
import numpy as np
import pytest

from jaxcalo.data import Showers, ShowerWriter, open_showers
from jaxcalo.data.toy import toy_showers
from jaxcalo.errors import InputError
from jaxcalo.geometry import Detector, PolarLayer
from jaxcalo.metrics import condense, extract
from jaxcalo.metrics.sample import N_SPECTRUM_GROUPS, SPECTRUM_EDGES_MEV

DETECTOR = Detector(
    "small", "electron", 11, tuple(PolarLayer(i, (0, 5, 10, 20), 4) for i in range(3)), 0.5
)


@pytest.fixture(scope="module")
def showers():
    return toy_showers(jax.random.key(0), DETECTOR, 300)


def _cut(showers, *sizes):
    rows = np.split(np.arange(len(showers.incident_energy_mev)), np.cumsum(sizes))
    return [Showers(showers.incident_energy_mev[i], showers.voxel_energy_mev[i]) for i in rows]


def _assert_equal(one, other):
    leaves = zip(jax.tree.leaves(one.moments), jax.tree.leaves(other.moments), strict=True)
    for a, b in leaves:
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-9)
    np.testing.assert_array_equal(one.cells.energy_mev, other.cells.energy_mev)
    np.testing.assert_array_equal(one.cells.shower, other.cells.shower)
    np.testing.assert_array_equal(one.spectrum, other.spectrum)
    np.testing.assert_array_equal(one.incident_energy_mev, other.incident_energy_mev)
    np.testing.assert_allclose(one.mean_shower_mev, other.mean_shower_mev, rtol=1e-12)


@pytest.mark.parametrize("max_cells", [100, 1000, 10**6])
def test_chunks_of_any_size_give_the_same_sample(showers, max_cells):
    whole = condense([showers], DETECTOR, max_cells=max_cells)
    for sizes in ((1, 2, 3, 150), (100, 100), (299,)):
        parts = condense(_cut(showers, *sizes), DETECTOR, max_cells=max_cells)
        _assert_equal(whole, parts)


def test_cells_are_every_nth_hit_with_their_shower(showers):
    energy = np.where(showers.voxel_energy_mev >= 0.5, showers.voxel_energy_mev, 0)
    hits, owners = energy[energy > 0], np.nonzero(energy)[0]
    everything = condense([showers], DETECTOR, max_cells=10**6).cells
    np.testing.assert_array_equal(everything.energy_mev, hits)
    np.testing.assert_array_equal(everything.shower, owners)
    limit = len(hits) // 3
    thinned = condense(_cut(showers, 7, 80), DETECTOR, max_cells=limit).cells
    np.testing.assert_array_equal(thinned.energy_mev, hits[::4])
    np.testing.assert_array_equal(thinned.shower, owners[::4])


def test_spectrum_counts_every_hit_once(showers):
    sample = condense([showers], DETECTOR)
    energy = np.where(showers.voxel_energy_mev >= 0.5, showers.voxel_energy_mev, 0)
    for group in (0, 5):
        own = energy[group::N_SPECTRUM_GROUPS]
        expected, _ = np.histogram(own[own > 0], SPECTRUM_EDGES_MEV)
        np.testing.assert_array_equal(sample.spectrum[group], expected)
    assert sample.spectrum.sum() == (energy > 0).sum() == sample.moments.n_hits.sum()


def test_spectrum_bins_are_narrow_where_calorimeters_measure():
    edges = SPECTRUM_EDGES_MEV[(SPECTRUM_EDGES_MEV > 1e-9) & (SPECTRUM_EDGES_MEV < 1e9)]
    assert np.max(edges[1:] / edges[:-1]) < 1.004


def test_threshold_applies_to_everything(showers):
    high = condense([showers], DETECTOR, threshold_mev=30.0)
    energy = np.where(showers.voxel_energy_mev >= 30, showers.voxel_energy_mev, 0)
    assert high.threshold_mev == 30
    assert high.cells.energy_mev.min() >= 30
    np.testing.assert_allclose(high.mean_shower_mev, energy.mean(axis=0, dtype=float), rtol=1e-6)
    np.testing.assert_allclose(high.moments.features.e_tot_mev, energy.sum(axis=1), rtol=1e-6)
    np.testing.assert_array_equal(high.moments.n_hits, (energy > 0).sum(axis=1))


def test_extract_reads_a_file_as_it_is_in_memory(showers, tmp_path, monkeypatch):
    path = tmp_path / "toy.h5"
    with ShowerWriter(path, DETECTOR.n_voxels) as writer:
        writer.append(showers)
    monkeypatch.setattr("jaxcalo.metrics.sample._CHUNK_VOXELS", 77 * DETECTOR.n_voxels)
    with open_showers(path, DETECTOR) as file:
        sample = extract(file, DETECTOR)
        named = extract(file, DETECTOR, source="mine")
    assert sample.source == str(path)
    assert named.source == "mine"
    _assert_equal(sample, condense([showers], DETECTOR))


def test_showers_of_another_detector_are_refused(showers):
    other = Detector("other", "electron", 11, DETECTOR.layers[:2])
    with pytest.raises(InputError, match=r"expected showers of 24 voxels.*found 36"):
        condense([showers], other)


def test_no_showers_and_bad_energies_are_refused(showers):
    with pytest.raises(InputError, match="at least one shower"):
        condense([], DETECTOR)
    voxels = showers.voxel_energy_mev.copy()
    voxels[250, 3] = np.nan
    chunks = _cut(Showers(showers.incident_energy_mev, voxels), 200)
    with pytest.raises(InputError, match="voxel 3 of shower 250"):
        condense(chunks, DETECTOR)
