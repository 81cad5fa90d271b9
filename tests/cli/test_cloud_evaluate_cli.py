"""`jaxcalo evaluate` of point clouds, and what it says of files that do not fit."""

import json

import jax
import numpy as np
import pytest
from command_line import assert_one_line, run

from jaxcalo.data import Clouds, CloudWriter, Showers, ShowerWriter
from jaxcalo.data.toy import toy_showers
from jaxcalo.data.toy_clouds import toy_clouds
from jaxcalo.geometry import CartesianLayer, Detector, load_geometry, project_voxels, write_binning

EDGES = tuple(np.linspace(-100.0, 100.0, 41).tolist())
STACK = Detector(
    "stack", "photon", 22, tuple(CartesianLayer(i, EDGES, EDGES) for i in range(6)), 0.1
)


def cloud_file(path, clouds):
    with CloudWriter(path, int(clouds.n_points.max())) as writer:
        writer.append(clouds)
    return path


def shower_file(path, showers):
    with ShowerWriter(path, showers.voxel_energy_mev.shape[1]) as writer:
        writer.append(showers)
    return path


@pytest.fixture(scope="module")
def clouds():
    return [toy_clouds(jax.random.key(i), 60, n_layers=6) for i in range(2)]


@pytest.fixture(scope="module")
def files(tmp_path_factory, clouds):
    folder = tmp_path_factory.mktemp("clouds")
    write_binning(folder / "stack.xml", STACK)
    first, second = clouds
    dense = project_voxels(second.points, second.shower, STACK, 60)
    return {
        "geometry": folder / "stack.xml",
        "ref": cloud_file(folder / "ref.h5", first),
        "gen": cloud_file(folder / "gen.h5", second),
        "voxels": shower_file(folder / "voxels.h5", Showers(second.incident_energy_mev, dense)),
    }


def call(files, generated, out, reference=None, geometry=None, **options):
    return run(
        "evaluate", "--reference", reference or files["ref"], "--generated", generated,
        "--geometry", geometry or files["geometry"], "--out", out,
        *(part for name, value in options.items() for part in (f"--{name}", value)),
    )  # fmt: skip


def observables(folder):
    return json.loads((folder / "report.json").read_text())["observables"]


@pytest.fixture(scope="module")
def report(files, tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jaxcalo.plots.report.to_png", lambda figure: b"drawn")
        assert call(files, files["gen"], out, threshold=0.1) == 0
    return out


def test_two_cloud_files_get_the_whole_report(report, files):
    numbers = json.loads((report / "report.json").read_text())
    assert numbers["n_showers"] == {"reference": 60, "generated": 60}
    assert numbers["geometry"]["n_voxels"] == 6 * 1600
    assert numbers["files"]["generated"] == str(files["gen"])
    pictures = {path.stem for path in (report / "pictures").iterdir()}
    wanted = "clouds average_front average_side profiles cell_energies layers correlations"
    assert set(wanted.split()) <= pictures
    assert "pictures/clouds.png" in (report / "report.md").read_text()
    near = [s["w1"]["value"] < 0.6 for s in numbers["observables"].values()]
    assert all(near), numbers["observables"]


def test_clouds_against_the_voxels_of_the_same_showers_are_the_same(
    files, report, tmp_path, monkeypatch, clouds
):
    shown = []

    def draw(*arguments):
        shown.extend(arguments[-1])
        return []

    monkeypatch.setattr("jaxcalo.plots.report.draw_pictures", draw)
    assert call(files, files["voxels"], tmp_path, threshold=0.1) == 0
    for name, score in observables(tmp_path).items():
        expected = observables(report)[name]["w1"]["value"]
        assert score["w1"]["value"] == pytest.approx(expected, rel=1e-4), name
    first, second = shown
    assert first.n_showers == second.n_showers == 3
    assert np.isin(second.incident_energy_mev, clouds[1].incident_energy_mev).all()
    assert np.isin(second.points[:, 0], np.arange(-97.5, 100, 5)).all()  # of cells


def test_the_threshold_is_that_of_a_cell(files, tmp_path, clouds, monkeypatch):
    monkeypatch.setattr("jaxcalo.plots.report.draw_pictures", lambda *_: [])
    halved = [clouds[1].points * np.float32([1, 1, 1, 0.5])] * 2
    points = np.concatenate(halved, axis=1).reshape(-1, 4)
    split = cloud_file(
        tmp_path / "split.h5", Clouds(clouds[1].incident_energy_mev, points, 2 * clouds[1].n_points)
    )
    # every point in two halves of one cell: nothing changes
    assert call(files, split, tmp_path / "a", reference=files["gen"], threshold=0.6) == 0
    assert all(s["w1"]["value"] < 1e-4 for s in observables(tmp_path / "a").values())


def test_files_that_do_not_fit_are_one_line(files, tmp_path, capsys, clouds):
    first = clouds[0]
    deep, away = first.points.copy(), first.points.copy()
    deep[first.shower == 3, 2] += 3
    away[:, 0] += 5000
    ds1 = load_geometry("ds1-photons")
    bad = {
        "deep.h5": (cloud_file(tmp_path / "deep.h5", first._replace(points=deep)),
                    ["shower 3", "expected layers 0 to 5"]),
        "away.h5": (cloud_file(tmp_path / "away.h5", first._replace(points=away)),
                    ["0 % of the energy lies inside", "units and origin"]),
        "few.h5": (cloud_file(tmp_path / "few.h5", first.rows(slice(0, 12))),
                   ["at least 20 showers, found 12"]),
        "ds1.h5": (shower_file(tmp_path / "ds1.h5", toy_showers(jax.random.key(0), ds1, 30)),
                   [str(ds1.n_voxels), "9600"]),
    }  # fmt: skip
    (tmp_path / "cut.h5").write_bytes(files["gen"].read_bytes()[:3000])
    bad["cut.h5"] = (tmp_path / "cut.h5", ["damaged or cut short"])
    for name, (path, parts) in bad.items():
        assert_one_line(capsys, call(files, path, tmp_path / "x"), name, *parts)
    code = call(files, files["gen"], tmp_path / "x", reference=bad["deep.h5"][0])
    assert_one_line(capsys, code, "deep.h5", "expected layers 0 to 5")
    code = call(files, files["gen"], tmp_path / "x", geometry="ds2")
    assert_one_line(capsys, code, "ds2", "polar layers")
    assert not (tmp_path / "x").exists()
