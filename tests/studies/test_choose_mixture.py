"""The choice of a mixture: every form is fitted to the training half and judged on the other."""

import json
import math
import runpy
import sys
from pathlib import Path

import jax
import pytest

from jaxcalo.data import write_four_lepton
from jaxcalo.data.toy_leptons import toy_leptons

SCRIPT = Path(__file__).parents[2] / "experiments" / "studies" / "choose_mixture.py"


@pytest.mark.slow
def test_all_candidates_are_fitted_and_the_best_is_named(tmp_path, monkeypatch, capsys):
    study = runpy.run_path(str(SCRIPT))
    assert study["FORMS"] == ("full", "tied", "diagonal", "spherical")
    data, out = tmp_path / "events.csv", tmp_path / "choice.json"
    write_four_lepton(data, toy_leptons(jax.random.key(0), 400))
    arguments = [data, "--gaussians", 1, "--out", out]
    monkeypatch.setattr(sys, "argv", ["choose_mixture", *map(str, arguments)])
    study["main"]()
    record = json.loads(out.read_text())
    assert (record["n_training"], record["n_held_out"]) == (200, 200)
    fits = record["fits"]
    assert [fit["covariance"] for fit in fits] == list(study["FORMS"])
    for fit in fits:
        expected = fit["n_parameters"] * math.log(200) - 400 * fit["log_density_training"]
        assert fit["bic"] == pytest.approx(expected)
        assert fit["log_density_held_out"] < fit["log_density_training"] + 1
    assert record["best"]["bic"]["bic"] == min(fit["bic"] for fit in fits)
    # one Gaussian is the same, tied or not; fewer numbers fit worse
    assert fits[0]["bic"] == pytest.approx(fits[1]["bic"], rel=1e-3)
    densities = [fit["log_density_training"] for fit in fits[1:]]
    assert densities == sorted(densities, reverse=True)
    assert "best by held_out: " in capsys.readouterr().out
