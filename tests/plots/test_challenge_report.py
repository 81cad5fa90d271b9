"""challenge.md and the terminal's table from numbers made by hand."""

import math

import pytest

from jaxcalo.geometry import load_geometry
from jaxcalo.metrics import Estimate
from jaxcalo.metrics.challenge import SEPARATIONS
from jaxcalo.plots.challenge import (
    ChallengeResult,
    estimate_text,
    number,
    terminal_table,
    verdicts,
)
from jaxcalo.plots.challenge_report import to_markdown

PRDC = ("precision", "recall", "density", "coverage")


def row(auc_low, auc_high, fpd, **more):
    return {
        **{name: Estimate(0.002, 0.0005, 500) for name in SEPARATIONS},
        "correlation": Estimate(0.2, 0.1, 500),
        "auc_low": Estimate(auc_low, 0.01, 100),
        "auc_high": Estimate(auc_high, 0.01, 100),
        "fpd": Estimate(fpd, 0.001, 500),
        "fpd_excess": Estimate(fpd - 0.001, 0.001, 250),
        "kpd": Estimate(0.0001, 0.0004, 500),
        **{name: Estimate(0.5, math.nan, 500) for name in PRDC},
        **more,
    }


def result(dataset="2", posterior=None, **more):
    rows = {"a|b.h5": row(0.55, 0.53, 0.0012, **more), "bad.h5": row(0.999, 0.97, 0.3, **more)}
    not_measured = ("auc_low", "fpd_excess", "fpd_published")
    floor = {key: e for key, e in row(0.5, 0.5, 0.001, **more).items() if key not in not_measured}
    return ChallengeResult(
        detector=load_geometry("ds2"),
        dataset=dataset,
        reference=("ref.h5", 1000),
        generated={"a|b.h5": 500, "bad.h5": 500},
        rows=rows,
        floors={"a|b.h5": floor, "bad.h5": floor},
        log_posterior=posterior,
        differences=("One thing differs.",),
        version="9.9",
    )


def names_of(board):
    lines = [line for line in board.splitlines() if line.startswith("| ")][2:]
    return [line.replace("\\|", "/").split("|")[1].strip() for line in lines]


def test_rows_stand_in_the_order_of_the_low_level_auc():
    text = to_markdown(result())
    names = names_of(text.partition("## Leaderboard")[2].partition("## ")[0])
    assert len(names) == 18 + 2 + 1
    assert names[0] == "Geant4 (published)"
    # published: CaloDREAM 0.5308, CaloDiffusion 0.5766; the worst, Calo-VQ, has 0.9858
    assert names[2:5] == ["CaloDREAM", "**a/b.h5**", "CaloDiffusion"]
    assert names[-2:] == ["Calo-VQ", "**bad.h5**"]
    # the excess of the Frechet distance, not its extrapolation; the floor has none over itself
    assert "| **bad.h5** | 0.9990 ± 0.0100 | 0.9700 ± 0.0100 | - | 299.0 ± 1.0 |" in text
    floor = "Geant4 (halves of the reference, 500 showers)"
    assert f"| {floor} | - | 0.5000 ± 0.0100 | - | 0 | 0.10 ± 0.40 |" in text
    assert "| fpd x 10^3 | 1.2 ± 1.0 | 300.0 ± 1.0 | 1.0 ± 1.0 |" in text
    assert "| CaloDREAM | 0.5308 ± 0.0032 | 0.5208 | 0.6812 | 24.6 | 0.0231 |" in text
    assert "* One thing differs." in text
    assert "jaxcalo 9.9" in text


def test_the_published_distance_is_preferred_in_the_leaderboard():
    text = to_markdown(result(fpd_published=Estimate(0.0123, 0.0002, 500)))
    assert "| **bad.h5** | 0.9990 ± 0.0100 | 0.9700 ± 0.0100 | - | 12.30 ± 0.20 |" in text
    assert "(halves of the reference, 500 showers) | - | 0.5000 ± 0.0100 | - | 1.0 ± 1.0 |" in text


def test_the_excess_noise_is_explained_where_it_is_measured():
    text = to_markdown(result(layer_noise=Estimate(9e-4, 3e-4, 500)))
    line = "| excess noise of layer energies, tau^2 in %^2 | 9.0 ± 3.0 | 9.0 ± 3.0 | NO |"
    assert text.count(line) == 2
    assert "| layer_noise [%^2] | 9.0 ± 3.0 | 9.0 ± 3.0 | 9.0 ± 3.0 |" in text
    assert "tau^2, is ours and not one of the challenge's numbers" in text
    assert "tau^2" not in to_markdown(result())


def test_every_row_is_judged_against_its_floor():
    good, bad = verdicts(result())
    assert good.startswith("a|b.h5: 4 of 6 distances agree")
    # 0.55 +- 0.01 against 1/2; 0.53 +- 0.01 against 0.50 +- 0.01: 2.1 errors
    assert "AUC, voxels = 0.5500 ± 0.0100 (floor 1/2, its expectation)" in good
    assert bad.startswith("bad.h5: 3 of 6 distances agree")
    assert "x 10^3 = 299.0 ± 1.0 (floor 0, its expectation)" in bad
    text = to_markdown(result())
    assert "| AUC, high-level features | 0.9700 ± 0.0100 | 0.5000 ± 0.0100 | NO |" in text
    assert "| KPD x 10^3 | 0.10 ± 0.40 | 0.10 ± 0.40 | yes |" in text


def test_energies_and_the_log_posterior_are_shown_where_there_are_some():
    posterior = {"a|b.h5": Estimate(-0.2, 0.01, 9), "bad.h5": Estimate(-3.0, 0.1, 9)}
    energies = {"e_ratio@256": Estimate(0.004, 0.001, 30)}
    text = to_markdown(result("1-pions", posterior, **energies))
    assert "| 256 | 4.0 ± 1.0 | 4.0 ± 1.0 | 4.0 ± 1.0 |" in text
    assert "-3.0000 ± 0.1000" in text
    assert "not comparable" in text
    assert "above 1/2 because the two files" in text
    assert "AUC ResNet" not in text.partition("## Leaderboard")[2].partition("## ")[0]
    plain = to_markdown(result())
    for words in ("at each energy", "log posterior of the bold", "different productions"):
        assert words not in plain


def test_without_a_data_set_there_are_only_the_measured_rows():
    text = to_markdown(result(None))
    assert text.startswith("# Generated showers against Geant4")
    assert "CaloDREAM" not in text
    assert len(terminal_table(result(None)).splitlines()) == 1 + 3


def test_the_terminal_shows_the_best_published_rows():
    lines = terminal_table(result()).splitlines()
    assert [line[:2] for line in lines].count("> ") == 2
    shown = "\n".join(lines)
    for model in ("Geant4 (published)", "Geant4 (halves of the reference, 500 showers)",
                  "CaloDREAM", "CaloDiffusion", "CaloScore", "SuperCalo",
                  "conv. L2LFlows"):  # fmt: skip
        assert model in shown
    assert "CaloINN" not in shown
    own = {line.split()[1]: line.split()[8] for line in lines if ".h5" in line}  # after two AUCs
    assert own == {"a|b.h5": "0.2", "bad.h5": "299.0"}
    assert len({len(line) for line in lines if "±" in line}) == 1  # aligned


@pytest.mark.parametrize(
    ("name", "estimate", "text"),
    [
        ("auc_low", Estimate(0.50123, 0.00904, 9), "0.5012 ± 0.0090"),
        ("fpd", Estimate(0.01234, 0.00056, 9), "12.34 ± 0.56"),
        ("fpd", Estimate(0.3, 0.058, 9), "300 ± 58"),
        ("kpd", Estimate(-0.0000276, 0.0000021, 9), "-0.0276 ± 0.0021"),
        ("recall", Estimate(0.23456, math.nan, 9), "0.235"),
        ("e_ratio@256", Estimate(0.004, 0.001, 9), "4.0 ± 1.0"),
        ("fpd", Estimate(0.0, 0.0, 9), "0.000 ± 0.000"),
    ],
)
def test_numbers_have_as_many_digits_as_their_error(name, estimate, text):
    assert estimate_text(name, estimate) == text


def test_published_numbers_have_no_exponent():
    found = [number(x) for x in (22950, 1690, 612, 13.1, 0.0278, 0.00072, -0.0091, None)]
    assert found == ["22950", "1690", "612", "13.1", "0.0278", "0.000720", "-0.00910", "-"]
