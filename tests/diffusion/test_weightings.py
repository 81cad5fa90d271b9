import jax.numpy as jnp
import numpy as np
import pytest

from jaxcalo.diffusion import EDM, EDMWeight, FlowVelocity, FlowWeight, MinSnr, Snr, Unit

LOG_SNR = jnp.array([-30.0, -3.0, 0.0, 1.0, 4.0, 30.0])


def weight(weighting):
    return np.exp(np.asarray(weighting.log_weight(LOG_SNR), np.float64))


def test_unit_and_snr_are_what_they_say():
    np.testing.assert_array_equal(weight(Unit()), np.ones(6))
    np.testing.assert_allclose(weight(Snr()), np.exp(np.asarray(LOG_SNR, np.float64)))


def test_min_snr_is_the_lesser_of_snr_and_gamma():
    np.testing.assert_allclose(weight(MinSnr(5.0)), np.minimum(weight(Snr()), 5), rtol=1e-6)
    np.testing.assert_allclose(weight(MinSnr(1e30)), weight(Snr()), rtol=1e-6)


@pytest.mark.parametrize("sigma_data", [0.5, 1.0])
def test_edm_weight_goes_from_the_data_to_the_snr(sigma_data):
    weights = weight(EDMWeight(sigma_data))
    assert weights[0] == pytest.approx(1 / sigma_data**2, rel=1e-5)
    assert weights[-1] == pytest.approx(np.exp(30), rel=1e-5)


@pytest.mark.parametrize("sigma_data", [0.5, 1.0])
def test_edm_weight_undoes_the_output_scale_of_edm(sigma_data):
    noise = jnp.array([0.01, 0.5, 3.0, 80.0])
    c_out = EDM(sigma_data).coefficients(jnp.ones(4), noise).c_out
    log_weight = EDMWeight(sigma_data).log_weight(-2 * jnp.log(noise))
    np.testing.assert_allclose(jnp.exp(log_weight) * c_out**2, np.ones(4), rtol=1e-5)


def test_flow_weight_undoes_the_output_scale_of_the_velocity():
    tau = jnp.array([0.001, 0.3, 0.5, 0.9, 0.9997])
    c_out = FlowVelocity().coefficients(1 - tau, tau).c_out
    log_weight = FlowWeight().log_weight(2 * jnp.log((1 - tau) / tau))
    np.testing.assert_allclose(jnp.exp(log_weight) * c_out**2, np.ones(5), rtol=1e-5)


def test_flow_weight_goes_from_one_to_the_snr():
    weights = weight(FlowWeight())
    assert weights[0] == pytest.approx(1, rel=1e-5)
    assert weights[2] == pytest.approx(4, rel=1e-6)
    assert weights[-1] == pytest.approx(np.exp(30), rel=1e-5)
