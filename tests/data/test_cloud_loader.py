"""The loader of clouds: a pure function of the step, and little padding."""

import itertools

import jax
import numpy as np
import pytest

from jaxcalo.data import (
    Clouds,
    CloudWriter,
    memory_cloud_loader,
    open_cloud_loader,
    prefetch,
)
from jaxcalo.data.cloud_loader import bucket_sizes, padding
from jaxcalo.errors import InputError

KEY = jax.random.key(5)
N_ROWS = 1003
BATCH = 16


def numbered(n, most=600):
    """Clouds whose energies tell their row; some have no point."""
    n_points = np.random.default_rng(0).integers(0, most + 1, n).astype(np.int32)
    row = np.repeat(np.arange(n, dtype=np.float32), n_points)
    points = np.stack([row, -row, row % 30, row + 1], axis=1)
    return Clouds(np.arange(1, n + 1, dtype=np.float32), points, n_points)


CLOUDS = numbered(N_ROWS)


@pytest.fixture(scope="module")
def loader():
    return memory_cloud_loader(KEY, CLOUDS, BATCH)


def rows_of(batch):
    """Row numbers of a batch, after a check that it holds these showers and zeros behind."""
    row = np.asarray(batch.incident_energy_mev).astype(int) - 1
    np.testing.assert_array_equal(batch.n_points, CLOUDS.n_points[row])
    for points, number, n in zip(batch.points, row, batch.n_points, strict=True):
        np.testing.assert_array_equal(points[:n, 0], number)
        np.testing.assert_array_equal(points[:n, 3], number + 1)
        assert not points[n:].any()
    return row


def epoch(loader, number):
    n = loader.batches_per_epoch
    return [loader.batch(step) for step in range(number * n, (number + 1) * n)]


def equal(left, right):
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


def test_an_epoch_visits_each_shower_at_most_once(loader):
    assert loader.batches_per_epoch == 62
    batches = epoch(loader, 0)
    rows = np.concatenate([rows_of(batch) for batch in batches])
    assert len(set(rows)) == len(rows) == 62 * BATCH
    assert set(rows) <= set(range(N_ROWS))
    others = np.concatenate([rows_of(batch) for batch in epoch(loader, 1)])
    assert len(set(others)) == 62 * BATCH
    assert not np.array_equal(rows, others)
    # what is left out is another time in
    assert set(rows) != set(others)
    # shuffled: neighbours in the file are not neighbours in the epoch
    assert np.mean(np.abs(np.diff(rows)) == 1) < 0.05


def test_batches_have_the_smallest_size_that_holds_them(loader):
    assert len(loader.sizes) == 4
    assert all(size % 64 == 0 for size in loader.sizes)
    batches = epoch(loader, 0)
    for batch in batches:
        most = batch.n_points.max()
        assert batch.points.shape == (BATCH, min(s for s in loader.sizes if s >= most), 4)
    sizes = np.asarray([batch.points.shape[1] for batch in batches])
    assert set(sizes) == set(loader.sizes)
    # small and large batches follow each other at random
    assert 15 < np.count_nonzero(np.diff(sizes)) < 62


def test_padding_is_counted_and_small(loader):
    rows = sum(batch.points.shape[0] * batch.points.shape[1] for batch in epoch(loader, 0))
    real = sum(int(batch.n_points.sum()) for batch in epoch(loader, 0))
    assert loader.padding_share == pytest.approx(1 - real / rows, abs=1e-12)
    shares = [
        memory_cloud_loader(KEY, CLOUDS, BATCH, n_buckets=n).padding_share for n in (1, 2, 4, 8)
    ]
    # n equal buckets of a uniform number of points: 1 / (n + 1) is padded
    np.testing.assert_allclose(shares, [1 / (n + 1) for n in (1, 2, 4, 8)], atol=0.06)
    assert (np.diff(shares) < 0).all()
    assert padding(CLOUDS.n_points, loader.sizes) < loader.padding_share


def test_showers_meet_others_inside_their_bucket(loader):
    """In a bucket a batch is a random sample: its numbers of points are not sorted."""
    largest = [b for b in epoch(loader, 0) if b.points.shape[1] == loader.sizes[-1]]
    means = np.asarray([batch.n_points.mean() for batch in largest])
    spread = np.concatenate([batch.n_points for batch in largest]).std()
    assert means.std() < 2.5 * spread / np.sqrt(BATCH)


@pytest.mark.parametrize("n_buckets", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", range(4))
def test_sizes_are_the_best_of_all(n_buckets, seed):
    generator = np.random.default_rng(seed)
    n_points = generator.choice([0, 1, 63, 64, 65, 128, 200, 300, 500], 30, p=np.ones(9) / 9)
    n_points[0] = 500
    found = bucket_sizes(n_points, n_buckets)
    assert len(found) <= n_buckets

    def rows(sizes):
        return sum(min(size for size in sizes if size >= n) for n in n_points)

    smaller = range(64, 512, 64)
    best = min(
        rows((*chosen, 512))
        for k in range(n_buckets)
        for chosen in itertools.combinations(smaller, k)
    )
    assert rows(found) == best
    assert padding(n_points, found) == pytest.approx(1 - n_points.sum() / best)


def test_equal_clouds_need_one_size():
    assert bucket_sizes(np.full(9, 64), 4) == (64,)
    assert bucket_sizes(np.zeros(9, int), 4) == (64,)
    assert bucket_sizes(np.asarray([65, 1]), 4) == (64, 128)


def test_a_batch_depends_on_the_step_alone(loader):
    fresh = memory_cloud_loader(KEY, CLOUDS, BATCH)
    for step in (130, 3, 70):
        assert equal(fresh.batch(step), loader.batch(step))
    other = memory_cloud_loader(jax.random.key(6), CLOUDS, BATCH)
    assert not equal(other.batch(3), loader.batch(3))


def test_processes_share_each_batch(loader):
    slices = [
        memory_cloud_loader(KEY, CLOUDS, BATCH, process_index=index, n_processes=4)
        for index in range(4)
    ]
    for step in (0, 61, 62, 200):
        parts = [each.batch(step) for each in slices]
        together = [np.concatenate(column) for column in zip(*parts, strict=True)]
        assert equal(together, loader.batch(step))


def test_prefetch_gives_the_same_batches(loader):
    found = list(prefetch(loader, 60, 65))
    assert len(found) == 5
    for step, batch in enumerate(found, start=60):
        assert equal(batch, loader.batch(step))


def test_ranges_of_a_file(tmp_path):
    path = tmp_path / "clouds.h5"
    few = CLOUDS.rows(slice(40))
    with CloudWriter(path, 600) as writer:
        writer.append(few)
    with open_cloud_loader(KEY, path, 5, start=10, stop=30, n_buckets=2) as loader:
        assert (loader.n_rows, loader.batches_per_epoch, loader.batch_size) == (20, 4, 5)
        batches = epoch(loader, 0)
        assert loader.sizes == bucket_sizes(few.n_points[10:30], 2)
    # incident energies of a few MeV come through GeV exactly enough
    rows = [round(float(e)) - 1 for batch in batches for e in batch.incident_energy_mev]
    assert sorted(rows) == list(range(10, 30))
    with open_cloud_loader(KEY, path, 5) as loader:
        assert loader.n_rows == 40
    for start, stop in ((5, 5), (-1, 4), (0, 41)):
        with pytest.raises(InputError, match=f"rows {start} to {stop} are not a range of its 40"):
            open_cloud_loader(KEY, path, 2, start=start, stop=stop)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch size must be from 1 to the 1003 showers"),
        ({"batch_size": 1004}, "batch size must be from 1 to the 1003 showers"),
        ({"batch_size": 16, "n_processes": 3}, "cannot be shared equally by 3"),
        ({"batch_size": 16, "n_processes": 2, "process_index": 2}, "index must be from 0 to 1"),
        ({"batch_size": 16, "n_buckets": 0}, "number of buckets must be 1 or more, found 0"),
    ],
)
def test_impossible_loaders(arguments, message):
    with pytest.raises(InputError, match=message):
        memory_cloud_loader(KEY, CLOUDS, **arguments)


def test_impossible_step(loader):
    with pytest.raises(InputError, match="the step must be 0 or more, found -1"):
        loader.batch(-1)
