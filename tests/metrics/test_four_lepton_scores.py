import json

import jax
import numpy as np
import pytest
from lepton_samples import lepton_events, with_energy

from jaxcalo.data import LeptonEvents
from jaxcalo.errors import InputError
from jaxcalo.metrics import (
    LeptonCost,
    bray_curtis,
    compare_four_lepton,
    compare_thesis,
    four_lepton_table,
    frechet_distance,
    frechet_of_moments,
    is_unphysical,
    lepton_columns,
    lepton_observables,
    pearson,
    published_leptons,
    sparse_columns,
    wasserstein_1,
)
from jaxcalo.metrics.estimate import Estimate
from jaxcalo.metrics.four_lepton_table import judge

N = 1000  # of all samples: one compilation
KEY = jax.random.key(5)
REFERENCE = lepton_events(0, N)


@pytest.fixture(scope="module")
def scaled():
    return compare_four_lepton(REFERENCE, lepton_events(1, N, 1.3), KEY)


def test_values_are_those_of_the_plain_definitions(scaled):
    generated = lepton_events(1, N, 1.3)
    value = {name: score.value.value for name, score in scaled.scores.items()}
    a, b = lepton_observables(REFERENCE), lepton_observables(generated)
    for score, name in (("mass", "mass"), ("mass_34", "mass_34"), ("pt_event", "pt_event")):
        assert value[f"w1_{score}_gev"] == pytest.approx(wasserstein_1(a[name], b[name]))
    assert value["w1_pt_gev"] == pytest.approx(wasserstein_1(a["pt"].ravel(), b["pt"].ravel()))
    for score, columns in (("", sparse_columns), ("_16", lepton_columns)):
        x, y = columns(REFERENCE), columns(generated)
        assert value[f"frobenius{score}"] == pytest.approx(np.linalg.norm(pearson(x) - pearson(y)))
        assert value[f"frechet{score}_gev2"] == pytest.approx(frechet_distance(x, y))
    edges = np.append(np.linspace(0, np.percentile(a["mass"], 99.5), 51), np.inf)
    counts = [np.histogram(found["mass"], edges)[0] for found in (a, b)]
    assert value["bray_curtis"] == pytest.approx(bray_curtis(*counts))
    slot = slice(4 * 2, 4 * 3)  # el1+
    x, y = (sparse_columns(events)[:, slot] for events in (REFERENCE, generated))
    assert value["frechet_el1+_gev2"] == pytest.approx(frechet_distance(x, y))
    column = scaled.columns["p2y"]
    assert column.mean_generated.value == pytest.approx(generated.momentum_gev[:, 1, 2].mean())
    assert column.width_reference.value == pytest.approx(
        REFERENCE.momentum_gev[:, 1, 2].std(ddof=1)
    )


def test_a_scale_of_all_momenta_is_a_known_distance():
    # masses, momenta and their means and widths all grow by the same factor; correlations stay
    a, factor = lepton_events(2, N), 1.2
    b = LeptonEvents(a.pdg, factor * a.momentum_gev)
    found = compare_four_lepton(a, b, KEY)
    value = {name: score.value.value for name, score in found.scores.items()}
    observables, growth = lepton_observables(a), factor - 1
    assert value["w1_mass_gev"] == pytest.approx(growth * observables["mass"].mean())
    assert value["w1_pt_gev"] == pytest.approx(growth * observables["pt"].mean())
    assert value["frobenius"] == pytest.approx(0, abs=1e-9)
    x = lepton_columns(a)
    second_moment = np.sum(x.mean(axis=0) ** 2 + x.var(axis=0, ddof=1))
    assert value["frechet_16_gev2"] == pytest.approx(growth**2 * second_moment, rel=1e-6)
    assert value["unphysical"] == 0


def test_frechet_of_gaussians_in_closed_form():
    # commuting covariances: |difference of means|^2 + sum (sigma_a - sigma_b)^2
    a, b = np.diag([1.0, 4.0, 0.0]), np.diag([9.0, 1.0, 0.0])
    means = np.array([1.0, 0, 5]), np.array([0.0, 2, 5])
    assert frechet_of_moments(means, (a, b)) == pytest.approx(5 + 4 + 1)
    assert frechet_of_moments(means, (a, 0 * b)) == pytest.approx(5 + 1 + 4)
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = [turn @ m[:2, :2] @ turn.T for m in (a, b)]
    assert frechet_of_moments((means[0][:2],) * 2, (turned[0], turned[1])) == pytest.approx(5)


def test_frobenius_of_known_matrices():
    # columns 1 and 2 equal in one sample, opposite in the other, the others independent
    def sample(sign):
        x = lepton_events(3, N).momentum_gev.copy()
        x[:, 1, 1] = sign * x[:, 0, 1]
        return LeptonEvents(lepton_events(3, N).pdg, x)

    found = compare_four_lepton(sample(1), sample(-1), KEY).scores["frobenius_16"].value
    # two coefficients differ by 2, and those with the other columns are small
    others = lepton_columns(sample(1))
    small = pearson(others)[1, [0, *range(2, 5), *range(6, 16)]]
    assert found.value == pytest.approx(np.sqrt(2 * 4 + 2 * np.sum((2 * small) ** 2)))


def test_errors_are_the_spread_of_fresh_samples(scaled):
    found = []
    for i in range(24):  # their spread is known to 15 %
        a, b = lepton_events(100 + i, N), lepton_events(200 + i, N, 1.3)
        x, y = (lepton_columns(events) for events in (a, b))
        masses = [lepton_observables(events)["mass"] for events in (a, b)]
        norm = np.linalg.norm(pearson(x) - pearson(y))
        found.append([wasserstein_1(*masses), frechet_distance(x, y), norm])
    names = "w1_mass_gev", "frechet_16_gev2", "frobenius_16"
    for name, expected in zip(names, np.std(found, axis=0, ddof=1), strict=True):
        assert 0.5 < scaled.scores[name].value.error / expected < 2


def test_the_floor_is_that_of_fresh_samples_of_half_the_size():
    floors = compare_four_lepton(REFERENCE, lepton_events(1, N, 1.3), KEY).scores
    fresh = []
    for i in range(24):
        a, b = (lepton_events(300 + 2 * i + j, N // 2) for j in range(2))
        x, y = (lepton_observables(e)["mass"] for e in (a, b))
        fresh.append(wasserstein_1(x, y))
    floor = floors["w1_mass_gev"].floor
    assert floor.n == N // 2
    assert floor.value == pytest.approx(np.mean(fresh), rel=0.4)
    assert floors["unphysical"].floor[:2] == (0, 0)


def test_the_reference_again_agrees_and_another_does_not(scaled):
    again = compare_four_lepton(REFERENCE, lepton_events(4, N), KEY)
    near = [name for name, score in again.scores.items() if score.agrees]
    assert len(near) >= len(again.scores) - 2  # one in forty is lost to chance
    far = {name for name, score in scaled.scores.items() if not score.agrees}
    assert {"w1_mass_gev", "w1_pt_gev", "w1_pt_event_gev", "frechet_gev2"} <= far
    assert "off_shell" not in far
    # equal distributions have no small distance event by event
    values = again.scores["bray_curtis_values"]
    assert values.value.value > 0.1
    assert values.agrees


def test_a_dead_generator_gets_finite_bad_numbers():
    dead = LeptonEvents(REFERENCE.pdg, np.zeros_like(REFERENCE.momentum_gev))
    found = compare_four_lepton(REFERENCE, dead, KEY)
    json.dumps(found.to_json(), allow_nan=False)
    scores, mass = found.scores, lepton_observables(REFERENCE)["mass"]
    assert scores["w1_mass_gev"].value.value == pytest.approx(mass.mean())
    assert scores["bray_curtis"].value.value == pytest.approx(1)
    assert scores["bray_curtis_values"].value.value == pytest.approx(1)
    assert scores["off_shell"].value.value == 1
    x = sparse_columns(REFERENCE)
    total = np.sum(x.mean(axis=0) ** 2 + x.var(axis=0, ddof=1))
    assert scores["frechet_gev2"].value.value == pytest.approx(total, rel=1e-6)


def test_unphysical_events_are_counted_and_have_mass_zero():
    whole = lepton_events(6, N)
    none = with_energy(whole, 0, -whole.momentum_gev[:, 1:, 0].sum(axis=1))
    bad = np.arange(N) < N // 5
    mixed = LeptonEvents(
        whole.pdg, np.where(bad[:, None, None], none.momentum_gev, whole.momentum_gev)
    )
    assert is_unphysical(mixed).sum() == N // 5
    scores = compare_four_lepton(whole, mixed, KEY).scores
    value = scores["unphysical"].value
    assert value[:2] == pytest.approx((0.2, np.sqrt(0.2 * 0.8 / N)), rel=0.3)
    assert value.value == 0.2
    assert not scores["unphysical"].agrees
    mass = lepton_observables(whole)["mass"]
    expected = wasserstein_1(mass, np.where(bad, 0, mass))
    assert scores["w1_mass_gev"].value.value == pytest.approx(expected)


def test_the_table_sets_samples_beside_the_thesis():
    generated = {"good": lepton_events(7, N), "bad": lepton_events(8, N, 4.0)}
    table = four_lepton_table(REFERENCE, generated, {"good": LeptonCost(60.0, 1.5, 300.0)}, KEY)
    record = json.loads(json.dumps(table.to_json(), allow_nan=False))
    assert record["n_reference"] == N
    good, bad = record["rows"]
    assert (good["name"], good["n_events"]) == ("good", [N, N])
    assert good["cost"] == {"training_s": 60.0, "generation_s": 1.5, "memory_mb": 300.0}
    assert bad["cost"]["training_s"] is None
    assert set(good["comparison"]) == {"VAE", "GAN", "normalizing flow", "Gaussian mixture"}
    assert good["comparison"]["VAE"]["w1_mass_gev"] == "below"
    assert good["comparison"]["Gaussian mixture"]["unphysical"] == "below"
    assert bad["comparison"]["normalizing flow"]["w1_mass_gev"] == "above"
    assert compare_thesis(table.rows[0].found, published_leptons()[1])["frobenius"] == "below"


@pytest.mark.parametrize(
    ("value", "error", "verdict"),
    [(8, 1, "below"), (9.5, 1, "compatible"), (13, 1, "compatible"), (14.1, 1, "above")],
)
def test_verdicts_follow_value_and_error(value, error, verdict):
    assert judge(Estimate(value, error, 1), (10, 12)) == verdict


def test_published_numbers_are_the_thesis():
    vae, gan, flow, mixture = published_leptons()
    assert vae.scores["w1_mass_gev"] == (71.636, 101.853)
    assert vae.scores["w1_pt_gev"] == (43.984, 43.984)
    assert gan.scores["w1_mass_gev"] == (51.248, 51.248)
    assert flow.scores["w1_mass_gev"][0] == 200.599
    assert [m.scores["frobenius"] for m in (vae, gan, flow)] == [
        (8.94, 13.429), (11.183, 13.626), (4.994, 5.002)
    ]  # fmt: skip
    assert [m.scores["frechet_gev2"][0] for m in (vae, gan, flow)] == [8.1989e8, 3.527e7, 2.942e9]
    assert gan.scores["frechet_mu2-_gev2"][0] == 1.192e6
    assert vae.scores["frechet_el2+_gev2"][0] == 7.75e8
    assert mixture.scores["unphysical"] == (1241 / 4000, 6909 / 20_000)
    assert mixture.scores["w1_mass_gev"] == (107.35, 117.2)
    assert "frechet_gev2" not in mixture.scores
    assert [m.time_s for m in (vae, gan, flow, mixture)] == [180, 2, 270, 6]
    assert [m.memory_mb for m in (vae, gan, flow, mixture)] == [92.16, 499.712, 172.032, 245.8]


def test_what_a_user_can_mend_is_said():
    with pytest.raises(InputError, match=r"generated sample: .* at least 20 events, found 19"):
        compare_four_lepton(REFERENCE, lepton_events(1, 19), KEY)
    broken = with_energy(REFERENCE, 1, np.where(np.arange(N) == 7, np.inf, 50.0))
    with pytest.raises(InputError, match="found others in 1 of 1000 events, first in event 7"):
        compare_four_lepton(REFERENCE, broken, KEY)
