"""Geometry: which bins a calorimeter is read out in, where they lie and how they neighbour."""

from importlib import resources
from os import PathLike
from pathlib import Path

import numpy as np

from jaxcalo.errors import InputError
from jaxcalo.geometry.binning_xml import read_binning, write_binning
from jaxcalo.geometry.cartesian import matrix_channels, matrix_symmetries
from jaxcalo.geometry.cylindrical import cylinder_channels, cylinder_symmetries
from jaxcalo.geometry.detector import CartesianLayer, Detector, PolarLayer, Voxels, voxels
from jaxcalo.geometry.glam import GlamMaps, LayerMaps, glam_maps
from jaxcalo.geometry.neighbours import neighbours
from jaxcalo.geometry.points import Cells, project_cells, project_voxels, voxels_to_points
from jaxcalo.geometry.ragged import RaggedGrid, from_grid, ragged_grid, to_grid

GEOMETRIES = (
    "ds1-photons",
    "ds1-pions",
    "ds2",
    "ds3",
    "par04_lite",
    "ecal_crystals",
    "ild_ecal",
)

__all__ = [
    "GEOMETRIES",
    "CartesianLayer",
    "Cells",
    "Detector",
    "GlamMaps",
    "LayerMaps",
    "PolarLayer",
    "RaggedGrid",
    "Voxels",
    "coordinate_channels",
    "from_grid",
    "glam_maps",
    "load_geometry",
    "neighbours",
    "project_cells",
    "project_voxels",
    "ragged_grid",
    "read_binning",
    "symmetries",
    "to_grid",
    "voxels",
    "voxels_to_points",
    "write_binning",
]


def load_geometry(name_or_path: str | PathLike, particle: str | None = None) -> Detector:
    """Return a shipped geometry by its name, or read a binning XML file.

    Args:
        name_or_path: one of GEOMETRIES, or the path of an XML file.
        particle: which Bin to take; None takes the only one.

    Raises:
        InputError: neither a shipped name nor a file, or the particle is not in it.
    """
    if name_or_path in GEOMETRIES:
        with resources.as_file(
            resources.files("jaxcalo.geometry") / "binning" / f"{name_or_path}.xml"
        ) as path:
            return read_binning(path, particle)
    if not Path(name_or_path).exists():
        raise InputError(
            f"no geometry {str(name_or_path)!r}: expected {', '.join(GEOMETRIES)},"
            " or the path of a binning XML file"
        )
    return read_binning(name_or_path, particle)


def coordinate_channels(detector: Detector, azimuth: bool = False) -> np.ndarray:
    """Return coordinate images for a network, float32, channels last.

    Args:
        detector: a cylinder, giving (n_layers, n_azimuth, n_radius, 2) of radius and depth on the
            grid common to its layers (see `glam_maps`), or a crystal matrix, giving (n_y, n_x, 2)
            of y and x.
        azimuth: add an image of the azimuth; only for a cylinder.

    Raises:
        InputError: the layers differ and are not polar, or have no azimuth.
    """
    if detector.is_cylindrical:
        return cylinder_channels(detector, azimuth)
    if azimuth:
        raise InputError(
            f"geometry {detector.name!r} has layers in x and y, expected a cylinder for an image of"
            " the azimuth; leave the azimuth out"
        )
    return matrix_channels(detector)


def symmetries(detector: Detector) -> np.ndarray:
    """Return the detector's symmetries as voxel permutations, to be used as event[permutation].

    Args:
        detector: a cylinder (rotations and reflection) or crystal matrices (the square's group, or
            the part of it that the edges allow).

    Returns:
        (n_symmetries, n_voxels) int32, the identity first.

    Raises:
        InputError: polar and Cartesian layers are mixed.
    """
    if detector.is_cylindrical:
        return cylinder_symmetries(detector)
    return matrix_symmetries(detector)
