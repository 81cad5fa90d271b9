"""The row of the challenge on toy showers: what is measured, how it is judged, what differs."""

import math
from dataclasses import replace

import jax
import numpy as np
import pytest

from jaxcalo.data import Showers
from jaxcalo.data.toy import toy_showers
from jaxcalo.errors import InputError
from jaxcalo.geometry import load_geometry
from jaxcalo.metrics import Estimate, challenge_measures, fpd, high_level_features, kpd_floor
from jaxcalo.metrics.challenge import (
    LOG_POSTERIOR,
    SEPARATIONS,
    floor_name,
    judge,
    mean_row,
    separation_mean,
    steps,
)
from jaxcalo.metrics.challenge_cost import memory_bytes
from jaxcalo.metrics.challenge_measures import (
    Pair,
    contender_from_showers,
    energies_differ,
    frechet_excess,
    measure_classifier,
    measure_fpd,
    measure_kpd,
    measure_layer_noise,
    measure_log_posterior,
    measure_observables,
    measure_prdc,
)
from jaxcalo.metrics.challenge_protocol import Protocol, differences, fast, official
from jaxcalo.metrics.classifier import ClassifierScore
from jaxcalo.metrics.classifier_input import low_level, normalised_low_level
from jaxcalo.metrics.classifier_protocol import ClassifierProtocol

DETECTOR = load_geometry("ds1-photons")
TINY = Protocol(
    ClassifierProtocol(n_epochs=10, batch_size=60, learning_rate=1e-3, hidden=32),
    classifiers=(),
    n_fpd_batches=3,
)


def _ignore(done, total):
    pass


def part(showers, rows):
    return Showers(showers.incident_energy_mev[rows], showers.voxel_energy_mev[rows])


def without_second_layer(showers):
    energy = showers.voxel_energy_mev.copy()
    energy[:, DETECTOR.offsets[1] : DETECTOR.offsets[2]] = 0
    return Showers(showers.incident_energy_mev, energy)


@pytest.fixture(scope="module")
def toys():
    return toy_showers(jax.random.key(0), DETECTOR, 360)


@pytest.fixture(scope="module")
def contenders(toys):
    """Reference, and two samples: other toys of the same kind, and the same with a dead layer."""
    other = part(toys, slice(240, 340))
    samples = {"ref": part(toys, slice(0, 240)), "good": other, "bad": without_second_layer(other)}
    return {name: contender_from_showers(s, DETECTOR, name) for name, s in samples.items()}


@pytest.fixture(scope="module")
def rows(contenders):
    """Everything that is measured, by row."""
    reference, *generated = contenders.values()
    found = {}
    for step in steps(reference, generated, DETECTOR, TINY):
        found.setdefault(step.row, {}).update(step.run(_ignore))
    return found


def test_the_same_distribution_agrees_and_a_dead_layer_does_not(rows):
    floor = rows[floor_name(100)]
    good, bad = judge(rows["good"], floor), judge(rows["bad"], floor)
    assert all(j.agrees for j in good.values()), good
    assert list(good) == ["fpd_excess", "kpd", "separation", "correlation"]
    assert not any(bad[name].agrees for name in ("fpd_excess", "kpd", "separation"))
    assert rows["bad"]["precision"].value < rows["good"]["precision"].value
    # one of five layers is disjoint, S = 1, which is at most S = 0.25 where it is not dead
    worse = rows["bad"]["e_layer"].value - rows["good"]["e_layer"].value
    assert (1 - 0.25) / 5 < worse <= 1 / 5
    assert set(SEPARATIONS) < set(rows["good"])
    assert rows["good"].keys() == {*floor, "fpd_excess"} == rows["bad"].keys()


def test_floors_are_those_of_halves_cut_to_the_sample(contenders, rows):
    floor = rows[floor_name(100)]
    features = high_level_features(contenders["ref"].sample)
    assert floor["kpd"] == kpd_floor(features, 100) != kpd_floor(features)
    assert {floor[name].n for name in ("fpd", "kpd", "precision", "e_layer", "e_voxel")} == {100}


def test_steps_and_their_order(contenders):
    reference, good, bad = contenders.values()

    def names(protocol, **options):
        found = steps(reference, [good, bad], DETECTOR, protocol, **options)
        assert all(step.seconds > 0 for step in found)
        return [(step.row, step.name) for step in found]

    floor = floor_name(100)
    every = [(row, name) for name in ("observables", "voxels", "kpd", "fpd", "prdc", "high")
             for row in (floor, "good", "bad")]  # fmt: skip
    assert names(replace(TINY, classifiers=("high",))) == every
    low = replace(TINY, classifiers=("low", "high"))
    assert names(low) == [*every, ("good", "low"), ("bad", "low")]
    with_floor = names(replace(low, floor="all"), with_log_posterior=True)
    assert set(with_floor) - set(names(low)) == {(floor, "low"), (LOG_POSTERIOR, LOG_POSTERIOR)}


def test_a_floor_for_each_size(toys, contenders):
    reference, good, bad = contenders.values()
    few = contender_from_showers(part(toys, slice(240, 270)), DETECTOR, "few")
    found = steps(reference, [good, few, bad], DETECTOR, TINY)
    kpd_rows = [step.row for step in found if step.name == "kpd"]
    assert kpd_rows == [floor_name(100), floor_name(30), "good", "few", "bad"]


def test_the_excess_noise_is_measured_where_there_are_showers_enough(toys, contenders, monkeypatch):
    every = contender_from_showers(toys, DETECTOR, "every")
    reference, good, _ = contenders.values()

    def rows_with_noise(reference, generated):
        found = steps(reference, generated, DETECTOR, TINY)
        return [step.row for step in found if step.name == "layer_noise"]

    assert rows_with_noise(reference, [good, every]) == ["every"]
    assert rows_with_noise(every, [reference]) == ["ref"]  # but halves of 180 are too few
    twice = Showers(*(np.concatenate([values] * 2) for values in toys[:2]))
    twice = contender_from_showers(twice, DETECTOR, "twice")
    assert rows_with_noise(twice, [reference, good]) == [floor_name(240), "ref"]
    asked = []
    for name in ("layer_noise", "layer_noise_floor"):
        monkeypatch.setattr(
            challenge_measures, name, lambda *a, **k: asked.append((a, k)) or Estimate(1, 2, 3)
        )
    pair = Pair(twice, every, DETECTOR, replace(TINY, seed=3))
    for is_floor in (False, True):
        found = measure_layer_noise(pair, is_floor, _ignore)
        assert found == {"layer_noise": Estimate(1, 2, 3)}
    assert asked == [
        ((twice.sample, every.sample, DETECTOR), {"seed": 3}),
        ((twice.sample, DETECTOR, 360), {"seed": 3}),
    ]


def test_samples_that_cannot_be_measured_are_refused(toys, contenders):
    reference, good, bad = contenders.values()
    few = contender_from_showers(part(toys, slice(0, 19)), DETECTOR, "few")
    with pytest.raises(InputError, match="generated sample few: expected at least 20 showers"):
        steps(reference, [few], DETECTOR, TINY)
    with pytest.raises(InputError, match="reference few: expected at least 40 showers, found 19"):
        steps(few, [good], DETECTOR, TINY)
    with pytest.raises(InputError, match=r"different names.* good, good"):
        steps(reference, [good, good], DETECTOR, TINY)
    with pytest.raises(InputError, match=r"resnet: expected equal polar layers.*ds1-photons"):
        steps(reference, [good], DETECTOR, replace(TINY, classifiers=("resnet",)))
    with pytest.raises(InputError, match="log posterior: expected samples of two or more"):
        steps(reference, [bad], DETECTOR, TINY, with_log_posterior=True)
    with pytest.raises(InputError, match="each once, found low low"):
        replace(TINY, classifiers=("low", "low"))
    empty = Showers(toys.incident_energy_mev, np.zeros_like(toys.voxel_energy_mev))
    with pytest.raises(InputError, match="no voxel reaches the threshold"):
        steps(contender_from_showers(empty, DETECTOR, "empty"), [good], DETECTOR, TINY)


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("high", lambda contender: high_level_features(contender.sample)),
        ("low", lambda contender: low_level(contender.read())),
        ("normalised", lambda contender: normalised_low_level(contender.read(), DETECTOR)),
    ],
)
def test_classifiers_get_their_inputs_and_the_floor_two_halves(
    name, inputs, contenders, monkeypatch
):
    asked = []

    def classify(reference, generated, protocol, *, seed, observe):
        asked.append((reference, generated, protocol, seed))
        return ClassifierScore(*(Estimate(i, 0.1, 9) for i in range(4)), np.zeros((10, 2)), (), ())

    monkeypatch.setattr(challenge_measures, "classify", classify)
    reference, good, _ = contenders.values()
    split = replace(TINY.classifier, split=(60, 20, 20))
    pair = Pair(reference, good, DETECTOR, replace(TINY, classifier=split, seed=3))
    found = measure_classifier(name, pair, False, _ignore)
    assert {key: e.value for key, e in found.items()} == {
        f"auc_{name}": 0, f"jsd_{name}": 1, f"raw_auc_{name}": 2, f"raw_jsd_{name}": 3,
    }  # fmt: skip
    np.testing.assert_array_equal(asked[0][0], inputs(reference))
    np.testing.assert_array_equal(asked[0][1], inputs(good))
    assert asked[0][2:] == (split, 3)
    measure_classifier(name, pair, True, _ignore)
    one, other = asked[1][:2]
    assert (len(one), len(other)) == (120, 100)
    together = {tuple(row) for row in np.concatenate([one, other])}
    assert len(together) == 220
    assert together < {tuple(row) for row in inputs(reference)}
    larger = replace(split, split=(61, 20, 20))  # than the sample, which is then divided by parts
    protocol = replace(TINY, classifier=larger)
    measure_classifier(name, pair._replace(protocol=protocol), False, _ignore)
    assert asked[2][2] == TINY.classifier


def test_the_log_posterior_is_named_by_sample(contenders, monkeypatch):
    asked = []

    def log_posterior(samples, reference, protocol, *, seed, observe):
        asked.append((samples, reference))
        return [Estimate(-0.1, 0.01, 9), Estimate(-2.0, 0.02, 9)]

    monkeypatch.setattr(challenge_measures, "log_posterior", log_posterior)
    reference, good, bad = contenders.values()
    found = measure_log_posterior(reference, [good, bad], TINY, _ignore)
    assert found == {"good": Estimate(-0.1, 0.01, 9), "bad": Estimate(-2.0, 0.02, 9)}
    np.testing.assert_array_equal(asked[0][0][1], low_level(bad.read()))
    np.testing.assert_array_equal(asked[0][1], low_level(reference.read()))


def test_large_samples_are_also_drawn_as_published(contenders):
    protocol = replace(TINY, fpd_sizes=(40, 100), kpd_batch_size=50)
    reference, good, _ = contenders.values()
    pair = Pair(reference, good, DETECTOR, protocol)
    found = measure_fpd(pair, False, _ignore)
    features = [high_level_features(c.sample) for c in (reference, good)]
    sizes = {"min_samples": 40, "max_samples": 100, "with_replacement": True}
    assert found["fpd_published"] == fpd(*features, **sizes, n_batches=3)
    assert found["fpd_published"].value > found["fpd"].value  # k / M of the file's own size
    assert set(measure_kpd(pair, False, _ignore)) == {"kpd", "kpd_published"}
    assert set(measure_fpd(pair, True, _ignore)) == {"fpd"}
    larger = replace(protocol, fpd_sizes=(40, 101))
    small = measure_fpd(Pair(reference, good, DETECTOR, larger), False, _ignore)
    assert set(small) == {"fpd", "fpd_excess"}


def test_the_excess_is_zero_on_average_where_fpd_is_biased():
    """40 showers of 30 features: the extrapolation cannot work, the difference does."""
    features = np.asarray(jax.random.normal(jax.random.key(2), (20, 120, 30))) @ np.diag(
        1 / np.arange(1, 31)
    )
    found = [frechet_excess(x[:80], x[80:]) for x in features]
    values = np.asarray([e.value for e in found])
    assert abs(values.mean()) < 3 * values.std(ddof=1) / np.sqrt(20)
    assert np.mean([e.error for e in found]) == pytest.approx(values.std(ddof=1), rel=0.6)
    biased = np.asarray([fpd(x[:40], x[40:80], n_batches=2).value for x in features])
    assert biased.mean() > 5 * values.std(ddof=1) / np.sqrt(20)
    moved = frechet_excess(features[0][:80], features[0][80:] + 0.5)
    assert moved.value > 5 * moved.error
    assert moved.n == 40


def test_prdc_is_cut_to_equal_and_limited_sizes(contenders):
    reference, good, _ = contenders.values()
    limited = Pair(reference, good, DETECTOR, replace(TINY, prdc_limit=50))
    for is_floor in (False, True):
        assert measure_prdc(limited, is_floor, _ignore)["coverage"].n == 50
    moved = []
    whole = measure_prdc(Pair(reference, good, DETECTOR, TINY), False, lambda *d: moved.append(d))
    assert whole["density"].n == 100
    assert math.isnan(whole["density"].error)
    assert moved[-1] == (len(moved), len(moved))


def test_discrete_energies_are_listed(toys):
    energy = np.where(np.arange(360) % 2, 1024.0, 4096.0).astype(np.float32)
    showers = Showers(energy, toys.voxel_energy_mev)
    rows = {"first": slice(0, 240), "second": slice(240, 340)}
    parts = [contender_from_showers(part(showers, r), DETECTOR, name) for name, r in rows.items()]
    found = measure_observables(Pair(*parts, DETECTOR, TINY), False, _ignore)
    assert [name for name in found if "@" in name] == ["e_ratio@1024", "e_ratio@4096"]
    assert not energies_differ(parts[0].sample, parts[1].sample)


def test_other_incident_energies_are_noticed(toys, contenders):
    high = part(toys, toys.incident_energy_mev > 7e3)
    reference, good, _ = contenders.values()
    assert not energies_differ(reference.sample, good.sample)
    assert energies_differ(reference.sample, contender_from_showers(high, DETECTOR, "high").sample)


def test_judgement_by_hand():
    powers = {name: Estimate(0.03, 0.01, 9) for name in SEPARATIONS}
    row = {"auc_low": Estimate(0.55, 0.02, 9), "auc_high": Estimate(0.54, 0.03, 9),
           "kpd": Estimate(0.10, 0.03, 9), "fpd_excess": Estimate(0.05, 0.02, 9),
           **powers}  # fmt: skip
    floor = {"auc_high": Estimate(0.40, 0.04, 9), "kpd": Estimate(0.01, 0.04, 9),
             **{name: Estimate(0.02, 0.004, 9) for name in SEPARATIONS}}  # fmt: skip
    found = judge(row, floor)
    agrees = {name: j.agrees for name, j in found.items()}
    # auc_low: 2.5 errors above 1/2; auc_high: 0.8 errors above 1/2, since 0.40 is chance;
    # fpd_excess: 2.5 errors above 0; kpd: 0.09 above a floor, errors 0.03 and 0.04;
    # separation: 2.5 errors of its floor
    assert agrees == {"auc_high": True, "auc_low": False, "fpd_excess": False, "kpd": True,
                      "separation": False}  # fmt: skip
    assert found["auc_low"].floor == Estimate(0.5, 0.0, 9)
    assert separation_mean({"e_layer": Estimate(1, 1, 1)}) is None


@pytest.mark.parametrize(
    ("value", "agrees"), [(9e-4, False), (7e-4, True), (-7e-4, True), (-9e-4, False)]
)
def test_the_excess_noise_is_held_against_zero_from_both_sides(value, agrees):
    row = {"layer_noise": Estimate(value, 4e-4, 9)}
    floor = {"layer_noise": Estimate(5e-4, 6e-4, 4)}
    for known in (floor, {}):
        [(name, found)] = judge(row, known).items()
        assert (name, found.agrees) == ("layer_noise", agrees)
        assert found.floor == known.get("layer_noise", Estimate(0.0, 0.0, 9))


def test_mean_of_rows():
    first = {"kpd": Estimate(1.0, 0.1, 30), "density": Estimate(0.8, math.nan, 30)}
    second = {"kpd": Estimate(2.0, 0.1, 20), "density": Estimate(1.0, math.nan, 20)}
    found = mean_row([first, second | {"recall": Estimate(0.1, math.nan, 20)}])
    assert found["kpd"] == Estimate(1.5, pytest.approx(0.5), 20)
    assert found["density"] == Estimate(pytest.approx(0.9), pytest.approx(0.1), 20)
    assert set(found) == {"kpd", "density"}
    alike = [{"kpd": Estimate(1.0, 0.1, 9), "layer_noise": Estimate(1.0, 0.1, 9)}] * 4
    errors = {name: e.error for name, e in mean_row(alike).items()}
    assert errors == pytest.approx({"kpd": 0.05, "layer_noise": 0.1})
    assert math.isnan(mean_row([first])["density"].error)


@pytest.mark.parametrize(
    ("dataset", "split"),
    [
        ("1-photons", (80_000, 20_000, 21_000)),
        ("1-pions", (80_000, 20_000, 20_800)),
        ("2", (60_000, 20_000, 20_000)),
        ("3", (60_000, 20_000, 20_000)),
    ],
)
def test_official_numbers(dataset, split):
    p = official(dataset)
    assert p.classifier_for(sum(split)).split == split
    assert p.classifier_for(sum(split) - 1).split is None
    c = p.classifier
    assert (c.n_epochs, c.batch_size, c.learning_rate, c.hidden) == (50, 1000, 2e-4, 2048)
    assert (p.fpd_sizes, p.n_fpd_batches, p.n_fpd_points) == ((10_000, 50_000), 20, 10)
    assert (p.kpd_batch_size, p.n_kpd_batches, p.n_neighbours) == (10_000, 10, 5)
    assert p.draws_as_published(50_000)
    assert not p.draws_as_published(49_999)


def test_differences_are_said():
    p = official("2")
    exact = replace(p.classifier, precision="float64", n_repeats=10)
    assert differences(replace(p, classifier=exact, floor="all"), 100_000, 100_000) == ()
    small = " ".join(differences(p, 9_000, 5_000))
    for words in ("trained on 3,000 showers", "1,000 instead of 60,000", "float32", "trained once",
                  "without replacement of the 5,000", "classifiers low, normalised",
                  "column FPD is the Frechet distance less Geant4's own"):  # fmt: skip
        assert words in small
    assert "FAST" not in small
    quick = differences(fast(p), 120_000, 120_000)
    assert quick[0].startswith("FAST MODE")
    assert "10,000 for the others" in " ".join(quick)


def test_memory_counts_both_samples_twice_where_voxels_are_trained_on():
    detector = load_geometry("ds2")
    sizes = (100_000, 100_000)
    assert memory_bytes(official("2"), detector, sizes) == 6480 * (2 * 4 * 200_000 + 4 * 100_000)
    high = replace(official("2"), classifiers=("high",))
    assert memory_bytes(high, detector, sizes) == 6480 * 4 * 300_000
