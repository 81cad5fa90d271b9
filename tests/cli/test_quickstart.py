"""README's first command: the main job, whole and at full size."""

import json
import time

import pytest
from command_line import run


@pytest.mark.slow
def test_quickstart_is_as_good_as_promised(tmp_path, capsys):
    assert run("quickstart", "--out", tmp_path) == 0
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    w1 = {name: score["w1"]["value"] for name, score in report["observables"].items()}
    assert w1.pop("e_cell") <= 0.30
    assert max(w1.values()) <= 0.20
    assert (tmp_path / "report" / "report.html").stat().st_size > 100_000
    assert "report.html" in capsys.readouterr().out
    start = time.monotonic()
    assert run("quickstart", "--out", tmp_path) == 0
    assert time.monotonic() - start < 60
