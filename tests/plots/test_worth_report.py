"""The table of worth: numbers with errors, limits where only those are known."""

import json

import numpy as np
import pytest

from jaxcalo.metrics import Estimate, Worth
from jaxcalo.metrics.amplification import usual_quantiles
from jaxcalo.plots.worth_report import WorthResult, worth_notes, worth_table, write_worth


def inverse(n, relative):
    return Estimate(1 / n, relative / n, 1)


def result():
    seen = Worth(1000, 4000, 25, inverse(1600, 0.1), inverse(2500, 0.2), inverse(1000, 0.1))
    unseen = seen._replace(inverse_limit=Estimate(-1e-4, 1e-4, 1))
    small = seen._replace(n_generated=100)
    curves = {"flow": [small, seen], "<GAN>": [small, unseen]}
    return WorthResult(("mass", "p_T"), (5, 5), 9000, curves, "1.2")


def test_the_table_has_numbers_with_errors_and_limits():
    rows = worth_table(result()).rows
    assert rows[0] == ("training events", "1,000", "1,000 ± 100", "-", "-")
    assert rows[1] == ("flow", "4,000", "1,600 ± 160", "2,500 ± 500", "2.50 ± 0.50")
    assert rows[2][3:] == (">= 5,000", ">= 5.00")
    assert "5 x 5 cells" in worth_notes(result())[0]


def test_the_report_is_complete(tmp_path):
    page = write_worth(result(), tmp_path / "out")
    assert "&lt;GAN&gt;" in page.read_text(encoding="utf-8")
    record = json.loads((page.parent / "report.json").read_text())
    assert [w["n_generated"] for w in record["samples"]["flow"]] == [100, 4000]
    assert record["samples"]["<GAN>"][1]["events"]["limit"] is None
    markdown = (page.parent / "report.md").read_text(encoding="utf-8")
    assert "| flow | 4,000 | 1,600 ± 160 |" in markdown
    assert "(pictures/worth.png)" in markdown
    assert (page.parent / "pictures" / "worth.png").exists()


@pytest.mark.parametrize(("n", "d", "q"), [(10_000, 2, 10), (800, 3, 3), (2160, 3, 4), (30, 2, 2)])
def test_quantiles_leave_twenty_events_a_cell(n, d, q):
    assert usual_quantiles(n, d) == (q,) * d
    assert q in (2, 10) or n / np.prod([q] * d) >= 20 > n / (q + 1) ** d
