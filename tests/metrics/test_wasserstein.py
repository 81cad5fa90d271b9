import jax
import numpy as np
import pytest
from scipy import stats

from jaxcalo.errors import InputError
from jaxcalo.metrics import Observable, protocol, w1, w1_floor, wasserstein_1
from jaxcalo.metrics.wasserstein import reference_scale


def _normal(seed, *shape):
    return np.asarray(jax.random.normal(jax.random.key(seed), shape), dtype=float)


def _observable(values):
    values = values.reshape(len(values), -1)
    return Observable(values, np.arange(len(values)))


@pytest.mark.parametrize(("n", "m"), [(50, 50), (50, 37), (1, 200), (3, 1)])
def test_distance_equals_scipy(n, m):
    x, y = np.round(_normal(0, n), 1), np.round(0.5 + 2 * _normal(1, m), 1)  # with ties
    assert wasserstein_1(x, y) == pytest.approx(stats.wasserstein_distance(x, y), rel=1e-12)


def test_distance_of_closed_forms():
    assert wasserstein_1(np.array([0.0, 1]), np.array([0.0, 1, 0, 1])) == 0
    assert wasserstein_1(np.array([0.0]), np.array([1.0, 3, 5])) == pytest.approx(3)
    n = 20_000
    uniform = (np.arange(n) + 0.5) / n
    # |F - G| integrated between uniform on [0, 1] and on [0, 2] is 1/2
    assert wasserstein_1(uniform, 2 * uniform) == pytest.approx(0.5)
    normal = stats.norm.ppf(uniform)
    # equal means, widths 1 and s: |s - 1| sqrt(2 / pi)
    assert wasserstein_1(normal, 1.3 * normal) == pytest.approx(0.3 * np.sqrt(2 / np.pi), rel=1e-3)


def test_a_shift_by_d_standard_deviations_is_d():
    x = 7 + 250 * _normal(2, 400)
    found = w1(_observable(x), _observable(x + 0.3 * x.std()), (400, 400))
    assert found.value == pytest.approx(0.3, rel=1e-9)
    assert found.error == pytest.approx(0, abs=1e-12)  # every batch is shifted alike
    assert found.n == 400


def test_distance_from_itself_is_zero():
    x = _observable(_normal(3, 100, 4))
    assert w1(x, x, (100, 100))[:2] == (0, 0)


def test_a_vector_has_the_mean_of_its_components():
    x = _normal(4, 500, 3)
    y = x + np.array([0.0, 0.2, 0.7]) * x.std(axis=0)
    found = w1(_observable(x), _observable(y), (500, 500))
    assert found.value == pytest.approx(0.3, rel=1e-9)
    other = _observable(_normal(5, 500, 3))
    single = [
        w1(_observable(x[:, i]), Observable(other.values[:, [i]], other.shower), (500, 500))
        for i in range(3)
    ]
    together = w1(_observable(x), other, (500, 500))
    assert together.value == pytest.approx(np.mean([s.value for s in single]))
    quadrature = np.sqrt(sum(s.error**2 for s in single)) / 3
    assert together.error == pytest.approx(quadrature)


def test_the_error_is_how_far_repetitions_scatter():
    values, errors = [], []
    for seed in range(40):
        draws = _normal(100 + seed, 2, 600)
        found = w1(_observable(draws[0]), _observable(draws[1] + 0.5), (600, 600))
        values.append(found.value)
        errors.append(found.error)
    # from 40 repetitions the scatter is known to 11 %, a batch error to 24 %
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.4)


def test_the_floor_shrinks_with_the_root_of_the_sample():
    small, large = (
        np.mean([w1_floor(_observable(_normal(s, n)), n).value for s in range(6)])
        for n in (400, 6400)
    )
    assert small / large == pytest.approx(4, rel=0.35)


def test_the_floor_does_not_mind_the_order_of_the_file():
    x = _normal(8, 2000)
    sorted_floor = w1_floor(_observable(np.sort(x)), 2000)
    assert sorted_floor.value == pytest.approx(w1_floor(_observable(x), 2000).value, rel=0.6)
    assert sorted_floor.value < 0.12  # cut in the middle it would be 1.6


def test_a_second_sample_lies_within_errors_of_the_floor_and_a_shifted_one_above():
    x, y = _normal(9, 2000), _normal(10, 2000)
    floor = w1_floor(_observable(x), 2000)
    same = w1(_observable(x), _observable(y), (2000, 2000))
    shifted = w1(_observable(x), _observable(y + 0.3), (2000, 2000))
    assert same.value < floor.value + 3 * np.hypot(floor.error, same.error)
    assert shifted.value > floor.value + 5 * np.hypot(floor.error, shifted.error)


def test_a_small_sample_is_measured_against_a_floor_of_its_size():
    x = _normal(11, 4000)
    few = w1_floor(_observable(x), 4000, 40)
    assert few.value > 2.5 * w1_floor(_observable(x), 4000).value
    assert few.n == 40
    distance = w1(_observable(x), _observable(_normal(12, 40)), (4000, 40))
    assert distance.value < few.value + 3 * few.error


def test_a_constant_reference_keeps_its_own_unit():
    constant = np.full((50, 1), 0.1) + 1e-17
    np.testing.assert_array_equal(reference_scale(constant), [1])
    zero, three = _observable(np.zeros(50)), _observable(np.full(50, 3.0))
    assert w1(zero, zero, (50, 50)).value == 0
    assert w1(zero, three, (50, 50)).value == 3
    assert w1_floor(zero, 50) == (0, 0, 25)


def test_a_sample_without_cells_counts_as_one_cell_of_no_energy():
    cells = Observable(np.array([[1.0], [3.0]] * 20), np.arange(40))
    none = Observable(np.zeros((0, 1)), np.zeros(0, int))
    assert w1(cells, none, (40, 40)).value == pytest.approx(2)  # mean 2, deviation 1
    assert np.isfinite(w1(cells, none, (40, 40)).error)


def test_protocol_is_mean_and_deviation_of_disjoint_batches():
    x, y = _normal(13, 1000), 0.4 + _normal(14, 1000)
    found = protocol(_observable(x), _observable(y), (1000, 1000), batch_size=100)
    assert found.value == pytest.approx(0.4, abs=3 * np.sqrt(2 / 1000) + 0.02)
    # a batch scatters by sqrt(1/100 + 1/100) = 0.14; a deviation from ten is good to 24 %
    assert 0.05 < found.error < 0.28
    assert found.n == 100
    with pytest.raises(InputError, match="need 1010 showers"):
        protocol(_observable(x), _observable(y), (1000, 1000), batch_size=101)
