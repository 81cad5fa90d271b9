import jax
import numpy as np
import pytest

from jaxcalo.data import Showers
from jaxcalo.data.toy import toy_showers
from jaxcalo.errors import InputError
from jaxcalo.geometry import Detector, PolarLayer
from jaxcalo.metrics import low_level, normalised_low_level


def small_detector():
    layers = (PolarLayer(0, (0, 5, 10), 1), PolarLayer(3, (0,), 1), PolarLayer(7, (0, 4, 9, 20), 4))
    return Detector("small", "photon", 22, layers)


def test_low_level_inputs_equal_slow_loops():
    detector = small_detector()
    showers = toy_showers(jax.random.key(5), detector, 6)
    voxels = showers.voxel_energy_mev.copy()
    voxels[2, :2] = 0  # an empty layer
    showers = Showers(showers.incident_energy_mev, voxels)
    plain, shares = low_level(showers), normalised_low_level(showers, detector)
    assert plain.dtype == shares.dtype == np.float32
    assert plain.shape == (6, 15)
    assert shares.shape == (6, 17)
    for i in range(6):
        energy = float(showers.incident_energy_mev[i])
        row, logs = [np.log10(energy)], []
        for first, last in ((0, 2), (2, 14)):
            layer = [float(e) for e in voxels[i, first:last]]
            row += [e / (sum(layer) + 1e-16) for e in layer]
            logs.append(np.log10(sum(layer) + 1e-8))
        np.testing.assert_allclose(shares[i], row + logs, rtol=1e-6)
        expected = [np.log10(energy)] + [float(e) / energy for e in voxels[i]]
        np.testing.assert_allclose(plain[i], expected, rtol=1e-6)
    assert shares[2, 15] == -8
    assert not shares[2, 1:3].any()


def test_bad_showers_have_no_inputs():
    showers = Showers(np.array([1.0, 0]), np.ones((2, 14), np.float32))
    with pytest.raises(InputError, match="incident energy of shower 1 must be positive"):
        low_level(showers)
    showers = Showers(np.ones(2), np.ones((2, 13), np.float32))
    with pytest.raises(InputError, match=r"expected showers of 14 voxels.*'small', found 13"):
        normalised_low_level(showers, small_detector())
