"""Parts of a sample joined: the whole to the bit, or one line that says what is wrong."""

import functools

import h5py
import jax
import numpy as np
import pytest

from jaxcalo.data import CloudWriter, Showers, ShowerWriter, read_four_lepton, write_four_lepton
from jaxcalo.data.merge import OUTSIDE, merge, part_facts, part_rows
from jaxcalo.data.toy_clouds import toy_clouds
from jaxcalo.data.toy_leptons import toy_leptons
from jaxcalo.errors import InputError

N, N_PARTS = 11, 4
CLOUDS = functools.cache(lambda: toy_clouds(jax.random.key(1), N))


def facts(shard, sample_id="a1", seed=3):
    return {"seed": seed, **part_facts(sample_id, N, shard)}


def write_showers(path, shard, **changes):
    """The voxels of a part, with a condition of two columns and one of whole numbers."""
    rows = np.asarray(part_rows(N, shard))
    voxels = np.sqrt(np.arange(6.0 * N, dtype=np.float32)).reshape(N, 6)[rows]
    further = np.stack([rows * 0.1, -rows * 0.1, rows], axis=1)
    attributes = facts(shard, **changes) | {OUTSIDE: int((rows % 2).sum())}
    conditions = {"impact_mm": 2, "pdg": 1}
    with ShowerWriter(path, 6, attributes, conditions, {"pdg"}) as writer:
        writer.append(Showers(rows + 1.0, voxels, further))
    return path


def write_clouds(path, shard):
    clouds, rows = CLOUDS(), part_rows(N, shard)
    with CloudWriter(path, int(clouds.n_points.max()), facts(shard) | {OUTSIDE: 0}) as writer:
        writer.append(clouds.rows(slice(rows.start, rows.stop)))
    return path


def parts_of(folder, write):
    return [write(folder / f"part_{i}", (i, N_PARTS)) for i in range(N_PARTS)]


def content(path):
    """Everything in an HDF5 file."""
    with h5py.File(path) as file:
        data = {name: (file[name].dtype, file[name].chunks, file[name][:]) for name in file}
        return data, {name: file.attrs[name] for name in file.attrs}


@pytest.mark.parametrize("write", [write_showers, write_clouds])
def test_merged_file_is_the_unsharded_one(write, tmp_path, monkeypatch):
    monkeypatch.setattr("jaxcalo.data.merge._PIECE_BYTES", 50)  # pieces of one or two rows
    whole = write(tmp_path / "whole", (0, 1))
    assert merge(tmp_path / "out", parts_of(tmp_path, write)[::-1]) == N
    (expected, attributes), (found, said) = content(whole), content(tmp_path / "out")
    assert attributes == said
    assert expected.keys() == found.keys()
    for name, (dtype, chunks, rows) in expected.items():
        assert found[name][:2] == (dtype, chunks)
        np.testing.assert_array_equal(found[name][2], rows)


def test_merged_events_are_the_unsharded_ones(tmp_path):
    events = toy_leptons(jax.random.key(2), N)
    write_four_lepton(tmp_path / "whole.csv", events)

    def write(path, shard):
        rows = part_rows(N, shard)
        write_four_lepton(path, events.rows(slice(rows.start, rows.stop)), facts(shard))
        return path

    parts = parts_of(tmp_path, write)
    np.testing.assert_array_equal(read_four_lepton(parts[0]).pdg, events.pdg[:2])
    assert merge(tmp_path / "out.csv", parts) == N
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    text = parts[1].read_text().splitlines(keepends=True)
    parts[1].write_text("".join(text[:1] + text[2:]))
    refused(tmp_path, parts, "part_1: expected 3 events of part 1/4, found 2", "--shard 1/4")
    parts[1].write_text("".join(text[:-1]))
    refused(tmp_path, parts, "part_1: expected a part made by jaxcalo sample --shard I/N")


def refused(folder, parts, *words):
    """Merging says all of the words, in one line, and leaves nothing."""
    before = sorted(folder.iterdir())
    with pytest.raises(InputError) as caught:
        merge(folder / "new", parts)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)
    assert sorted(folder.iterdir()) == before


def test_bad_parts_are_refused(tmp_path):
    parts = parts_of(tmp_path, write_showers)
    refused(tmp_path, parts[:1], "all 4 parts", "found 1; missing: 1-3 of 0-3")
    refused(tmp_path, [parts[0], parts[2]], "missing: 1,3 of 0-3")
    refused(tmp_path, [*parts, parts[2]], "part 2/4: expected once", "part_2 and in")
    foreign = write_showers(tmp_path / "seed", (3, N_PARTS), seed=4, sample_id="a2")
    refused(tmp_path, [*parts[:3], foreign], "seed: expected", "part_0", "(seed 3 -> 4)")
    foreign = write_showers(tmp_path / "run", (3, N_PARTS), sample_id="a2")
    refused(tmp_path, [*parts[:3], foreign], "another run, way of sampling, or conditions")
    foreign = write_showers(tmp_path / "third", (2, 3))
    refused(tmp_path, [*parts[:3], foreign], "(number of parts 4 -> 3)")
    with ShowerWriter(tmp_path / "plain", 6) as writer:
        writer.append(Showers(np.ones(1), np.ones((1, 6))))
    refused(tmp_path, [tmp_path / "plain"], "plain: expected a part made by jaxcalo sample")
    refused(tmp_path, [tmp_path / "none"], "none")
    with pytest.raises(InputError, match="another file than the parts"):
        merge(parts[0], parts)
    whole = parts[1].read_bytes()
    parts[1].write_bytes(whole[: len(whole) // 2])
    refused(tmp_path, parts, "part_1", "damaged or cut short")
