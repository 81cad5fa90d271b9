"""Panels of a sample that has several members: their mean with its band, and what bands cover."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from jaxcalo.metrics.bands import ONE_SIGMA, Band, covered_bins, covered_share, error_band
from jaxcalo.metrics.estimate import Estimate
from jaxcalo.plots.comparison import Panel

_Member = TypeVar("_Member")


def banded_panels(
    make: Callable[[_Member], list[Panel]], members: Sequence[_Member]
) -> list[Panel]:
    """Return the panels of a sample: of several members their mean with its band.

    Args:
        make: the panels of one member beside the reference, whose bins do not depend on it.
        members: at least one, which is then the sample.

    Returns:
        As many panels as one member has. Those of several have in generated_error the root mean
        square of the members' errors.
    """
    if len(members) == 1:
        return make(members[0])
    return [_with_band(panels) for panels in zip(*map(make, members), strict=True)]


def _with_band(panels: Sequence[Panel]) -> Panel:
    curves = [panel.curve for panel in panels]
    mean, half_width = error_band(np.stack([curve.generated for curve in curves]))
    error = np.sqrt(np.mean([curve.generated_error**2 for curve in curves], axis=0))
    curve = curves[0]._replace(generated=mean, generated_error=error, band=half_width)
    return panels[0]._replace(curve=curve)


def bands_coverage(panels: Iterable[Panel], size_ratio: float) -> Estimate:
    """Compute the share of the bins of all panels whose band holds the difference.

    The rule is that of band_coverage: a member's statistical error, scaled to the size of the
    reference, is how far the reference fluctuates if the members are right.

    Args:
        panels: with bands.
        size_ratio: entries of a member over those of the reference.

    Returns:
        The share; its error takes the bins for independent, which those of profiles are not.
    """
    covered = []
    for curve in (panel.curve for panel in panels):
        if curve.band is not None:
            band = Band(curve.generated, curve.band)
            variance = size_ratio * curve.generated_error**2
            covered.append(covered_bins(curve.reference, band, variance))
    return covered_share(np.concatenate(covered))


def coverage_sentence(name: str, n_members: int, coverage: Estimate, reference: str) -> str:
    """Say what the bands of a sample hold.

    Args:
        name: of the sample.
        n_members: how many it has.
        coverage: of its bands, see bands_coverage.
        reference: name of the reference.
    """
    return (
        f"{name}: the bands of its {n_members} members cover the difference to {reference} in"
        f" {100 * coverage.value:.0f} % of the {coverage.n:,} bins of all histograms;"
        f" {100 * ONE_SIGMA:.0f} % are expected."
    )


def coverages_json(coverages: Mapping[str, Estimate]) -> dict[str, dict[str, float]]:
    """Return {"value", "error", "n_bins"} of each sample's coverage."""
    return {name: {**found.to_json(), "n_bins": found.n} for name, found in coverages.items()}


def members_title(name: str, n_members: int) -> str:
    """Name the row of a table that has the mean of a sample's members with its band."""
    return f"{name}, {n_members} members"


MEMBERS_NOTE = (
    "Members: samples of an ensemble, or of runs with other seeds. Their row, and the histograms,"
    " have their mean ± the half width of a band that holds one more such member with"
    f" {100 * ONE_SIGMA:.0f} %: their scatter, which contains the fluctuations of finite samples."
    " What all members have wrong is not in it. All other numbers are those of the first member."
)
