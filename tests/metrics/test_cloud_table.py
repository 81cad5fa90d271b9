import dataclasses
import json

import jax
import numpy as np
import pytest

from jaxcalo.errors import InputError
from jaxcalo.metrics import (
    OBSERVABLES,
    CloudObservables,
    CloudRow,
    CloudScore,
    Estimate,
    Observable,
    cloud_row,
    cloud_table,
    compare_published,
    published_clouds,
    w1_excess,
    wasserstein_1,
)


def normal(seed, *shape):
    """Normal numbers, cut from as many for every shape: one compilation for all."""
    drawn = jax.random.normal(jax.random.key(seed), (2**14,))
    return np.asarray(drawn, dtype=float)[: np.prod(shape)].reshape(shape)


def observable(values):
    values = values.reshape(len(values), -1)
    return Observable(values, np.arange(len(values)))


def sample(seed, n, shift=0.0, energies=None, name="sample"):
    """All eight observables from normal distributions; three cells a shower, two components."""
    values = {
        key: observable(shift + normal(100 * seed + i, n)) for i, key in enumerate(OBSERVABLES)
    }
    values["e_cell"] = Observable(shift + normal(100 * seed + 50, 3 * n, 1), np.arange(3 * n) // 3)
    for i, key in enumerate(("e_long", "e_radial")):
        values[key] = observable(shift + normal(100 * seed + 60 + i, n, 2))
    energies = 1e4 + 1e3 * np.abs(normal(100 * seed + 70, n)) if energies is None else energies
    return CloudObservables(name, 0.1, energies, values)


@pytest.mark.parametrize("shift", [0.0, 0.02, 0.05, 0.2])
@pytest.mark.parametrize("m", [400, 800])
def test_the_excess_covers_the_shift_of_gaussians(shift, m):
    n, n_repeats = 400, 25
    found = []
    for i in range(n_repeats):
        x, y = normal(1000 + i, n), shift + normal(2000 + i, m)
        found.append(w1_excess(observable(x), observable(y), (n, m)))
    value, error = np.transpose([f.excess[:2] for f in found])
    pull = np.abs(value - shift) / error
    # in 25 trials a probability of 60 % gives 9 or fewer once in 80, one of 91 % 18 or fewer
    # once in 60
    assert (pull < 1).sum() > 9
    assert (pull < 2).sum() > 18
    # no error larger than two of the mean's own, which is what a shift can be known to
    assert error.mean() < 2 * np.sqrt(1 / n + 1 / m)
    plain = np.mean([f.w1.value - f.floor.value for f in found])
    if shift >= 0.05:  # W1 - floor is too low by most of the floor, the excess is not
        assert plain < shift - 0.02
        assert abs(value.mean() - shift) < shift - plain


def test_the_floor_is_that_of_fresh_samples_of_the_same_sizes():
    x = normal(1, 400)
    for m in (100, 400, 1600):
        floor = w1_excess(observable(x), observable(3 + normal(2, m)), (400, m)).floor
        fresh = [wasserstein_1(normal(10 + i, 400), normal(90 + i, m)) for i in range(60)]
        # the scatter of one is 36 %: the mean of sixty is known to 5 %
        assert floor.value == pytest.approx(np.mean(fresh), rel=0.15)
        assert floor.error == pytest.approx(np.std(fresh), rel=0.3)
        assert floor.n == min(400, m)


def test_a_large_distance_has_no_excess_floor_taken_off():
    x, y = normal(3, 400), 2.0 + normal(4, 400)
    found = w1_excess(observable(x), observable(y), (400, 400))
    assert found.excess.value == pytest.approx(found.w1.value, abs=5e-3)
    assert found.excess.error == pytest.approx(np.sqrt(2 / 400) / x.std(), rel=0.35)


def test_identical_samples_have_no_distance_and_an_error_of_the_floor():
    x = observable(normal(5, 100, 3))
    w1, floor, excess = w1_excess(x, x, (100, 100))
    assert w1.value == 0
    assert floor.value > 0.05
    assert excess[:2] == (0, floor.value + floor.error)
    constant = observable(np.full(40, 3.0))
    assert w1_excess(constant, constant, (40, 40)).excess[:2] == (0, 0)


def test_pairs_of_one_energy_have_a_lower_floor_and_error():
    energy = 10 * normal(6, 400)
    x, y = energy + normal(7, 400), 1.0 + energy + normal(8, 400)  # a shift of 0.1
    apart = w1_excess(observable(x), observable(y), (400, 400))
    together = w1_excess(observable(x), observable(y), (400, 400), paired=True)
    assert together.w1 == apart.w1
    assert together.floor.value < 0.5 * apart.floor.value
    assert together.excess.error < 0.4 * apart.excess.error
    assert abs(together.excess.value - 0.1) < 2 * together.excess.error
    # showers 400 ... 799 were made for the energies of 0 ... 399 again
    twice = np.concatenate([y, 1.0 + energy + normal(9, 400)])
    longer = w1_excess(observable(x), observable(twice), (400, 800), paired=True)
    assert abs(longer.excess.value - 0.1) < 2 * longer.excess.error < 0.03


def test_cells_of_one_shower_are_no_independent_cells():
    # 50 equal cells in each of 100 showers say no more than 100 cells
    x, y = normal(10, 100), normal(11, 100)
    shower = np.repeat(np.arange(100), 50)
    cells = w1_excess(
        Observable(np.repeat(x, 50)[:, None], shower),
        Observable(np.repeat(y, 50)[:, None], shower),
        (100, 100),
    )
    single = w1_excess(observable(x), observable(y), (100, 100))
    assert cells.floor.value == pytest.approx(single.floor.value, rel=1e-6)
    assert cells.excess.value == pytest.approx(single.excess.value, abs=1e-6)


def test_long_tails_keep_their_share_of_the_distance():
    # 20 cells in each of 400 showers, of which one in ten holds nearly all the energy
    shower = np.repeat(np.arange(400), 20)
    x, y = (np.exp(2 * normal(seed, 8000) + shift) for seed, shift in ((12, 0.0), (13, 1.0)))
    found = w1_excess(Observable(x[:, None], shower), Observable(y[:, None], shower), (400, 400))
    # far above the floor excess and W1 agree, though only 2048 of 16000 points are integrated
    assert found.w1.value > 5 * found.floor.value
    assert found.excess.value == pytest.approx(found.w1.value, rel=0.02)


def test_a_sample_without_cells_gets_a_finite_bad_number():
    cells = Observable(np.array([[5.0], [7.0]] * 20), np.arange(40))
    none = Observable(np.zeros((0, 1)), np.zeros(0, int))
    found = w1_excess(cells, none, (40, 40))
    assert found.excess.value == pytest.approx(6, rel=0.01)
    assert np.isfinite(found.excess.error)


def test_a_row_has_every_observable_with_protocol_and_floors():
    reference, generated = sample(1, 800), sample(2, 400, shift=0.5)
    row = cloud_row("model", reference, generated)
    assert tuple(row.scores) == OBSERVABLES
    assert (row.n_showers, row.batch_size, row.paired) == (400, 40, False)
    for score in row.scores.values():
        assert score.protocol.n == score.protocol_floor.n == 40
        assert abs(score.excess.value - 0.5) < 3 * score.excess.error
        assert score.protocol.value > score.w1.value - 0.02  # small batches are farther apart
    fresh = np.mean([wasserstein_1(normal(10 + i, 40), normal(90 + i, 40)) for i in range(60)])
    floors = [row.scores[name].protocol_floor.value for name in OBSERVABLES if name != "e_cell"]
    assert np.mean(floors) == pytest.approx(fresh, rel=0.15)
    # of three cells a shower it is smaller by a root of three
    found = row.scores["e_cell"].protocol_floor.value
    assert found == pytest.approx(fresh / np.sqrt(3), rel=0.35)


def test_samples_of_one_set_of_energies_are_paired():
    reference = sample(3, 400)
    generated = sample(4, 800, energies=np.resize(reference.incident_energy_mev, 800))
    assert cloud_row("pairs", reference, generated).paired


def test_the_table_is_plain_data_beside_the_published_rows():
    reference = sample(5, 400, name="geant4.h5")
    table = cloud_table(reference, {"good": sample(6, 400), "bad": sample(7, 800, shift=1.0)})
    record = json.loads(json.dumps(table.to_json(), allow_nan=False))
    assert record["reference"] == "geant4.h5"
    assert [row["name"] for row in record["rows"]] == ["good", "bad"]
    assert record["rows"][1]["n_showers"] == 800
    bad = record["rows"][1]["comparison"]["CaloClouds II"]
    assert bad["n_hits"]["verdict"] == "above"
    assert bad["n_hits"]["published"] == pytest.approx({"value": 0.036, "error": 0.005})
    good = record["rows"][0]["comparison"]["CaloClouds"]
    # 400 showers resolve 0.388 and not 0.014
    assert (good["e_radial"]["verdict"], good["e_radial"]["resolved"]) == ("below", True)
    assert good["centre_z"]["verdict"] == "compatible"
    assert not good["centre_z"]["resolved"]


@pytest.mark.parametrize(
    ("value", "error", "floor", "verdict", "resolved"),
    [
        # CaloClouds II has 0.036 +- 0.005 for n_hits
        (0.010, 0.012, 0.010, "below", True),
        (0.010, 0.030, 0.030, "compatible", True),
        (0.010, 0.030, 0.040, "compatible", False),
        (0.060, 0.012, 0.010, "compatible", True),
        (0.064, 0.012, 0.010, "above", True),
    ],
)
def test_verdicts_follow_value_and_error(value, error, floor, verdict, resolved):
    nothing = Estimate(0.0, 0.0, 1)
    score = CloudScore(
        nothing, nothing, nothing, Estimate(floor, 0.01, 1), Estimate(value, error, 1)
    )
    row = CloudRow("model", "memory", 1, 1, False, {"n_hits": score})
    found = compare_published(row, published_clouds()[2])["n_hits"]
    assert found.published[:2] == pytest.approx((0.036, 0.005))
    assert (found.verdict, found.resolved) == (verdict, resolved)


def test_published_numbers_are_the_papers():
    geant4, first, second, distilled = published_clouds()
    assert [p.model for p in published_clouds()] == [
        "GEANT4", "CaloClouds", "CaloClouds II", "CaloClouds II (CM)"
    ]  # fmt: skip
    order = ("n_hits", "e_ratio", "e_cell", "e_long", "e_radial", *OBSERVABLES[-3:])
    numbers = [
        "0.7 0.2 0.8 0.2 0.9 0.4 0.7 0.8 0.7 0.6 0.9 0.1 1.1 0.3 0.9 0.3",
        "2.5 0.3 11.4 0.5 15.9 0.7 2.0 1.4 38.8 1.4 4.0 0.4 8.7 0.3 1.4 0.5",
        "3.6 0.5 26.4 0.4 15.3 0.6 3.7 1.6 11.6 1.5 2.4 0.4 7.6 0.2 3.9 0.4",
        "6.1 0.7 9.8 0.5 16.0 0.7 2.0 1.4 8.3 1.9 3.0 0.4 9.5 0.6 1.2 0.5",
    ]
    for row, text in zip(published_clouds(), numbers, strict=True):
        found = [100 * number for name in order for number in row.w1[name][:2]]
        np.testing.assert_allclose(found, [float(word) for word in text.split()], rtol=1e-12)
        assert set(row.w1) == set(OBSERVABLES)
    assert geant4.auc is None
    assert [row.auc[:2] for row in (first, second, distilled)] == [
        (0.99998, 0.00001), (0.9281, 0.0014), (0.9231, 0.0008)
    ]  # fmt: skip


def test_what_a_user_can_mend_is_said():
    reference = sample(8, 40, name="geant4.h5")
    with pytest.raises(InputError, match=r"few\.h5: the W1 table needs at least 20 showers"):
        cloud_row("few", reference, sample(9, 19, name="few.h5"))
    other = dataclasses.replace(sample(9, 40, name="model.h5"), threshold_mev=0.2)
    with pytest.raises(InputError, match=r"model\.h5: read with a threshold of 0\.2 MeV.* 0\.1"):
        cloud_row("other", reference, other)
    rings = dict(reference.values, e_radial=observable(normal(1, 40, 3)))
    other = dataclasses.replace(reference, values=rings)
    with pytest.raises(InputError, match="e_radial has 3 components, the reference's 2"):
        cloud_row("rings", reference, other)
