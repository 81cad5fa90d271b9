"""The loader: a pure function of the step, whatever the storage."""

import itertools
import threading

import h5py
import jax
import numpy as np
import pytest

from jaxcalo.data import (
    Showers,
    ShowerWriter,
    memory_loader,
    open_loader,
    prefetch,
    read_showers,
)
from jaxcalo.data.memory import available_memory_bytes
from jaxcalo.data.shuffle import epoch_order
from jaxcalo.errors import InputError

KEY = jax.random.key(5)
N_ROWS = 1003
ROW_BYTES = 4 * (2 + 1)
WINDOW = 200 * ROW_BYTES
STREAMED = {"window_bytes": WINDOW, "memory_limit_bytes": 3 * WINDOW}
IN_MEMORY = {"window_bytes": WINDOW, "memory_limit_bytes": 10**9}


def numbered(n):
    """Showers whose energies tell their row."""
    row = np.arange(n, dtype=np.float32)
    return Showers(row + 1, np.stack([row, 2 * row], axis=1))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("loader") / "showers.h5"
    with ShowerWriter(path, 2) as writer:
        writer.append(numbered(N_ROWS))
    return path


@pytest.fixture(params=[IN_MEMORY, STREAMED, {}], ids=["memory", "streamed", "default"])
def storage(request):
    return request.param


def rows_of(batch):
    """Row numbers of a batch, after a check that energies stayed together."""
    row = batch.voxel_energy_mev[:, 0].astype(int)
    np.testing.assert_array_equal(batch.incident_energy_mev, row + 1)
    np.testing.assert_array_equal(batch.voxel_energy_mev[:, 1], 2 * row)
    return row


def epoch_rows(loader, epoch):
    steps = range(epoch * loader.batches_per_epoch, (epoch + 1) * loader.batches_per_epoch)
    return np.concatenate([rows_of(loader.batch(step)) for step in steps])


def same(left, right):
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


def test_an_epoch_visits_each_row_at_most_once(path, storage):
    with open_loader(KEY, path, 64, **storage) as loader:
        assert loader.batches_per_epoch == 15
        rows = epoch_rows(loader, 0)
        assert len(set(rows)) == len(rows) == 960
        assert set(rows) <= set(range(N_ROWS))
        others = epoch_rows(loader, 1)
        assert len(set(others)) == 960
        assert not np.array_equal(rows, others)
        # shuffled: neighbours in the file are not neighbours in the epoch
        assert np.mean(np.abs(np.diff(rows)) == 1) < 0.05


def test_a_batch_depends_on_the_step_alone(path, storage):
    steps = [0, 14, 15, 16, 3, 44, 2]
    with open_loader(KEY, path, 64, **storage) as loader:
        in_order = {step: loader.batch(step) for step in range(45)}
    with open_loader(KEY, path, 64, **storage) as resumed:
        for step in steps:
            assert same(resumed.batch(step), in_order[step])


def test_streaming_and_memory_give_the_same_batches(path):
    with (
        open_loader(KEY, path, 150, **STREAMED) as streamed,
        open_loader(KEY, path, 150, **IN_MEMORY) as held,
    ):
        for step in range(14):
            assert same(streamed.batch(step), held.batch(step))


@pytest.mark.parametrize("condition_storage", ["memory", "streamed"])
def test_conditions_stay_with_their_showers(tmp_path, condition_storage):
    """In memory, from windows, and in the slices of two processes."""
    path, showers = tmp_path / "x.h5", numbered(N_ROWS)
    row = showers.voxel_energy_mev[:, 0]
    with ShowerWriter(path, 2, None, {"impact_mm": 2, "pdg": 1}, ["pdg"]) as writer:
        writer.append(showers._replace(conditions=np.stack([row / 8, -row, row % 5], axis=1)))
    # 200 rows of an energy, 2 voxels and the columns asked for: 1 and 2
    window = 200 * ROW_BYTES * 2
    options = {"window_bytes": window, "memory_limit_bytes": 3 * window}
    if condition_storage == "memory":
        options["memory_limit_bytes"] = 2 * ROW_BYTES * N_ROWS
    with open_loader(KEY, path, 150, conditions=("pdg", "impact_mm"), **options) as loader:
        assert type(loader.rows).__name__ == (
            "_MemoryRows" if condition_storage == "memory" else "_StreamedRows"
        )
        batches = [loader.batch(step) for step in range(loader.batches_per_epoch)]
    for batch in batches:
        row = rows_of(batch)
        np.testing.assert_array_equal(
            batch.conditions, np.stack([row % 5, row / 8, -row], axis=1).astype(np.float32)
        )
    shared = {"process_index": 1, "n_processes": 2}
    with open_loader(
        KEY, path, 150, conditions=("pdg", "impact_mm"), **options, **shared
    ) as loader:
        np.testing.assert_array_equal(loader.batch(1).conditions, batches[1].conditions[75:])


def test_memory_limit_counts_the_conditions(tmp_path):
    path, showers = tmp_path / "x.h5", numbered(N_ROWS)
    with ShowerWriter(path, 2, None, {"angle": 1}) as writer:
        writer.append(showers._replace(conditions=showers.voxel_energy_mev[:, :1]))
    limit = {"memory_limit_bytes": N_ROWS * ROW_BYTES}
    open_loader(KEY, path, 8, **limit).close()
    with pytest.raises(InputError, match="do not fit into"):
        open_loader(KEY, path, 8, conditions=("angle",), **limit)


def test_streaming_holds_two_windows_and_reads_each_once(path, monkeypatch):
    with open_loader(KEY, path, 50, **STREAMED) as loader:
        reads = []
        read_into = loader.rows._file.read_into

        def counted(start, showers):
            reads.append(len(showers.incident_energy_mev))
            read_into(start, showers)

        monkeypatch.setattr(loader.rows._file, "read_into", counted)
        for step in range(loader.batches_per_epoch):
            loader.batch(step)
            assert len(loader.rows._held) <= 2
        last_window = len(loader.rows._orders(0).window_stops) - 1
        assert set(loader.rows._held) == {(0, last_window), (1, 0)}
    # one epoch and the first window of the next
    assert N_ROWS - 200 <= sum(reads) <= N_ROWS + 2 * 200


def test_keys_differ(path):
    with open_loader(KEY, path, 64) as one, open_loader(jax.random.key(6), path, 64) as other:
        assert not same(one.batch(0), other.batch(0))


@pytest.mark.parametrize("n_processes", [2, 4])
def test_shards_together_are_the_whole_batch(path, storage, n_processes):
    with open_loader(KEY, path, 64, **storage) as whole:
        loaders = [
            open_loader(KEY, path, 64, process_index=i, n_processes=n_processes, **storage)
            for i in range(n_processes)
        ]
        for step in (0, 7, 14, 20):
            shards = [loader.batch(step) for loader in loaders]
            assert all(len(shard.incident_energy_mev) == 64 // n_processes for shard in shards)
            joined = jax.tree.map(lambda *part: np.concatenate(part), *shards)
            assert same(joined, whole.batch(step))
        for loader in loaders:
            loader.close()


def test_ranges_split_training_and_validation(path, storage):
    with (
        open_loader(KEY, path, 100, stop=803, **storage) as train,
        open_loader(KEY, path, 100, start=803, **storage) as valid,
    ):
        assert (train.n_rows, valid.n_rows) == (803, 200)
        assert epoch_rows(train, 0).max() < 803
        assert set(epoch_rows(valid, 0)) == set(range(803, N_ROWS))


def test_a_range_that_starts_later(path, storage):
    with open_loader(KEY, path, 100, start=303, **storage) as loader:
        assert set(epoch_rows(loader, 0)) == set(range(303, N_ROWS))


def test_order_is_a_permutation_of_whole_blocks_in_windows():
    order = epoch_order(KEY, 3, n_rows=95, block_rows=10, blocks_per_window=3)
    np.testing.assert_array_equal(np.sort(order.rows), np.arange(95))
    assert order.window_stops[-1] == 95
    windows = np.split(order.rows, order.window_stops[:-1])
    assert len(windows) == 4
    owners = [set(window // 10) for window in windows]
    assert [len(owner) for owner in owners] == [3, 3, 3, 1]
    assert sum(len(owner) for owner in owners) == len(set.union(*owners))
    assert all(np.any(np.diff(window) < 0) for window in windows)
    orders = [epoch_order(KEY, epoch, 95, 10, 3) for epoch in range(5)]
    assert len({frozenset(o.rows[: o.window_stops[0]] // 10) for o in orders}) > 1


def test_order_is_the_same_on_every_machine():
    order = epoch_order(KEY, 3, n_rows=12, block_rows=3, blocks_per_window=2)
    assert order.rows.tolist() == [6, 1, 7, 2, 0, 8, 4, 9, 10, 3, 11, 5]
    assert order.window_stops.tolist() == [6, 12]


def test_first_batches_are_uniform_over_the_rows():
    # 200 epochs, mean row of the first batch of 10 of 100: standard error of the mean below
    loader = memory_loader(KEY, numbered(100), 10)
    first = np.concatenate([rows_of(loader.batch(10 * epoch)) for epoch in range(200)])
    assert abs(first.mean() - 49.5) < 5 * np.sqrt((100**2 - 1) / 12 / len(first))


def test_memory_loader_shuffles_everything():
    loader = memory_loader(KEY, numbered(30), 30)
    assert sorted(rows_of(loader.batch(0))) == list(range(30))
    assert not same(loader.batch(0), loader.batch(1))


def test_prefetch_yields_the_same_batches(path, storage):
    with open_loader(KEY, path, 64, **storage) as loader:
        found = list(prefetch(loader, 10, 20))
        assert len(found) == 10
        assert all(same(batch, loader.batch(10 + i)) for i, batch in enumerate(found))
        endless = list(itertools.islice(prefetch(loader, 3), 4))
        assert same(endless[3], loader.batch(6))


def test_prefetch_ends_its_thread_when_closed(path):
    with open_loader(KEY, path, 64) as loader:
        batches = prefetch(loader, 0)
        next(batches)
        assert any(thread.name.startswith("prefetch") for thread in threading.enumerate())
        batches.close()
    assert not any(thread.name.startswith("prefetch") for thread in threading.enumerate())


def test_bad_rows_stop_the_training_loop(tmp_path):
    path = tmp_path / "bad.h5"
    showers = numbered(N_ROWS)
    showers.voxel_energy_mev[777, 1] = np.nan
    with h5py.File(path, "w") as file:
        file["incident_energies"], file["showers"] = showers[:2]
    with pytest.raises(InputError, match="voxel 1 of shower 777"):
        open_loader(KEY, path, 64)
    with (
        open_loader(KEY, path, 64, **STREAMED) as loader,
        pytest.raises(InputError, match="voxel 1 of shower 777"),
    ):
        list(prefetch(loader, 0, 15))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 1004}, "from 1 to the 1003 showers there are, found 1004"),
        ({"batch_size": 0}, "from 1 to the 1003 showers there are, found 0"),
        ({"batch_size": 64, "start": 950}, "from 1 to the 53 showers there are, found 64"),
        ({"batch_size": 64, "n_processes": 3}, "a batch of 64 cannot be shared equally by 3"),
        ({"batch_size": 64, "n_processes": 2, "process_index": 2}, "from 0 to 1, found 2"),
        ({"batch_size": 8, "start": 9, "stop": 9}, "rows 9 to 9 are not a range of its 1003"),
        ({"batch_size": 8, "stop": 1004}, "rows 0 to 1004 are not a range of its 1003"),
        (
            {"batch_size": 8, "memory_limit_bytes": 100},
            "3 windows of 268435456 bytes do not fit into the 100 bytes",
        ),
    ],
)
def test_impossible_wishes(path, options, message):
    with pytest.raises(InputError, match=message):
        open_loader(KEY, path, **options)


def test_negative_step(path):
    with (
        open_loader(KEY, path, 64) as loader,
        pytest.raises(InputError, match="must be 0 or more, found -1"),
    ):
        loader.batch(-1)


def test_available_memory_is_within_the_machine():
    assert 2**20 < available_memory_bytes() < 2**50


def test_control_group_limits_memory(tmp_path, monkeypatch):
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "memory.max").write_text("5000\n")
    (tmp_path / "job" / "memory.current").write_text("2000\n")
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1\n")
    groups = tmp_path / "groups"
    groups.write_text("0::/job/step\n")
    monkeypatch.setattr("jaxcalo.data.memory._GROUPS", groups)
    monkeypatch.setattr("jaxcalo.data.memory._GROUP_ROOT", tmp_path)
    assert available_memory_bytes() == 3000


def test_default_loader_holds_a_small_file(path):
    with open_loader(KEY, path, 8) as loader:
        assert loader.n_rows == len(read_showers(path).incident_energy_mev)
        # the file is closed: nobody minds if it goes
        assert not any(thread.name.startswith("window") for thread in threading.enumerate())
