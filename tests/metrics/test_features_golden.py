"""Features, classifier inputs and separation powers against the challenge's written definitions.

The slow side reads the bin edges from the XML itself and loops over layers, angles, radii and hits
in Python floats; nothing of it comes from the package.
"""

import math
from functools import cache
from importlib.resources import files
from xml.etree import ElementTree

import jax
import numpy as np
import pytest

from jaxcalo.data import Showers
from jaxcalo.data.toy import toy_showers
from jaxcalo.geometry import load_geometry
from jaxcalo.metrics import (
    apply_threshold,
    condense,
    high_level_features,
    separation_power,
    voxel_separation,
)
from jaxcalo.metrics.separation import separations
from jaxcalo.metrics.splits import halves

THRESHOLD_MEV = {"ds1-photons": 1.0, "ds1-pions": 1.0, "ds2": 0.01515, "ds3": 0.01515}
N_SHOWERS = {"ds1-photons": 400, "ds1-pions": 400, "ds2": 80, "ds3": 20}
N_VOXELS = {"ds1-photons": 368, "ds1-pions": 533, "ds2": 6480, "ds3": 40500}
N_INPUTS = {"ds1-photons": 30, "ds1-pions": 46, "ds2": 362, "ds3": 362}
NAMES = list(THRESHOLD_MEV)
N_GOLDEN = 20


@cache
def _binning(name):
    """[(id, n_azimuth, r_edges)] of the layers that have voxels."""
    text = (files("jaxcalo.geometry") / "binning" / f"{name}.xml").read_text()
    [particle] = ElementTree.fromstring(text)
    layers = []
    for layer in particle:
        edges = [float(edge) for edge in layer.attrib["r_edges"].split(",")]
        if len(edges) > 1:
            layers.append((int(layer.attrib["id"]), int(layer.attrib["n_bin_alpha"]), edges))
    return layers


def _positions(n_azimuth, r_edges):
    """(eta, phi, r) of every voxel of a layer: for azimuth, for r."""
    azimuth_edges = np.linspace(-math.pi, math.pi, n_azimuth + 1)
    places = []
    for a in range(n_azimuth):
        azimuth = (azimuth_edges[a] + azimuth_edges[a + 1]) / 2
        for i in range(len(r_edges) - 1):
            r = (r_edges[i] + r_edges[i + 1]) / 2
            places.append((r * math.cos(azimuth), r * math.sin(azimuth), r))
    return places


@cache
def _showers(name, seed):
    low, high = (256.0, 4.2e6) if name.startswith("ds1") else (1e3, 1e6)
    detector = load_geometry(name)
    incident, energy = toy_showers(jax.random.key(seed), detector, N_SHOWERS[name], (low, high))[:2]
    starts = np.cumsum([0, *(n_azimuth * (len(r) - 1) for _, n_azimuth, r in _binning(name))])
    energy[3, starts[0] : starts[1]] = 0
    energy[5, starts[1] : starts[2]] = 0
    energy[6, starts[-2] :] = 0
    energy[7] = 0
    energy[8, starts[1] : starts[2]] = 0
    energy[8, starts[1] + 3] = 40  # one hit in a layer
    dim = np.where(energy[9] == 0)[0][::3]
    energy[9, dim] = 0.9 * THRESHOLD_MEV[name]  # what the threshold takes away
    return Showers(incident, energy)


def _centre_and_width(position, energies):
    total = sum(energies) + 1e-16
    centre = sum(p * e for p, e in zip(position, energies, strict=True)) / total
    square = sum(p * p * e for p, e in zip(position, energies, strict=True)) / total
    return centre, math.sqrt(max(square - centre**2, 0))


def _slow_features(name, shower):
    """Each feature of one shower as a list over layers; the lengths beside the layer's radius."""
    out = {key: [] for key in ("E", "eta", "phi", "w_eta", "w_phi", "r", "w_r", "sparsity")}
    start = 0
    for _, n_azimuth, r_edges in _binning(name):
        places = _positions(n_azimuth, r_edges)
        hits = []
        for place, value in zip(places, shower[start : start + len(places)].tolist(), strict=True):
            if value >= np.float32(THRESHOLD_MEV[name]):
                hits.append((*place, value))
        start += len(places)
        energies = [hit[3] for hit in hits]
        out["E"].append(sum(energies))
        out["sparsity"].append(1 - len(hits) / len(places))
        axes = [(0, "eta"), (1, "phi")] if n_azimuth > 1 else []
        for axis, key in [*axes, (2, "r")]:
            centre, width = _centre_and_width([hit[axis] for hit in hits], energies)
            out[key].append(centre)
            out[f"w_{key}"].append(width)
    assert start == len(shower) == N_VOXELS[name]
    return out


@pytest.mark.parametrize("name", NAMES)
def test_features_and_classifier_inputs_of_twenty_showers(name):
    showers = Showers(*(array[:N_GOLDEN] for array in _showers(name, 0)[:2]))
    sample = condense([showers], load_geometry(name))
    found, inputs = sample.moments.features, high_level_features(sample)
    assert inputs.shape == (N_GOLDEN, N_INPUTS[name])
    every = np.array([edges[-1] for _, _, edges in _binning(name)])
    some = np.array([edges[-1] for _, n_azimuth, edges in _binning(name) if n_azimuth > 1])
    lengths = {
        "eta": (found.centre_x_mm, some),
        "phi": (found.centre_y_mm, some),
        "w_eta": (found.width_x_mm, some),
        "w_phi": (found.width_y_mm, some),
        "r": (found.centre_r_mm, every),
        "w_r": (found.width_r_mm, every),
    }
    n_empty = 0
    for i, (incident, shower) in enumerate(zip(*showers[:2], strict=True)):
        slow = _slow_features(name, shower)
        total = sum(slow["E"])
        np.testing.assert_allclose(found.e_tot_mev[i], total, rtol=1e-6)
        np.testing.assert_allclose(found.e_layer_mev[i], slow["E"], rtol=1e-6)
        np.testing.assert_allclose(found.sparsity[i], slow["sparsity"], rtol=0, atol=1e-12)
        for key, (values, radius) in lengths.items():
            np.testing.assert_array_less(np.abs(values[i] - slow[key]), 1e-6 * radius, key)
        expected = [math.log10(incident), *(math.log10(e + 1e-8) for e in slow["E"])]
        for key in ("eta", "phi", "w_eta", "w_phi"):
            expected += [value / 100 for value in slow[key]]
        expected += [math.log10(total + 1e-8), *slow["sparsity"]]
        expected += [value / 100 for key in ("r", "w_r") for value in slow[key]]
        np.testing.assert_allclose(inputs[i], expected, rtol=1e-6, atol=1e-6 * every.max() / 100)
        n_empty += slow["E"].count(0)
    assert n_empty >= 3 + len(every)


def _density_power(first, second, edges):
    """Equation 15 of arXiv:2009.03796 from two density histograms."""
    h1, h2 = (np.histogram(x, edges, density=True)[0] * np.diff(edges) for x in (first, second))
    return 0.5 * np.sum((h1 - h2) ** 2 / (h1 + h2 + 1e-16))


def _official_edges(name, quantity, layer):
    """The ranges by data set and layer id, as the challenge lists them."""
    cylinder = name in ("ds2", "ds3")
    far, last = layer in (12, 13), layer in (12, 13, 14)
    if quantity.startswith("centre_r"):
        return np.linspace(0, 42 if cylinder else 1500 if last else 500, 101)
    if quantity.startswith("width_r"):
        return np.linspace(0, 20 if cylinder else 1500 if last else 500, 101)
    if quantity.startswith("centre"):
        end = 30 if cylinder else 500 if far else 100
        return np.linspace(-end, end, 101)
    if quantity.startswith("width"):
        return np.linspace(0, 30 if cylinder else 400 if far else 100, 101)
    return np.linspace(0, 1, 21)


def _energy_edges(name, reference, n):
    """Logarithmic from the threshold to the maximum, which stays inside whatever its rounding."""
    edges = np.logspace(np.log10(THRESHOLD_MEV[name]), np.log10(reference.max()), n)
    edges[-1] = reference.max()
    return edges


@pytest.mark.parametrize("name", NAMES)
def test_separation_powers_are_those_of_density_histograms_in_the_official_edges(name):
    detector, masks = load_geometry(name), halves(N_SHOWERS[name])
    first, second = _showers(name, 0), _showers(name, 1)
    second = Showers(second.incident_energy_mev, second.voxel_energy_mev * np.float32(1.1))
    a, b = (condense([showers], detector) for showers in (first, second))
    found = separations(a, b, detector, masks)
    x, y = a.moments.features, b.moments.features
    ratios = [s.moments.features.e_tot_mev / s.incident_energy_mev for s in (a, b)]
    expected = {
        "e_ratio": _density_power(*ratios, np.linspace(0.5, 1.5, 101)),
        "e_layer": np.mean(
            [
                _density_power(p, q, _energy_edges(name, p, 40))
                for p, q in zip(x.e_layer_mev.T, y.e_layer_mev.T, strict=True)
            ]
        ),
    }
    every = [layer for layer, _, _ in _binning(name)]
    some = [layer for layer, n_azimuth, _ in _binning(name) if n_azimuth > 1]
    for quantity in ("centre_x", "centre_y", "width_x", "width_y"):
        columns = [getattr(f, f"{quantity}_mm").T for f in (x, y)]
        edges = [_official_edges(name, quantity, layer) for layer in some]
        expected[quantity] = np.mean(list(map(_density_power, *columns, edges)))
    for quantity, attribute in (
        ("centre_r", "centre_r_mm"),
        ("width_r", "width_r_mm"),
        ("sparsity", "sparsity"),
    ):
        columns = [getattr(f, attribute).T for f in (x, y)]
        edges = [_official_edges(name, quantity, layer) for layer in every]
        expected[quantity] = np.mean(list(map(_density_power, *columns, edges)))
    assert set(expected) | {"e_voxel"} == set(found)
    for quantity, power in expected.items():
        np.testing.assert_allclose(found[quantity].value, power, rtol=1e-9, err_msg=quantity)


@pytest.mark.parametrize("name", NAMES)
def test_voxel_separation_is_that_of_the_official_edges(name):
    threshold, masks = THRESHOLD_MEV[name], halves(N_SHOWERS[name])
    first, second = _showers(name, 0), _showers(name, 1)
    second = Showers(second.incident_energy_mev, second.voxel_energy_mev * np.float32(1.1))
    x, y = (apply_threshold(s.voxel_energy_mev, threshold) for s in (first, second))
    edges = _energy_edges(name, x.astype(float), 50)
    found = voxel_separation(x, y, threshold, masks)
    np.testing.assert_allclose(found.value, _density_power(x, y, edges), rtol=1e-6)
    floors = [
        separation_power(*(np.histogram(x[half], edges)[0] for half in pair)) for pair in masks
    ]
    np.testing.assert_allclose(found.floor.value, np.mean(floors), rtol=1e-6)
    np.testing.assert_allclose(found.floor.error, np.std(floors, ddof=1), rtol=1e-6)
    # what is made of the fine counts of a Sample is close to it
    detector = load_geometry(name)
    a, b = (condense([showers], detector) for showers in (first, second))
    fine = separations(a, b, detector, masks)["e_voxel"].value
    assert abs(fine - found.value) < 0.1 * found.floor.error
