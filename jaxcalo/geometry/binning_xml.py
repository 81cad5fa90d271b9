"""Geometry files: the binning XML of the CaloChallenge, read and written.

<Bins><Bin pid="22" name="photon"><Layer id="0" r_edges="0,5,10" n_bin_alpha="1"/>...</Bin></Bins>

Edges are in mm; a layer with a single edge is not read out but keeps its id. Two additions that the
official readers ignore: Bin may carry `threshold_mev` and `detector` (the geometry's name), and a
Layer may be a crystal matrix, with `x_edges` and `y_edges` in place of `r_edges` and `n_bin_alpha`;
equal bins are written there as start:stop:bins, such as "-250:250:100".

Source: CaloChallenge, github.com/CaloChallenge/homepage, code/XMLHandler.py and code/*.xml.
"""

import os
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar
from xml.etree import ElementTree

from jaxcalo.errors import InputError
from jaxcalo.geometry.detector import CartesianLayer, Detector, PolarLayer

Number = TypeVar("Number", int, float)

# Chosen: more is a slip of the pen, and would only be noticed when the memory is full.
_MOST_BINS = 100_000


def read_binning(path: str | os.PathLike, particle: str | None = None) -> Detector:
    """Read a geometry file.

    Args:
        path: the XML file.
        particle: name of the Bin to take; None takes the only one.

    Returns:
        The detector, called as its `detector` attribute says, otherwise as the file.

    Raises:
        InputError: the file or the particle does not exist, or the content is not a geometry.
    """
    path = Path(path)
    root = _parse(path)
    try:
        bin_ = _choose_bin(root, particle)
        return Detector(
            name=bin_.get("detector", path.stem),
            particle=_attribute(bin_, "name"),
            pid=_number(bin_, "pid", int),
            layers=tuple(_read_layer(layer) for layer in bin_.findall("Layer")),
            threshold_mev=_number(bin_, "threshold_mev", float)
            if "threshold_mev" in bin_.attrib
            else 0.0,
        )
    except InputError as error:
        raise InputError(f"geometry file {path}: {error}") from error


def write_binning(path: str | os.PathLike, detector: Detector) -> None:
    """Write a geometry file that `read_binning` reads back as the same detector.

    The file appears complete or not at all: it is written beside its place and renamed.

    Args:
        path: where to write; an existing file is replaced.
        detector: the readout.

    Raises:
        InputError: the folder cannot be written to.
    """
    root = ElementTree.Element("Bins")
    bin_ = ElementTree.SubElement(
        root,
        "Bin",
        pid=str(detector.pid),
        name=detector.particle,
        detector=detector.name,
        threshold_mev=_text(detector.threshold_mev),
    )
    for layer in detector.layers:
        ElementTree.SubElement(bin_, "Layer", _layer_attributes(layer))
    ElementTree.indent(root)
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "x", encoding="utf-8") as file:
            file.write(ElementTree.tostring(root, encoding="unicode") + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"cannot write the geometry file {path}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _parse(path: Path) -> ElementTree.Element:
    """Return the root element; entities are refused, so that a file cannot expand without end."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read the geometry file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"geometry file {path} is not XML text in UTF-8; give a binning XML file"
        ) from error
    if "<!DOCTYPE" in text:
        raise InputError(f"geometry file {path} has a DOCTYPE, which is not read; remove it")
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise InputError(
            f"geometry file {path} is not well-formed XML ({error}); mend it"
        ) from error


def _choose_bin(root: ElementTree.Element, particle: str | None) -> ElementTree.Element:
    """Return the Bin of this particle, or the only one."""
    bins = root.findall("Bin")
    if root.tag != "Bins" or not bins:
        raise InputError(
            f"expected <Bins> with <Bin> inside, found <{root.tag}>; give a binning XML file"
        )
    names = [_attribute(bin_, "name") for bin_ in bins]
    wanted = names if particle is None else [name for name in names if name == particle]
    if not wanted:
        raise InputError(f"has no particle {particle!r}; choose one of {', '.join(names)}")
    if len(wanted) > 1:
        raise InputError(
            f"has {len(wanted)} Bin elements to choose from ({', '.join(wanted)});"
            + (" name the particle" if particle is None else " keep only one of that particle")
        )
    return bins[names.index(wanted[0])]


def _read_layer(layer: ElementTree.Element) -> PolarLayer | CartesianLayer:
    """Return one layer, polar or Cartesian by its attributes."""
    id_ = _number(layer, "id", int)
    if "x_edges" in layer.attrib or "y_edges" in layer.attrib:
        return CartesianLayer(id_, _matrix_edges(layer, "x_edges"), _matrix_edges(layer, "y_edges"))
    return PolarLayer(id_, _edges(layer, "r_edges"), _number(layer, "n_bin_alpha", int))


def _layer_attributes(layer: PolarLayer | CartesianLayer) -> dict[str, str]:
    """Return the XML attributes of a layer."""
    if isinstance(layer, CartesianLayer):
        return {
            "id": str(layer.id),
            "x_edges": _shortest(layer.x_edges_mm),
            "y_edges": _shortest(layer.y_edges_mm),
        }
    return {
        "id": str(layer.id),
        "r_edges": _join(layer.r_edges_mm),
        "n_bin_alpha": str(layer.n_azimuth),
    }


def _attribute(element: ElementTree.Element, name: str) -> str:
    """Return an attribute that must be there."""
    value = element.get(name)
    if value is None:
        id_ = element.get("id")
        which = element.tag if id_ is None else f"{element.tag} {id_}"
        raise InputError(f"{which} lacks the attribute {name!r}; add it")
    return value


def _number(element: ElementTree.Element, name: str, kind: Callable[[str], Number]) -> Number:
    """Return an attribute that must be a number."""
    value = _attribute(element, name)
    try:
        return kind(value)
    except ValueError as error:
        expected = "a whole number" if kind is int else "a number"
        raise InputError(f"{name} must be {expected}, found {value!r}") from error


def _edges(element: ElementTree.Element, name: str) -> tuple[float, ...]:
    """Return a comma-separated list of edges."""
    value = _attribute(element, name)
    try:
        return tuple(float(edge) for edge in value.split(","))
    except ValueError as error:
        raise InputError(
            f"Layer {element.get('id')}: {name} must be numbers in mm separated by commas,"
            f" found {value!r}"
        ) from error


def _matrix_edges(element: ElementTree.Element, name: str) -> tuple[float, ...]:
    """Return a list of edges, or those of start:stop:bins."""
    value = _attribute(element, name)
    if ":" not in value:
        return _edges(element, name)
    try:
        start, stop, bins = value.split(":")
        if not 1 <= int(bins) <= _MOST_BINS:
            raise ValueError(f"{bins} bins")
        return _equal_bins(float(start), float(stop), int(bins))
    except ValueError as error:
        raise InputError(
            f"Layer {element.get('id')}: {name} must be start:stop:bins, two numbers in mm and 1 to"
            f" {_MOST_BINS} bins, found {value!r}"
        ) from error


def _equal_bins(start: float, stop: float, bins: int) -> tuple[float, ...]:
    """Return start + (stop - start) i / bins for i = 0, ..., bins, the last exactly `stop`."""
    return *(start + (stop - start) * i / bins for i in range(bins)), stop


def _text(number: float) -> str:
    """Return the shortest text that reads back as the same number."""
    return repr(float(number)).removesuffix(".0")


def _join(edges: Iterable[float]) -> str:
    return ",".join(_text(edge) for edge in edges)


def _shortest(edges: tuple[float, ...]) -> str:
    """Return the edges as start:stop:bins where that is exact and shorter, otherwise as a list."""
    start, stop, bins = edges[0], edges[-1], len(edges) - 1
    texts = [_join(edges)]
    if bins <= _MOST_BINS and _equal_bins(start, stop, bins) == edges:
        texts.append(f"{_text(start)}:{_text(stop)}:{bins}")
    return min(texts, key=len)
