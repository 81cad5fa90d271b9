import json
import re
from html.parser import HTMLParser

import jax
import pytest

import jaxcalo.plots.report as report_module
from jaxcalo.data import Showers
from jaxcalo.data.toy import toy_showers
from jaxcalo.geometry import CartesianLayer, Detector, PolarLayer
from jaxcalo.metrics import OBSERVABLES, condense, evaluate, verdict
from jaxcalo.plots import write_report
from jaxcalo.plots.text import incident_warning, observable_table
from jaxcalo.whole_files import write_all

LABELS = ("Geant4", "a <fast> model")
CYLINDER = Detector(
    "cylinder", "electron", 11, tuple(PolarLayer(i, (0, 5, 10, 20), 4) for i in range(3)), 0.5
)
EDGES = (-33.0, -11.0, 11.0, 33.0)
CRYSTALS = Detector("crystals", "photon", 22, (CartesianLayer(0, EDGES, EDGES),), 0.5)


def _compare(detector, scale=1.0):
    a, b = (toy_showers(jax.random.key(seed), detector, 60) for seed in (0, 1))
    b = Showers(b.incident_energy_mev, b.voxel_energy_mev * scale)
    reference = condense([a], detector, source="test & co.h5")
    generated = condense([b], detector, source="samples.h5")
    return evaluate(reference, generated, detector), reference, generated


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "new"
    evaluation, reference, generated = _compare(CYLINDER)
    path = write_report(evaluation, reference, generated, CYLINDER, folder, LABELS)
    return evaluation, folder, path


def _pictures(folder):
    return {path.name for path in (folder / "pictures").iterdir()}


def test_json_holds_the_numbers_under_the_promised_names(report):
    evaluation, folder, path = report
    assert path == folder / "report.json"
    numbers = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert tuple(numbers["observables"]) == OBSERVABLES
    for name, score in evaluation.observables.items():
        found = numbers["observables"][name]
        assert found["w1"] == {"value": score.w1.value, "error": score.w1.error}
        assert found["floor"] == {"value": score.floor.value, "error": score.floor.error}


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.attributes, self.cells, self.open = [], [], []

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in {"meta", "img"}:
            self.open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "td":
            self.cells[-1] += data


def test_html_is_well_formed_and_needs_no_other_file(report):
    evaluation, folder, _ = report
    text = (folder / "report.html").read_text()
    page = _Page()
    page.feed(text.replace("<!doctype html>", ""))
    assert page.open == []
    sources = [value for _, name, value in page.attributes if name in {"src", "href"}]
    assert len(sources) == len(_pictures(folder))
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not re.search(r"https?://|file:|url\(|@import|<script|<link", text)
    assert "a &lt;fast&gt; model" in text
    assert "<fast>" not in text
    assert "test & co.h5" in page.cells
    for name, score in evaluation.observables.items():
        row = page.cells[page.cells.index(name) :][:4]
        assert row[1] == f"{score.w1.value:.4f} ± {score.w1.error:.4f}"
        assert row[2] == f"{score.floor.value:.4f} ± {score.floor.error:.4f}"
        assert row[3] == f"{score.w1.value / score.floor.value:.2f}"


def test_the_verdict_comes_first(report):
    evaluation, folder, _ = report
    markdown = (folder / "report.md").read_text()
    assert markdown.index(verdict(evaluation)) < markdown.index("|")
    page = (folder / "report.html").read_text()
    assert page.index(verdict(evaluation)) < page.index("<table>")


def test_markdown_links_to_pictures_that_exist(report):
    _, folder, _ = report
    links = re.findall(r"!\[[^]]*\]\(([^)]*)\)", (folder / "report.md").read_text())
    assert {folder / link for link in links} == set((folder / "pictures").iterdir())
    wanted = "energy layer_energies profiles response cell_energies hits layers centres widths"
    wanted += " correlations average_radius average_azimuth"
    assert _pictures(folder) == {f"{name}.png" for name in wanted.split()}
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in (folder / "pictures").iterdir())


def test_crystals_have_a_report_without_layers(tmp_path):
    evaluation, reference, generated = _compare(CRYSTALS)
    write_report(evaluation, reference, generated, CRYSTALS, tmp_path)
    assert "average_crystals.png" in _pictures(tmp_path)
    assert "layers.png" not in _pictures(tmp_path)
    row = next(r for r in observable_table(evaluation).rows if r[0] == "centre_z")
    assert row[1:4] == ("0.0000 ± 0.0000", "0.0000 ± 0.0000", "-")


def test_a_bad_sample_is_marked_in_the_table():
    evaluation, _, _ = _compare(CYLINDER, scale=3.0)
    table = observable_table(evaluation)
    marks = dict(zip(OBSERVABLES, table.agrees, strict=True))
    assert marks["e_ratio"] is False
    assert marks["centre_x"] is True  # a common factor moves no centre
    assert incident_warning(evaluation) is None


def test_different_incident_energies_are_said():
    a = toy_showers(jax.random.key(0), CYLINDER, 60)
    b = toy_showers(jax.random.key(1), CYLINDER, 60, energy_range_mev=(4e4, 5e4))
    evaluation = evaluate(condense([a], CYLINDER), condense([b], CYLINDER), CYLINDER)
    assert "incident energies of the two samples differ" in incident_warning(evaluation)


def test_an_error_while_drawing_leaves_the_old_report(tmp_path, monkeypatch):
    evaluation, reference, generated = _compare(CRYSTALS)
    monkeypatch.setattr(report_module, "to_png", lambda figure: b"drawn")
    write_report(evaluation, reference, generated, CRYSTALS, tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    def fail(figure):
        raise RuntimeError("no ink")

    monkeypatch.setattr(report_module, "to_png", fail)
    with pytest.raises(RuntimeError, match="no ink"):
        write_report(evaluation, reference, generated, CRYSTALS, tmp_path, ("x", "y"))
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_an_error_while_writing_leaves_the_old_files_and_no_others(tmp_path):
    write_all(tmp_path, {"a.txt": b"old a", "sub/b.txt": b"old b"})
    with pytest.raises(TypeError):
        write_all(tmp_path, {"a.txt": b"new a", "sub/b.txt": "not bytes", "c.txt": b"new c"})
    found = {str(p.relative_to(tmp_path)): p.read_bytes() for p in tmp_path.rglob("*.txt*")}
    assert found == {"a.txt": b"old a", "sub/b.txt": b"old b"}
    assert len([p for p in tmp_path.rglob("*") if p.is_file()]) == 2
    write_all(tmp_path, {"a.txt": b"new a"})
    assert (tmp_path / "a.txt").read_bytes() == b"new a"
