"""`jaxcalo compare` of four-lepton events."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxcalo.metrics import LeptonCost


def compare_leptons(
    reference: Path,
    samples: Mapping[str, Sequence[Path]],
    out: Path,
    *,
    costs: "Mapping[str, LeptonCost] | None" = None,
    seed: int = 0,
) -> None:
    """Print the thesis's table with the samples in it, and write the report.

    Args:
        reference: Events that no model was trained on.
        samples: Files of generated events by their names, one for each member.
        out: The folder of the report.
        costs: What the models took, by the same names.
        seed: Of the draws for the errors.

    Raises:
        InputError: A file cannot be read, or its events cannot be judged.
    """
    from importlib.metadata import version

    import jax

    from jaxcalo.data import read_four_lepton
    from jaxcalo.metrics import four_lepton_table
    from jaxcalo.plots.four_lepton import four_lepton_pictures, lepton_coverage
    from jaxcalo.plots.four_lepton_report import coverage_sentences, write_lepton_comparison
    from jaxcalo.plots.four_lepton_tables import lepton_verdict, thesis_table
    from jaxcalo.plots.text import aligned

    known = read_four_lepton(reference)
    members = {name: [read_four_lepton(path) for path in paths] for name, paths in samples.items()}
    made = {name: found[0] for name, found in members.items()}
    further = {name: found[1:] for name, found in members.items()}
    table = four_lepton_table(known, made, costs or {}, jax.random.key(seed), further)
    coverage = lepton_coverage(known, made, further)
    pictures = four_lepton_pictures(known, made, further=further)
    path = write_lepton_comparison(table, pictures, out, version("jaxcalo"), coverage)
    shown = thesis_table(table)
    print(aligned([list(shown.header), *map(list, shown.rows)]))
    for row in table.rows:
        print(lepton_verdict(row, table))
    for sentence in coverage_sentences(table, coverage):
        print(sentence)
    print(f"report: {path}")
