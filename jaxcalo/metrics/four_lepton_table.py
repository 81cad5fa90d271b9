"""The table of the four-lepton thesis with generated samples beside its models."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from typing import NamedTuple

from jaxcalo.data.four_lepton import LeptonEvents
from jaxcalo.metrics.bands import number_band
from jaxcalo.metrics.cloud_table import Verdict
from jaxcalo.metrics.estimate import N_SIGMA, Estimate
from jaxcalo.metrics.four_lepton_scores import FRECHET_OF_SLOTS, LeptonScores, compare_four_lepton
from jaxcalo.typing import Key


class LeptonCost(NamedTuple):
    """What a model took; None where it was not measured.

    Attributes:
        training_s: wall time of the training, seconds.
        generation_s: wall time of the generation of the sample, seconds.
        memory_mb: largest memory of the process, MB.
    """

    training_s: float | None = None
    generation_s: float | None = None
    memory_mb: float | None = None


@dataclass(frozen=True)
class PublishedLeptons:
    """A model of the thesis.

    Attributes:
        model: its name.
        scores: lowest and highest number given, by the names of LeptonScores.scores; those named
            frechet_... as printed, their unit is not known (see the file).
        time_s: training and generation together, seconds, on a GPU (T4).
        memory_mb: GPU memory, MB.
    """

    model: str
    scores: dict[str, tuple[float, float]]
    time_s: float
    memory_mb: float


@dataclass(frozen=True)
class LeptonRow:
    """One generated sample.

    Attributes:
        name: of the sample.
        found: its distances from the reference.
        cost: what the model took.
        n_members: how many members the sample has; `found` is the first one's.
        bands: mean and half width of the band of all members, by the names of LeptonScores.scores;
            empty for one.
    """

    name: str
    found: LeptonScores
    cost: LeptonCost
    n_members: int = 1
    bands: Mapping[str, Estimate] = field(default_factory=dict)


@dataclass(frozen=True)
class LeptonTable:
    """All generated samples beside the thesis's models.

    Attributes:
        n_reference: events of the reference.
        rows: one for each sample, in the order given.
        published: the thesis's models.
    """

    n_reference: int
    rows: tuple[LeptonRow, ...]
    published: tuple[PublishedLeptons, ...]

    def to_json(self) -> dict:
        """Return the numbers as plain values; `comparison` is by model and score."""
        return {
            "n_reference": self.n_reference,
            "rows": [
                {
                    "name": row.name,
                    **row.found.to_json(),
                    "cost": row.cost._asdict(),
                    "comparison": {
                        model.model: compare_thesis(row.found, model) for model in self.published
                    },
                    **_bands_json(row),
                }
                for row in self.rows
            ],
        }


def _bands_json(row: LeptonRow) -> dict:
    """Nothing for a sample that is no ensemble."""
    if not row.bands:
        return {}
    bands = {name: band.to_json() for name, band in row.bands.items()}
    return {"n_members": row.n_members, "bands": bands}


@lru_cache
def published_leptons() -> tuple[PublishedLeptons, ...]:
    """Return the thesis's models: VAE, GAN, normalizing flow and Gaussian mixture.

    Source: Balciunas, master's thesis, Vilnius University 2024.
    """
    path = resources.files("jaxcalo.metrics") / "published" / "four_lepton_thesis.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    found = []
    for row in record["rows"]:
        scores = {name: (low, high) for name, (low, high) in row["scores"].items()}
        if row["frechet"] is not None:
            slots = {name: row["frechet_slots"][slot] for name, slot in FRECHET_OF_SLOTS.items()}
            for name, value in {"frechet_gev2": row["frechet"], **slots}.items():
                scores[name] = (value, value)
        found.append(PublishedLeptons(row["model"], scores, row["time_s"], row["memory_mb"]))
    return tuple(found)


def judge(value: Estimate, published: tuple[float, float]) -> Verdict:
    """Set a number beside a published range.

    Args:
        value: the number.
        published: the lowest and the highest number given.

    Returns:
        "below": below the lowest by more than its error; "above": above the highest by more than
        N_SIGMA errors; "compatible" otherwise.
    """
    low, high = published
    if value.value + value.error < low:
        return "below"
    return "above" if value.value > high + N_SIGMA * value.error else "compatible"


def compare_thesis(found: LeptonScores, model: PublishedLeptons) -> dict[str, Verdict]:
    """Set a sample beside a model of the thesis.

    Args:
        found: distances of the sample.
        model: the published ones.

    Returns:
        Verdicts by the names of the scores that the thesis gives.
    """
    return {name: judge(found.scores[name].value, pair) for name, pair in model.scores.items()}


def four_lepton_table(
    reference: LeptonEvents,
    generated: Mapping[str, LeptonEvents],
    costs: Mapping[str, LeptonCost],
    key: Key,
    further: Mapping[str, Sequence[LeptonEvents]] | None = None,
) -> LeptonTable:
    """Compare any number of generated samples with the reference and the thesis.

    Args:
        reference: events that no model was trained on.
        generated: events by the samples' names.
        costs: what the models took, by the same names; a missing one was not measured.
        key: of the draws for the errors; the same for each sample.
        further: further members of samples that are ensembles, by the same names.

    Returns:
        The table, rows in the order given.

    Raises:
        InputError: as compare_four_lepton.
    """
    rows = []
    for name, events in generated.items():
        members = [events, *(further or {}).get(name, ())]
        found = [compare_four_lepton(reference, member, key) for member in members]
        bands = {}
        if len(found) > 1:
            for score in found[0].scores:
                bands[score] = number_band([member.scores[score].value for member in found])
        cost = costs.get(name, LeptonCost())
        rows.append(LeptonRow(name, found[0], cost, len(found), bands))
    return LeptonTable(len(reference.pdg), tuple(rows), published_leptons())
