"""challenge.md: the whole row of the CaloChallenge's table, and in which it differs from it."""

from jaxcalo.metrics.challenge import SEPARATIONS, judge
from jaxcalo.metrics.challenge_measures import Row
from jaxcalo.metrics.estimate import N_SIGMA
from jaxcalo.metrics.leaderboard import GEANT4, DatasetName, published
from jaxcalo.plots.challenge import (
    COLUMNS,
    MEANINGS,
    PER_MILLE,
    SCALED,
    ChallengeResult,
    estimate_text,
    floor_text,
    lines_of,
    number,
    verdicts,
)
from jaxcalo.plots.markdown import markdown_table

_SEPARATION_TITLES = {
    "e_ratio": "E_tot/E_inc",
    "e_layer": "E_layer",
    "e_voxel": "E_voxel",
    "centre_x": "EC eta",
    "centre_y": "EC phi",
    "centre_r": "EC r",
    "width_x": "width eta",
    "width_y": "width phi",
    "width_r": "width r",
    "sparsity": "sparsity",
}
_FLOOR_NOTE = (
    "The floor is one half of the reference against the other, with no more showers than the"
    f" generated sample has. A distance agrees if it is at most the floor plus {N_SIGMA:g} errors"
    " of both. KPD here is from batches without replacement; the Frechet distance is compared at"
    " equal size, because FPD, extrapolated from it, is biased upwards unless there are many more"
    " showers than features."
)
_NOISE_NOTE = (
    "The excess noise of the layer energies, tau^2, is ours and not one of the challenge's numbers."
    " It is here because in a thousand showers of data set 2 none of those sees 3 %, or even 10 %,"
    " of independent noise on the energy of every layer: from shower to shower Geant4's own differ"
    " by 12 to 30 %. A network says what a layer's energy should be, given everything else in the"
    " shower; tau^2 is the relative variance around that, less Geant4's: 9 %^2 for noise of 3 %,"
    " negative for energies that scatter too little. It agrees if it is within"
    f" {N_SIGMA:g} of its own errors of zero, on either side."
)


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    return markdown_table(header, rows, range(1, len(header)))


def to_markdown(result: ChallengeResult) -> str:
    """Write the whole report.

    Args:
        result: what was measured.

    Returns:
        The text of challenge.md.
    """
    title = "Generated showers against Geant4"
    if result.dataset is not None:
        title = f"CaloChallenge, data set {result.dataset}"
    d = result.detector
    parts = [
        f"# {title}",
        *(f"**{sentence}**" for sentence in verdicts(result)),
        f"Geometry {d.name}: {d.particle}, {d.n_layers} layers, {d.n_voxels:,} voxels, threshold"
        f" {d.threshold_mev:g} MeV. jaxcalo {result.version}.",
        _samples(result),
        "## Differences from the published protocol",
        "\n".join(f"* {sentence}" for sentence in result.differences) or "None.",
        "## Beside Geant4 itself",
        _FLOOR_NOTE,
        *([_NOISE_NOTE] if any("layer_noise" in row for row in result.rows.values()) else []),
        *(_floor_table(name, result) for name in result.rows),
        "## Leaderboard" if result.dataset is not None else "## All rows",
        *_leaderboard(result),
        "## Separation powers x 10^3, mean over layers",
        _separation_table(result),
        *_energy_table(result),
        "## Other numbers",
        _other_table(result),
    ]
    if result.dataset is not None:
        parts += ["## Published sizes and times", _times_table(result.dataset)]
    return "\n\n".join(parts) + "\n"


def _samples(result: ChallengeResult) -> str:
    rows = [["Geant4", result.reference[0], f"{result.reference[1]:,}"]]
    rows += [["generated", name, f"{n:,}"] for name, n in result.generated.items()]
    return _markdown(["sample", "file", "showers"], rows)


def _floor_table(name: str, result: ChallengeResult) -> str:
    rows = [
        [
            MEANINGS[key],
            estimate_text(key, j.value),
            floor_text(key, j.floor),
            "yes" if j.agrees else "NO",
        ]
        for key, j in judge(result.rows[name], result.floors[name]).items()
    ]
    return _markdown([name, "measured", "floor", "agrees"], rows)


def _leaderboard(result: ChallengeResult) -> list[str]:
    lines = lines_of(result)
    columns = [c for c in COLUMNS if any(line.cells.get(c, "-") != "-" for line in lines)]
    rows = []
    for line in lines:
        name = f"**{line.name}**" if line.name in result.rows else line.name
        rows.append([name, *(line.cells.get(c, "-") for c in columns)])
    parts = [_markdown(["model", *(COLUMNS[c] for c in columns)], rows)]
    if result.dataset is not None:
        parts.append("Published rows: CaloChallenge 2022, arXiv:2410.21611. Bold: measured here.")
    if result.dataset == "1-pions":
        parts.append(
            "The published Geant4 row of the pions is above 1/2 because the two files of the"
            " challenge come from different productions; halves of one file have no such"
            " difference."
        )
    if result.log_posterior is not None:
        parts.append(
            "The log posterior of the bold rows is among these samples alone, that of the published"
            " rows among all submissions: the two are not comparable."
        )
    return parts


def _separation_table(result: ChallengeResult) -> str:
    rows = [[f"**{name}**", *_powers(row)] for name, row in result.rows.items()]
    floors = {id(floor): floor for floor in result.floors.values()}.values()
    rows += [["Geant4 (halves of the reference)", *_powers(floor)] for floor in floors]
    if result.dataset is not None:
        for line in published(result.dataset):
            name = "Geant4 (published)" if line.model == GEANT4 else line.model
            powers = [number(PER_MILLE * line.separation[s]) for s in SEPARATIONS]
            rows.append([name, *powers])
    return _markdown(["model", *(_SEPARATION_TITLES[s] for s in SEPARATIONS)], rows)


def _powers(row: Row) -> list[str]:
    return [estimate_text(s, row[s]) if s in row else "-" for s in SEPARATIONS]


def _energy_table(result: ChallengeResult) -> list[str]:
    """E_tot/E_inc at each incident energy; nothing for a continuous spectrum."""
    names = [n for row in result.rows.values() for n in row if n.startswith("e_ratio@")]
    names = list(dict.fromkeys(names))
    if not names:
        return []
    columns = [*result.rows.items(), ("floor", next(iter(result.floors.values())))]
    rows = [
        [
            n.partition("@")[2],
            *(estimate_text(n, row[n]) if n in row else "-" for _, row in columns),
        ]
        for n in names
    ]
    header = ["E_inc [MeV]", *(name for name, _ in columns)]
    return ["## Separation power x 10^3 of E_tot/E_inc at each energy", _markdown(header, rows)]


def _other_table(result: ChallengeResult) -> str:
    columns = [*result.rows.items(), ("floor", next(iter(result.floors.values())))]
    shown = {
        name for row in result.rows.values() for name in row if "auc_" in name or "jsd_" in name
    }
    names = [
        *sorted(shown),
        "correlation",
        "layer_noise",
        "fpd",
        "fpd_excess",
        "kpd",
        "fpd_published",
        "kpd_published",
    ]
    names = [n for n in names if any(n in row for row in result.rows.values())]
    rows = [
        [
            _quantity(n),
            *(estimate_text(n, row[n]) if n in row else "-" for _, row in columns),
        ]
        for n in names
    ]
    return _markdown(["quantity", *(name for name, _ in columns)], rows)


def _quantity(name: str) -> str:
    """Name of a quantity with its unit."""
    if name == "layer_noise":
        return "layer_noise [%^2]"
    return f"{name} x 10^3" if name in SCALED else name


def _times_table(dataset: DatasetName) -> str:
    keys = ("cpu_1", "cpu_100", "cpu_10000", "gpu_1", "gpu_100", "gpu_10000")

    def cell(value: float | None) -> str:
        return number(value, 4)

    rows = [
        [
            row.model,
            cell(row.parameters_training_millions),
            cell(row.parameters_generation_millions),
            *(cell(row.ms_per_shower[key]) for key in keys),
        ]
        for row in published(dataset)
        if row.model != GEANT4
    ]
    titles = [key.replace("cpu_", "CPU, batch ").replace("gpu_", "GPU, batch ") for key in keys]
    header = ["model", "10^6 parameters, training", "generation", *titles]
    return "Milliseconds a shower.\n\n" + _markdown(header, rows)
