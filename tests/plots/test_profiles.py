import jax
import numpy as np

from jaxcalo.data import Showers
from jaxcalo.geometry import Detector, PolarLayer
from jaxcalo.metrics import condense
from jaxcalo.plots.profiles import energy_edges, response_panels, sparsity_panel
from jaxcalo.units import GeV

DETECTOR = Detector("tiny", "photon", 22, (PolarLayer(0, (0, 5), 2), PolarLayer(1, (0, 5), 2)))


def _sample(ratio, incident):
    voxels = np.zeros((len(incident), 4), np.float32)
    voxels[:, 1] = ratio * incident
    return condense([Showers(incident.astype(np.float32), voxels)], DETECTOR)


def test_edges_surround_discrete_energies():
    edges = energy_edges(np.array([256.0, 512, 1024, 256]))
    np.testing.assert_allclose(edges, 256 * 2 ** np.array([-0.5, 0.5, 1.5, 2.5]))
    np.testing.assert_allclose(energy_edges(np.array([100.0, 100])), [50, 200])


def test_edges_of_a_continuous_spectrum_are_logarithmic_and_hold_all():
    incident = np.geomspace(10, 1000, 500)
    edges = energy_edges(incident)
    np.testing.assert_allclose(np.diff(np.log(edges)), np.log(100) / 12, rtol=1e-4)
    assert np.histogram(incident, edges)[0].sum() == 500


def test_response_and_resolution_are_mean_and_relative_spread():
    incident = np.repeat([1000.0, 4000.0], 400)
    noise = np.asarray(jax.random.normal(jax.random.key(0), (800,)))
    width = np.where(incident == 1000, 0.10, 0.05)
    reference = _sample(0.9 * (1 + width * noise), incident)
    generated = _sample(1.1 * (1 + width * noise), incident)
    response, resolution = response_panels(reference, generated)
    np.testing.assert_allclose(response.curve.edges, np.array([500, 2000, 8000]) / GeV)
    np.testing.assert_allclose(response.curve.reference, 0.9, atol=3 * 0.09 / 20)
    np.testing.assert_allclose(
        response.curve.generated / response.curve.reference, 1.1 / 0.9, rtol=1e-5
    )
    np.testing.assert_allclose(response.curve.reference_error, [0.09 / 20, 0.045 / 20], rtol=0.15)
    np.testing.assert_allclose(resolution.curve.reference, [0.10, 0.05], rtol=0.15)
    np.testing.assert_allclose(resolution.curve.generated, resolution.curve.reference, rtol=1e-4)
    np.testing.assert_allclose(
        resolution.curve.reference_error, resolution.curve.reference / np.sqrt(800)
    )


def test_bins_with_few_showers_are_left_out():
    incident = np.concatenate([np.full(50, 1000.0), np.full(4, 4000.0)])
    sample = _sample(np.linspace(0.8, 1, 54), incident)
    response, _ = response_panels(sample, sample)
    assert np.isfinite(response.curve.reference).tolist() == [True, False]


def test_sparsity_is_the_mean_fraction_of_empty_voxels():
    sample = _sample(0.5, np.full(20, 100.0))
    curve = sparsity_panel(sample, sample).curve
    np.testing.assert_allclose(curve.reference, [0.5, 1.0])
    np.testing.assert_allclose(curve.reference_error, 0)
    np.testing.assert_allclose(curve.edges, [-0.5, 0.5, 1.5])
