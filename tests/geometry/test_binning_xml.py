"""Geometry files: round trip, the official dialect, and every way to be wrong."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxcalo.errors import InputError
from jaxcalo.geometry import (
    GEOMETRIES,
    CartesianLayer,
    Detector,
    PolarLayer,
    load_geometry,
    read_binning,
    write_binning,
)

OFFICIAL = """<Bins>
   <Bin pid="22" etaMin="0" etaMax="130" name="photon">
      <Layer id="0"  r_edges="0,5,10,30" n_bin_alpha="1" />
      <Layer id="1" r_edges="0, 2,4.5" n_bin_alpha="10"/>
      <Layer id="2"  r_edges="0" n_bin_alpha="1" />
   </Bin>
   <Bin pid="211" name="pion"><Layer id="0" r_edges="0,1" n_bin_alpha="3"/></Bin>
</Bins>
"""

edges = st.lists(st.floats(0, 1e4, allow_nan=False), min_size=2, max_size=6, unique=True).map(
    lambda found: tuple(sorted(abs(edge) for edge in found))
)
shifted = edges.map(lambda found: tuple(edge - 1e3 for edge in found)).filter(
    lambda found: len(set(found)) == len(found)
)
text = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), max_size=8)


@st.composite
def detectors(draw):
    n_layers = draw(st.integers(1, 4))
    layers = [
        draw(
            st.one_of(
                st.builds(PolarLayer, st.just(id_), edges, st.integers(1, 20)),
                st.builds(PolarLayer, st.just(id_), st.just((0.0,)), st.just(1)),
                st.builds(CartesianLayer, st.just(id_), shifted, shifted),
            )
        )
        for id_ in range(n_layers)
    ]
    layers.append(PolarLayer(99, (0.0, 0.1), 3))
    threshold = draw(st.floats(0, 10))
    return Detector(draw(text), draw(text), draw(st.integers(-999, 999)), tuple(layers), threshold)


@settings(max_examples=50, deadline=None)
@given(detector=detectors())
def test_written_geometry_reads_back_equal(tmp_path_factory, detector):
    path = tmp_path_factory.mktemp("xml") / "geometry.xml"
    write_binning(path, detector)
    assert read_binning(path) == detector
    assert [file.name for file in path.parent.iterdir()] == ["geometry.xml"]


def test_official_file_with_two_particles(tmp_path):
    path = tmp_path / "binning_dataset.xml"
    path.write_text(OFFICIAL)
    photon = read_binning(path, "photon")
    assert photon == Detector(
        "binning_dataset",
        "photon",
        22,
        (
            PolarLayer(0, (0, 5, 10, 30), 1),
            PolarLayer(1, (0, 2, 4.5), 10),
            PolarLayer(2, (0,), 1),
        ),
    )
    assert photon.n_voxels == 3 + 20
    assert read_binning(path, "pion").n_voxels == 3
    with pytest.raises(InputError, match=r"2 Bin elements to choose from \(photon, pion\)"):
        read_binning(path)
    with pytest.raises(InputError, match="no particle 'muon'; choose one of photon, pion"):
        read_binning(path, "muon")


def bin_with(layer: str, attributes: str = 'pid="11" name="electron"') -> str:
    return f"<Bins><Bin {attributes}>{layer}</Bin></Bins>"


GOOD_LAYER = '<Layer id="0" r_edges="0,1" n_bin_alpha="1"/>'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not well-formed XML"),
        ("<Bins><Bin>", "not well-formed XML"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><Bins/>', "DOCTYPE, which is not read; remove it"),
        ("<Bins></Bins>", "expected <Bins> with <Bin> inside, found <Bins>"),
        ("<html><Bin/></html>", "expected <Bins> with <Bin> inside, found <html>"),
        (bin_with(""), "no layer with voxels"),
        (bin_with(GOOD_LAYER, 'pid="11"'), "Bin lacks the attribute 'name'"),
        (bin_with(GOOD_LAYER, 'name="e"'), "Bin lacks the attribute 'pid'"),
        (bin_with(GOOD_LAYER, 'name="e" pid="x"'), "pid must be a whole number, found 'x'"),
        (
            bin_with(GOOD_LAYER, 'name="e" pid="1" threshold_mev="low"'),
            "threshold_mev must be a number, found 'low'",
        ),
        (bin_with('<Layer r_edges="0,1" n_bin_alpha="1"/>'), "Layer lacks the attribute 'id'"),
        (bin_with('<Layer id="3" r_edges="0,1"/>'), "Layer 3 lacks the attribute 'n_bin_alpha'"),
        (bin_with('<Layer id="3" n_bin_alpha="1"/>'), "Layer 3 lacks the attribute 'r_edges'"),
        (bin_with('<Layer id="3" x_edges="0,1"/>'), "Layer 3 lacks the attribute 'y_edges'"),
        (
            bin_with('<Layer id="3" r_edges="0,1;2" n_bin_alpha="1"/>'),
            "Layer 3: r_edges must be numbers in mm separated by commas, found '0,1;2'",
        ),
        (bin_with('<Layer id="3" r_edges="" n_bin_alpha="1"/>'), "r_edges must be numbers"),
        (bin_with('<Layer id="3" r_edges="0,nan" n_bin_alpha="1"/>'), "must be finite"),
        (bin_with('<Layer id="3" r_edges="0,2,1" n_bin_alpha="1"/>'), "layer 3: .* must increase"),
        (bin_with('<Layer id="3" r_edges="0,2" n_bin_alpha="0"/>'), "layer 3: .* at least 1"),
        (
            bin_with('<Layer id="3" r_edges="0,2" n_bin_alpha="1.5"/>'),
            "n_bin_alpha must be a whole",
        ),
        (bin_with(GOOD_LAYER * 2), "layer id 0 appears twice"),
    ],
)
def test_bad_file_is_one_line_that_names_it(tmp_path, content, message):
    path = tmp_path / "bad.xml"
    path.write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        read_binning(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def matrix_file(path, x_edges):
    path.write_text(bin_with(f'<Layer id="3" x_edges="{x_edges}" y_edges="0,1"/>'))
    return path


def test_equal_bins_in_short(tmp_path):
    path = matrix_file(tmp_path / "matrix.xml", "-0.3: 0.7:10")
    (layer,) = read_binning(path).layers
    # the edges are those that a list would have, to the last bit at both ends
    assert layer.x_edges_mm == pytest.approx([-0.3 + 0.1 * i for i in range(11)])
    assert (layer.x_edges_mm[0], layer.x_edges_mm[-1]) == (-0.3, 0.7)
    write_binning(path, read_binning(path))
    assert read_binning(path).layers == (layer,)
    assert 'x_edges="-0.3:0.7:10"' in path.read_text()
    assert 'y_edges="0,1"' in path.read_text()
    # edges that are equal but for rounding stay as they are
    uneven = (*layer.x_edges_mm[:4], 0.1000001, *layer.x_edges_mm[5:])
    write_binning(path, Detector("d", "p", 0, (CartesianLayer(0, uneven, (0.0, 1.0)),)))
    assert read_binning(path).layers[0].x_edges_mm == uneven


@pytest.mark.parametrize("edges", ["0:1", "0:1:2:3", "0:x:2", "0:1:0", "0:1:1.5", "0:1:9999999"])
def test_equal_bins_that_are_none(tmp_path, edges):
    message = f"Layer 3: x_edges must be start:stop:bins.* 1 to 100000 bins, found '{edges}'"
    with pytest.raises(InputError, match=message):
        read_binning(matrix_file(tmp_path / "matrix.xml", edges))
    with pytest.raises(InputError, match="layer 3: x_edges must increase"):
        read_binning(matrix_file(tmp_path / "matrix.xml", "1:0:2"))


def test_unreadable_files(tmp_path):
    with pytest.raises(InputError, match=r"cannot read the geometry file .*No such file"):
        read_binning(tmp_path / "none.xml")
    with pytest.raises(InputError, match=r"cannot read the geometry file .*directory"):
        read_binning(tmp_path)
    binary = tmp_path / "binary.xml"
    binary.write_bytes(b"\x89HDF\r\n\xff\xfe")
    with pytest.raises(InputError, match="not XML text in UTF-8"):
        read_binning(binary)


def test_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "geometry.xml"
    path.write_text("old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(InputError, match=r"cannot write the geometry file .*No space left"):
        write_binning(path, load_geometry("ds2"))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_load_geometry_by_name_or_path(tmp_path):
    path = tmp_path / "mine.xml"
    write_binning(path, load_geometry("ds2"))
    assert load_geometry(path) == load_geometry(str(path)) == load_geometry("ds2")
    with pytest.raises(InputError, match=f"no geometry 'ds4': expected {', '.join(GEOMETRIES)}"):
        load_geometry("ds4")
