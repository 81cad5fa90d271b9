"""`jaxcalo worth`: copies of the training events are worth the training events."""

import json

import jax
import numpy as np
import pytest
from command_line import assert_one_line, run

from jaxcalo.data import Showers, ShowerWriter, write_four_lepton
from jaxcalo.data.toy_leptons import toy_leptons

N_TRAINING = 100


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Truth, training events, and two samples: those again and again, and as many true ones."""
    folder, events = tmp_path_factory.mktemp("worth"), toy_leptons(jax.random.key(1), 5000)
    rows = {
        "truth": np.arange(3000),
        "training": np.arange(3000, 3000 + N_TRAINING),
        "copies": 3000 + np.arange(1500) % N_TRAINING,
        "perfect": np.arange(3500, 5000),
    }
    for name, chosen in rows.items():
        write_four_lepton(folder / f"{name}.csv", events.rows(chosen))
    return {name: folder / f"{name}.csv" for name in rows}


def test_copies_are_worth_the_training_events_and_true_events_more(files, tmp_path, capsys):
    out = tmp_path / "out"
    samples = (f"{name}={files[name]}" for name in ("copies", "perfect"))
    options = ("--training", files["training"], "--truth", files["truth"], "--out", out)
    assert run("worth", *samples, *options) == 0
    record = json.loads((out / "report.json").read_text())
    assert record["observables"] == ["mass of the four leptons", "p_T of the four leptons"]
    assert (record["n_truth"], record["n_quantiles"]) == (3000, [10, 10])
    copies, perfect = (record["samples"][name] for name in ("copies", "perfect"))
    assert [w["n_generated"] for w in copies][::6] == [100, 1500]
    assert len(copies) == 7
    limit = copies[-1]["inverse"]["limit"]
    assert limit["value"] == pytest.approx(1 / N_TRAINING, abs=3 * limit["error"])
    own = copies[-1]["inverse"]["training"]  # the same fractions, of which each is counted 15 times
    assert own["value"] == pytest.approx(limit["value"] + 1 / 1500)
    whole = perfect[-1]["inverse"]["sample"]
    assert whole["value"] == pytest.approx(1 / 1500, abs=3 * whole["error"])
    assert perfect[-1]["at_least"]["limit"] > 5 * N_TRAINING
    shown = capsys.readouterr().out
    assert "training events" in shown
    assert ">= " in shown  # infinitely many true events are worth more than can be seen
    assert "10 x 10 cells" in shown
    assert (out / "pictures" / "worth.png").stat().st_size > 0
    assert "amplification" in (out / "report.html").read_text()


def test_showers_are_compared_by_energy_hits_and_depth(tmp_path):
    draws, n_voxels = np.random.default_rng(0), 720  # of par04_lite
    hit = draws.random((600, n_voxels)) < 0.02 + 0.04 * draws.random((600, 1))
    mev = np.where(hit, draws.lognormal(1, 1, (600, n_voxels)), 0).astype(np.float32)
    names = {"truth": mev[:400], "training": mev[400:440], "made": mev[400:440].repeat(4, axis=0)}
    for name, voxels in names.items():
        with ShowerWriter(tmp_path / f"{name}.h5", n_voxels) as writer:
            writer.append(Showers(np.full(len(voxels), 1e3, np.float32), voxels))
    paths = {name: tmp_path / f"{name}.h5" for name in names}
    options = ("--training", paths["training"], "--truth", paths["truth"], "--out", tmp_path / "x")
    assert run("worth", f"made={paths['made']}", *options, "--geometry", "par04_lite") == 0
    record = json.loads((tmp_path / "x" / "report.json").read_text())
    assert record["n_quantiles"] == [2, 2, 2]
    assert record["observables"][1] == "number of hits"
    inverse = record["samples"]["made"][-1]["inverse"]
    assert inverse["limit"]["value"] == pytest.approx(inverse["training"]["value"] - 1 / 160)


def test_bad_input_gets_one_line(files, tmp_path, capsys):
    options = ("--training", files["training"], "--truth", files["truth"], "--out", tmp_path / "x")
    code = run("worth", files["copies"], *options)
    assert_one_line(capsys, code, "NAME=FILE", "copies.csv")
    code = run("worth", f"a={files['copies']}", f"a={files['perfect']}", *options)
    assert_one_line(capsys, code, "a name of its own")
    shower = tmp_path / "a.h5"
    code = run("worth", f"a={shower}", "--training", shower, "--truth", shower)
    assert_one_line(capsys, code, "--geometry")
    assert not (tmp_path / "x").exists()
