import numpy as np

from jaxcalo.metrics.splits import N_SPLITS, batches, halves


def test_halves_are_disjoint_complete_shuffled_and_different():
    pairs = halves(1001)
    assert len(pairs) == N_SPLITS
    for one, other in pairs:
        assert one.sum() == 500
        assert other.sum() == 501
        assert not np.any(one & other)
        # a shuffled half holds about half of the first half: 250 +- 11 (hypergeometric)
        assert 190 < one[:500].sum() < 310
    assert len({one.tobytes() for one, _ in pairs}) == N_SPLITS


def test_the_second_half_is_no_larger_than_the_sample_to_judge():
    for one, other in halves(1000, 30):
        assert one.sum() == 500
        assert other.sum() == 30
        assert not np.any(one & other)
    assert all(other.sum() == 500 for _, other in halves(1000, 10**6))


def test_splits_are_the_same_every_time():
    for first, second in zip(halves(50), halves(50), strict=True):
        np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(batches(50, 5), batches(50, 5))


def test_batches_are_disjoint_and_spread_over_the_file():
    masks = np.stack(batches(1003, 10))
    np.testing.assert_array_equal(masks.sum(axis=0), 1)
    assert set(masks.sum(axis=1)) == {100, 101}
    assert np.all(masks[:, :500].sum(axis=1) > 25)  # 50 +- 5 each
    small = np.stack(batches(1003, 10, size=40))
    np.testing.assert_array_equal(small.sum(axis=1), 40)
    assert small.sum(axis=0).max() == 1
