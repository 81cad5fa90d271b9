"""The eight observables on which generated showers are judged, for any detector.

Vector observables are energies in at most ten groups of layers and of radial rings. A detector
with more has them joined into groups of about equal energy in the reference, as CaloClouds does
with its thirty layers and ten radial bins.

Source: CaloClouds II, arXiv:2309.05704, section 4.2 (scores of calorimeter observables).
"""

from typing import NamedTuple

import numpy as np

from jaxcalo.metrics.sample import Sample

N_GROUPS = 10

OBSERVABLES = (
    "e_ratio",
    "n_hits",
    "e_cell",
    "e_long",
    "e_radial",
    "centre_x",
    "centre_y",
    "centre_z",
)


class Observable(NamedTuple):
    """Values of one observable.

    Attributes:
        values: (m, k) one row for each shower (or cell), one column for each component.
        shower: (m,) index of the shower that a row belongs to.
    """

    values: np.ndarray
    shower: np.ndarray

    def select(self, member: np.ndarray) -> "Observable":
        """Return the rows of the showers in the mask (n_showers,)."""
        rows = member[self.shower]
        return Observable(self.values[rows], self.shower[rows])


class Grouping(NamedTuple):
    """Which group each layer (n_layers,) and each ring (n_rings,) belongs to, counted from 0."""

    layer: np.ndarray
    ring: np.ndarray


def equal_energy_groups(energy: np.ndarray, n_groups: int = N_GROUPS) -> np.ndarray:
    """Join neighbouring bins into at most n_groups groups of about equal energy.

    group_i = floor(n_groups (sum_{j<i} E_j + E_i / 2) / sum_j E_j), renumbered without gaps; a bin
    with more than its share of the energy leaves fewer groups. Up to n_groups bins stay as they
    are.

    Args:
        energy: (m,) mean energy of each bin in the reference.
        n_groups: number of groups at most.

    Returns:
        (m,) group of each bin, non-decreasing from 0.
    """
    if len(energy) <= n_groups:
        return np.arange(len(energy))
    middle = np.cumsum(energy) - energy / 2
    group = np.floor(n_groups * middle / np.sum(energy)).astype(int)
    return np.unique(np.minimum(group, n_groups - 1), return_inverse=True)[1]


def fit_grouping(reference: Sample) -> Grouping:
    """Return the groups of layers and rings by the mean energies of the reference."""
    return Grouping(
        layer=equal_energy_groups(reference.moments.features.e_layer_mev.mean(axis=0)),
        ring=equal_energy_groups(reference.moments.ring_energy_mev.mean(axis=0)),
    )


def _sum_groups(energy: np.ndarray, group: np.ndarray) -> np.ndarray:
    """(n, m) energies summed to (n, n_groups)."""
    return energy @ np.eye(group.max() + 1)[group]


def observables(sample: Sample, grouping: Grouping) -> dict[str, Observable]:
    """Return the observables of a sample, in the order of OBSERVABLES.

    e_ratio is visible over incident energy; e_cell, e_long and e_radial are in MeV, centre_x and
    centre_y in mm, centre_z in units of the layer index.

    Args:
        sample: the condensed showers.
        grouping: groups fitted to the reference, the same for both samples.

    Returns:
        Observables by name.
    """
    shower = np.arange(sample.n_showers)
    moments = sample.moments
    columns = {
        "e_ratio": moments.features.e_tot_mev / sample.incident_energy_mev,
        "n_hits": moments.n_hits,
        "e_long": _sum_groups(moments.features.e_layer_mev, grouping.layer),
        "e_radial": _sum_groups(moments.ring_energy_mev, grouping.ring),
        "centre_x": moments.centre_x_mm,
        "centre_y": moments.centre_y_mm,
        "centre_z": moments.centre_z,
    }
    found = {
        name: Observable(values.reshape(sample.n_showers, -1), shower)
        for name, values in columns.items()
    }
    found["e_cell"] = Observable(sample.cells.energy_mev[:, None], sample.cells.shower)
    return {name: found[name] for name in OBSERVABLES}
