"""`jaxcalo inspect` of files of point clouds."""

import h5py
import numpy as np
from command_line import assert_one_line, run

from jaxcalo.data import Clouds, CloudWriter


def lines_of(capsys):
    first, *others = capsys.readouterr().out.splitlines()
    return first, {line[2:25].strip(): line[26:] for line in others}


def test_inspect_says_what_is_in_the_clouds(tmp_path, capsys):
    path = tmp_path / "clouds.h5"
    points = np.ones((300, 4), np.float32)
    points[:, 2] = np.arange(300) % 5
    points[0] = -3.75, 8.75, 29, 0.0625
    with CloudWriter(path, 400, {"particle": "photon"}) as writer:
        writer.append(Clouds(np.float32([1e4, 2e4]), points, np.int32([60, 240])))
    assert run("inspect", path, "--geometry", "ild_ecal") == 0
    first, found = lines_of(capsys)
    assert "2 point clouds, CaloClouds layout" in first
    assert found["incident energy"] == "10 to 20 GeV"
    # 59.0625 of 10 000 MeV and 240 of 20 000 MeV
    assert found["E_vis / E_inc"] == "0.0090 (standard deviation 0.0030)"
    assert found["points per shower"] == "60 to 240, mean 150.0"
    assert found["layers"] == "0 to 29"
    assert found["box"] == "x -3.75 to 1 mm, y 1 to 8.75 mm"
    assert found["smallest point energy"] == "0.0625 MeV"
    # five cells a shower; that of 0.0625 MeV is below the threshold
    assert found["cells of ild_ecal"] == "5.0 per shower, 99.98 % of E_vis"
    assert found["padding in the file"] == "62.5 % of 400 rows a shower"
    assert found["padding in batches"] == "6.2 % in buckets of 64, 256"
    assert found["particle"] == "photon"


def test_inspect_reads_the_layout_of_caloclouds_3(tmp_path, capsys):
    path = tmp_path / "clouds.h5"
    with h5py.File(path, "w") as file:
        file["energy"] = np.full((3, 1), 10.0)
        file["events"] = np.zeros((3, 70, 4))
    assert run("inspect", path) == 0
    first, found = lines_of(capsys)
    assert "3 point clouds, CaloClouds 3 layout" in first
    assert found["points per shower"] == "0 to 0, mean 0.0"
    assert found["padding in batches"] == "100.0 % in buckets of 64"


def test_bad_clouds_are_one_line(tmp_path, capsys):
    path = tmp_path / "clouds.h5"
    with h5py.File(path, "w") as file:
        file["energy"] = np.ones((3, 1))
        file["events"] = np.full((3, 4, 7), -1.0)
    assert_one_line(capsys, run("inspect", path), str(path), "row 0 of shower 0 must be finite")
    with h5py.File(path, "w") as file:
        file["events"] = np.ones((3, 4, 7))
    assert_one_line(capsys, run("inspect", path), str(path), "lacks the data set 'energy'")
