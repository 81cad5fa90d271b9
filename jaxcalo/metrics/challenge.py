"""The whole row of the CaloChallenge's table for generated showers, and for Geant4 itself.

`steps` lists what is to be measured, cheap things first; each step returns named estimates, so that
a caller can show progress, keep what is done and go on later. The same steps between halves of the
reference make the floor: what Geant4 showers, as few as the generated ones, have against each
other.

    name                    what it is
    e_ratio, e_layer, ...   separation powers, mean over layers; the error is that of the floor
    e_ratio@256             the same of E_tot/E_inc at 256 MeV, for samples of discrete energies
    correlation             Frobenius norm of the difference of the layer energies' correlations
    fpd, kpd                from batches without replacement
    fpd_published, ...      from batches with replacement, as the published rows
    fpd_excess              Frechet distance less Geant4's own at equal size; what is judged
    layer_noise             relative variance of the layer energies beyond Geant4's; ours, not the
                            challenge's; only of samples that are large enough for it
    precision, ...          PRDC on voxels; one sample has no error (NaN)
    auc_low, jsd_low, ...   of the classifiers low, normalised, high and resnet

Source: CaloChallenge, arXiv:2410.21611, section 4.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from jaxcalo.errors import InputError
from jaxcalo.geometry import Detector
from jaxcalo.metrics import challenge_cost as cost
from jaxcalo.metrics import challenge_measures as measures
from jaxcalo.metrics.challenge_measures import Contender, Pair, Row
from jaxcalo.metrics.challenge_protocol import (
    MIN_GENERATED,
    MIN_REFERENCE,
    ClassifierName,
    MeasureName,
    Protocol,
)
from jaxcalo.metrics.estimate import Estimate, mean_of, within_floor
from jaxcalo.typing import Observe

LOG_POSTERIOR = "log_posterior"
SEPARATIONS = (
    "e_ratio",
    "e_layer",
    "e_voxel",
    "centre_x",
    "centre_y",
    "centre_r",
    "width_x",
    "width_y",
    "width_r",
    "sparsity",
)


class Step(NamedTuple):
    """One thing to measure.

    Attributes:
        row: the source of the generated sample, floor_name(...) or LOG_POSTERIOR.
        name: what is measured; unique within the row.
        seconds: about how long it takes on two cores; only its ratio to other steps matters.
        run: measures; calls its argument with (done, in all) where it can.
    """

    row: str
    name: str
    seconds: float
    run: Callable[[Observe], Row]


def floor_name(n_generated: int) -> str:
    """Name of the row of Geant4 against Geant4 for a sample of n_generated showers."""
    return f"floor of {n_generated}"


def steps(
    reference: Contender,
    generated: Sequence[Contender],
    detector: Detector,
    protocol: Protocol,
    with_log_posterior: bool = False,
) -> list[Step]:
    """List all measurements of the rows of generated samples and of their floors.

    Args:
        reference: Geant4.
        generated: one or more samples, each with its own source.
        detector: the readout of all.
        protocol: how.
        with_log_posterior: whether one classifier is asked which of the samples the reference looks
            like; needs two or more.

    Returns:
        The steps, in an order in which they may be run; none depends on another.

    Raises:
        InputError: too few showers, sources that are not unique, a ResNet classifier of layers that
            differ, or a reference without energy.
    """
    _check(reference, generated, detector, protocol, with_log_posterior)
    pairs = [Pair(reference, contender, detector, protocol) for contender in generated]
    of_size = {pair.sizes[1]: pair for pair in pairs}
    found = []
    for kind in _kinds(protocol, detector):
        rows = [(floor_name(n), pair, True) for n, pair in of_size.items()] * kind.has_floor
        rows += [(pair.generated.sample.source, pair, False) for pair in pairs]
        found += [
            _step(kind, name, pair, is_floor)
            for name, pair, is_floor in rows
            if kind.name != "layer_noise" or measures.shows_layer_noise(pair, is_floor)
        ]
    if with_log_posterior:
        seconds = cost.training("low", protocol, detector, min(of_size), len(pairs))
        run = partial(measures.measure_log_posterior, reference, generated, protocol)
        found.append(Step(LOG_POSTERIOR, LOG_POSTERIOR, seconds, run))
    return found


class _Kind(NamedTuple):
    """One thing that is measured of every row: seconds((n, m), is_floor)."""

    name: str
    measure: Callable[[Pair, bool, Observe], Row]
    seconds: Callable[[tuple[int, int], bool], float]
    has_floor: bool


def _kinds(protocol: Protocol, detector: Detector) -> list[_Kind]:
    """What is measured, cheap things first."""
    found = [
        _Kind(name, measure, partial(cost.measurement, name, protocol, detector), True)
        for name, measure in _MEASURES.items()
    ]
    for name in _CLASSIFIERS:
        if name in protocol.classifiers:
            measure = partial(measures.measure_classifier, name)
            seconds = partial(cost.classifier, name, protocol, detector)
            has_floor = name == "high" or protocol.floor == "all"
            found.append(_Kind(name, measure, seconds, has_floor))
    return found


def _step(kind: _Kind, row: str, pair: Pair, is_floor: bool) -> Step:
    n, m = pair.sizes
    sizes = (n // 2, min(m, n - n // 2)) if is_floor else (n, m)
    run = partial(kind.measure, pair, is_floor)
    return Step(row, kind.name, kind.seconds(sizes, is_floor), run)


def _check(
    reference: Contender,
    generated: Sequence[Contender],
    detector: Detector,
    protocol: Protocol,
    with_log_posterior: bool,
) -> None:
    every = [(reference, MIN_REFERENCE, "reference")]
    every += [(contender, MIN_GENERATED, "generated sample") for contender in generated]
    for contender, least, role in every:
        if contender.sample.n_showers < least:
            raise InputError(
                f"{role} {contender.sample.source}: expected at least {least} showers, found"
                f" {contender.sample.n_showers}; use a larger file"
            )
    sources = [contender.sample.source for contender in generated]
    if not sources or len(set(sources)) < len(sources):
        raise InputError(
            "expected one generated sample or more, of different names, which tell the rows apart,"
            f" found {', '.join(sources) or 'none'}; rename one"
        )
    if not reference.sample.moments.n_hits.any():
        raise InputError(
            f"reference {reference.sample.source}: no voxel reaches the threshold of"
            f" {detector.threshold_mev:g} MeV; check the file's unit"
        )
    if "resnet" in protocol.classifiers and not (detector.is_cylindrical and detector.is_regular):
        raise InputError(
            f"classifier resnet: expected equal polar layers, found geometry {detector.name!r};"
            " leave it out"
        )
    if with_log_posterior and len(generated) < 2:
        raise InputError(
            f"log posterior: expected samples of two or more models, found {len(generated)}; it"
            " compares models with each other"
        )


_MEASURES: dict[MeasureName, Callable[[Pair, bool, Observe], Row]] = {
    "observables": measures.measure_observables,
    "voxels": measures.measure_voxels,
    "kpd": measures.measure_kpd,
    "fpd": measures.measure_fpd,
    "layer_noise": measures.measure_layer_noise,
    "prdc": measures.measure_prdc,
}
_CLASSIFIERS: tuple[ClassifierName, ...] = ("high", "low", "normalised", "resnet")


class Judged(NamedTuple):
    """A distance beside what Geant4 has against itself."""

    value: Estimate
    floor: Estimate
    agrees: bool


def separation_mean(row: Mapping[str, Estimate]) -> Estimate | None:
    """Mean of a row's separation powers; its error takes theirs as fully correlated.

    Args:
        row: measured quantities by name; None is returned if one of SEPARATIONS is missing.
    """
    if any(name not in row for name in SEPARATIONS):
        return None
    found = [row[name] for name in SEPARATIONS]
    mean = (float(np.mean([e.value for e in found])), float(np.mean([e.error for e in found])))
    return Estimate(*mean, min(e.n for e in found))


def mean_row(rows: Sequence[Mapping[str, Estimate]]) -> Row:
    """Average the rows of several samples of one model, see estimate.mean_of.

    What is held against zero keeps the error of a single sample at least: the one reference's share
    of it does not average out, and there is no floor to hold it.

    Args:
        rows: one or more; a quantity that is not in all of them is left out.
    """
    names = [name for name in rows[0] if all(name in row for row in rows)]
    found = {name: _mean([row[name] for row in rows]) for name in names}
    for name in set(_EXCESSES) & found.keys():
        single = float(np.mean([row[name].error for row in rows]))
        found[name] = found[name]._replace(error=max(found[name].error, single))
    return found


def _mean(estimates: Sequence[Estimate]) -> Estimate:
    """An error that is not known (NaN) counts as zero beside the scatter, and stays so alone."""
    known = [e._replace(error=0.0) if math.isnan(e.error) else e for e in estimates]
    mean = mean_of(known)
    is_known = len(estimates) > 1 or not math.isnan(estimates[0].error)
    return mean if is_known else mean._replace(error=math.nan)


def judge(row: Mapping[str, Estimate], floor: Mapping[str, Estimate]) -> dict[str, Judged]:
    """Say of every distance in a row whether it is the floor's within N_SIGMA errors, or smaller.

    A classifier is held against 1/2, its expectation for samples of one distribution, where its
    floor was not measured or came out below by chance. The excess noise is held against its
    expectation alone, zero, from both sides and with its own error: the floor has half as many
    showers, so that its error would only hide what the samples show.

    Args:
        row: of a generated sample.
        floor: of the reference for a sample of this size.

    Returns:
        Judgements by name: the AUCs, fpd_excess against zero, kpd, correlation, layer_noise, and
        separation for the mean over all.
    """
    values, floors = dict(row), dict(floor)
    for quantities in (values, floors):
        mean = separation_mean(quantities)
        if mean is not None:
            quantities["separation"] = mean
    found = {}
    for name in (*_CLOSED_FORMS, "kpd", "separation", "correlation"):
        if name not in values:
            continue
        value, expected = values[name], _CLOSED_FORMS.get(name, -math.inf)
        other = floors.get(name, Estimate(expected, 0.0, value.n))
        if name == "layer_noise":
            agrees = within_floor(abs(value.value), expected, value.error)
        else:
            # those two have the floor's scatter for their error already
            own = 0.0 if name in ("separation", "correlation") else value.error
            least = max(other.value, expected)
            agrees = within_floor(value.value, least, math.hypot(own, other.error))
        found[name] = Judged(value, other, agrees)
    return found


# Expectations for samples of one distribution, where they are known
_EXCESSES = ("fpd_excess", "layer_noise")
_CLOSED_FORMS = {
    **{f"auc_{name}": 0.5 for name in _CLASSIFIERS},
    **dict.fromkeys(_EXCESSES, 0.0),
}
