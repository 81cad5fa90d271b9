import json

import jax
import numpy as np
import pytest

from jaxcalo.errors import InputError
from jaxcalo.metrics.amplification import (
    at_least_events,
    equivalent_events,
    fit_cells,
    statistical_worth,
    worth_curve,
)
from jaxcalo.metrics.estimate import Estimate, mean_of

NORMAL = np.asarray(jax.random.normal(jax.random.key(0), (2**20,)), float)


def normal(seed, *shape):
    """Normal numbers: another stretch of the same ones for each seed."""
    size = int(np.prod(shape))
    start = 104_729 * seed % (len(NORMAL) - size)
    return NORMAL[start : start + size].copy().reshape(shape)


def picked(seed, n, size):
    """Rows of n, drawn with replacement."""
    return (normal(seed, size) * 1e6).astype(int) % n


@pytest.mark.parametrize("quantiles", [(100,), (8, 12)])
def test_true_events_are_worth_their_number(quantiles):
    d, n, k, repeats = len(quantiles), 8000, 2000, 40
    pulls = []
    for i in range(repeats):
        truth, generated = normal(3 * i, n, d), normal(3 * i + 1, k, d)
        worth = statistical_worth(truth, generated[:100], generated, quantiles)
        assert worth.n_cells == np.prod(quantiles)
        pulls.append((worth.inverse.value - 1 / k) / worth.inverse.error)
        assert worth.inverse_limit.value == pytest.approx(worth.inverse.value - 1 / k)
    assert abs(np.mean(pulls)) < 3 / np.sqrt(repeats)
    assert 0.7 < np.std(pulls) < 1.4  # the spread of forty is known to 11 %


def test_training_events_drawn_again_are_worth_the_training_set_and_no_more():
    truth, m, k, repeats = normal(50, 20_000, 1), 500, 20_000, 20
    worths = []
    for i in range(repeats):
        training = normal(60 + i, m, 1)
        worths.append(statistical_worth(truth, training, training[picked(i, m, k)], (50,)))
    limit = mean_of([w.inverse_limit for w in worths])
    assert limit.value == pytest.approx(1 / m, abs=3 * limit.error)
    assert limit.error < 0.1 / m
    events = equivalent_events(mean_of([w.inverse for w in worths]))
    assert events is not None
    assert events.value == pytest.approx(1 / (1 / m + 1 / k), abs=3 * events.error)
    own = mean_of([w.inverse_training for w in worths])
    assert own.value == pytest.approx(1 / m, abs=3 * own.error)
    assert all(w.n_training == m for w in worths)


def test_a_parametric_fit_is_worth_more_by_cells_over_parameters():
    # a fit with p parameters misses in p ways, a sample in q - 1: N = m (q - 1) / p, and a little
    # more, since 50 bins of a normal distribution keep 97 % of what its mean and width tell
    q, m, repeats = 50, 100, 60
    truth, inverse = normal(90, 40_000, 1), []
    for i in range(repeats):
        training = normal(100 + i, m, 1)
        fitted = training.mean() + training.std(ddof=1) * normal(200 + i, 20_000, 1)
        inverse.append(statistical_worth(truth, training, fitted, (q,)).inverse_limit)
    expected = m * (q - 1) / 2
    found = equivalent_events(mean_of(inverse))
    assert found is not None
    assert 0.7 * expected < found.value < 1.6 * expected
    assert abs(found.value - 1.03 * expected) < 3 * found.error


def test_marginals_that_are_right_do_not_hide_a_wrong_correlation():
    truth, x = normal(1, 20_000, 2), normal(2, 20_000)
    copied = np.stack([x, x], axis=1)
    for column in range(2):
        one = statistical_worth(
            truth[:, [column]], truth[:500, [column]], copied[:, [column]], (10,)
        )
        assert at_least_events(one.inverse) > 4000
    both = statistical_worth(truth, truth[:500], copied, (10, 10))
    # all in the ten cells of the diagonal with 1/10, where 1/100 should be
    exact = (10 * 0.09**2 + 90 * 0.01**2) / 0.99
    assert both.inverse.value == pytest.approx(exact, rel=0.2)


def test_numbers_that_are_none_miss_every_cell():
    truth = np.arange(1000.0)[:, None]
    generated = truth.copy()
    generated[::2] = np.nan
    worth = statistical_worth(truth, truth, generated, (10,))
    # ten cells with 1/20 too few and one with 1/2 too many
    assert worth.inverse.value == pytest.approx((10 / 400 + 1 / 4) / 0.9 - 1e-3)


def test_cells_have_equal_probability_also_when_nested():
    truth = normal(5, 6000, 2)
    truth[:, 1] += 3 * truth[:, 0]
    cells = fit_cells(truth, (4, 5))
    np.testing.assert_allclose(cells.truth[:-1], 1 / 20)
    assert cells.truth[-1] == 0
    expected = np.quantile(truth[:, 0], [0.25, 0.5, 0.75])
    np.testing.assert_allclose(cells.edges[0][0], expected, atol=1e-3)
    assert [e.shape for e in cells.edges] == [(1, 3), (4, 4)]


def test_the_curve_rises_with_the_sample_and_stops_at_the_training_set():
    training, sizes = normal(7, 300, 1), [100, 1000, 30_000]
    generated = training[picked(8, 300, 30_000)]
    curve = worth_curve(normal(9, 20_000, 1), training, generated, (20,), sizes)
    assert [w.n_generated for w in curve] == sizes
    limit = curve[-1].inverse_limit.value
    for worth in curve:  # smaller samples are averaged: the rest is the noise of 1 / size
        # 100 drawn of 300 events have one more 1 / 300, since their mean repeats the training's
        assert worth.inverse.value - limit == pytest.approx(1 / worth.n_generated, rel=0.05)
    # averaging 300 samples of 100 leaves less than one such sample has, by far
    alone = worth_curve(normal(9, 20_000, 1), training, generated[:100], (20,), [100])[0]
    assert curve[0].inverse.error < 0.6 * alone.inverse.error


def test_a_worth_that_cannot_be_seen_is_a_limit():
    assert equivalent_events(Estimate(1e-4, 1e-4, 1)) is None
    assert at_least_events(Estimate(-1e-3, 1e-4, 1)) == pytest.approx(5000)
    assert at_least_events(Estimate(1e-4, 1e-4, 1)) == pytest.approx(1 / 3e-4)
    found = equivalent_events(Estimate(1e-3, 1e-4, 7))
    assert found is not None
    assert found == pytest.approx((1000, 100, 7))
    truth = normal(10, 1000, 1)
    record = statistical_worth(truth, truth[:50], normal(11, 90_000, 1), (10,)).to_json()
    record = json.loads(json.dumps(record, allow_nan=False))
    assert record["events"]["limit"] is None
    assert record["at_least"]["limit"] > 500
    assert (record["n_training"], record["n_generated"], record["n_cells"]) == (50, 90_000, 10)


def test_what_a_user_can_mend_is_said():
    x = normal(12, 100, 2)
    with pytest.raises(
        InputError, match=r"d numbers of quantiles, found shape \(100, 2\) and \(5,"
    ):
        statistical_worth(x, x, x, (5,))
    with pytest.raises(InputError, match="found 25 cells and 100 events"):
        statistical_worth(x, x, x, (5, 5))
    with pytest.raises(InputError, match="expected numbers in the truth, found NaN"):
        statistical_worth(np.where(x > 2, np.nan, x), x, x, (2, 2))
    with pytest.raises(InputError, match=r"expected generated events \(m, 2\).*\(100, 1\)"):
        statistical_worth(x, x, x[:, :1], (2, 2))
    with pytest.raises(InputError, match="expected sizes from 1 to 100 generated events, found"):
        worth_curve(x, x, x, (2, 2), [50, 101])
