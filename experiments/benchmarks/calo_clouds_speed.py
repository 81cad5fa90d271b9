"""CaloClouds' table of speed: milliseconds per shower, and how much faster than Geant4.

python experiments/benchmarks/calo_clouds_speed.py i=runs/i ii=runs/ii cm=runs/ii-consistency \
    --data ild_photon_points_test.h5

Photons at the energies of the data file, whose attribute geant4_cpu_ms_per_shower is Geant4's time
on one core. The models take turns. On CPU one shower at a time on one core, as published; on an
accelerator 64 together. A shower's time is that from its energy to its points in the host's memory,
summary and calibration included; compilation is apart.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from measure import write_record

from jaxcalo.cli.runtime import configure
from jaxcalo.data import open_clouds
from jaxcalo.experiment import TrainedClouds, load_cloud_run
from jaxcalo.families import run_program, sampling_program
from jaxcalo.training import data_mesh

# Published on one thread of a CPU and on an A100: ms of Geant4, I, II, CM.
PUBLISHED_MS = {
    "cpu": {"Geant4": 3914.80, "i": 3146.71, "ii": 651.68, "cm": 84.35},
    "gpu": {"Geant4": 3914.80, "i": 24.91, "ii": 6.12, "cm": 2.09},
}


class Contestant(NamedTuple):
    """A trained model and its compiled program.

    Attributes:
        trained: the model.
        make: (energies in MeV (batch, 1), number of the first) -> points.
        compile_s: seconds of tracing and compiling.
    """

    trained: TrainedClouds
    make: Callable[[np.ndarray, int], np.ndarray]
    compile_s: float


def prepare(folder: Path, batch: int) -> Contestant:
    """Load a run and compile its program for a batch."""
    trained = load_cloud_run(folder)
    program = sampling_program(
        trained.model, data_mesh(jax.devices()[:1]), 1 if trained.model.one_by_one else batch
    )
    key = jax.random.key(0)

    def make(energies: np.ndarray, first: int) -> np.ndarray:
        return run_program(program, key, trained.params, energies, first, batch)

    start = time.perf_counter()
    make(np.full((batch, 1), 5e4, np.float32), 0)
    return Contestant(trained, make, time.perf_counter() - start)


def one_round(contestant: Contestant, energies: np.ndarray, batch: int) -> float:
    """Milliseconds per shower of one pass over the energies (n, 1)."""
    start = time.perf_counter()
    for first in range(0, len(energies), batch):
        contestant.make(energies[first : first + batch], first)
    return 1e3 * (time.perf_counter() - start) / len(energies)


def main() -> None:
    """Time the models; print the table and write results/calo_clouds_speed_cpu|gpu.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", help="NAME=RUN; i, ii and cm are compared as published")
    parser.add_argument("--data", type=Path, required=True, help="clouds; energies, Geant4's time")
    parser.add_argument("--showers", type=int, default=64, help="in a round (default: 64)")
    parser.add_argument("--repeats", type=int, default=10, help="rounds (default: 10)")
    parser.add_argument("--batch", type=int, help="showers together (default: 1 on CPU, else 64)")
    parser.add_argument("--cores", type=int, default=1, help="CPU cores to use (default: 1)")
    args = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.cores])
    configure()
    kind = "cpu" if jax.default_backend() == "cpu" else "gpu"
    batch = args.batch or (1 if kind == "cpu" else 64)

    with open_clouds(args.data) as file:
        energies = file.read(0, min(args.showers, file.n_showers)).incident_energy_mev[:, None]
        geant4_ms = file.attributes["geant4_cpu_ms_per_shower"]
        assert isinstance(geant4_ms, float)
    contestants = {
        name: prepare(Path(folder), batch)
        for name, folder in (run.split("=", 1) for run in args.runs)
    }
    rounds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(args.repeats):
        for name, contestant in contestants.items():
            rounds[name].append(one_round(contestant, energies, batch))

    results: dict[str, Any] = {"Geant4": {"ms_per_shower": geant4_ms}}
    for name, times in rounds.items():
        mean = statistics.mean(times)
        error = statistics.stdev(times) if len(times) > 1 else 0.0
        sampling = contestants[name].trained.experiment.sampling
        speed_up = geant4_ms / mean
        results[name] = {
            "ms_per_shower": mean,
            "ms_error": error,
            "evaluations": 1 if sampling is None else sampling.n_evaluations,
            "parameters": sum(x.size for x in jax.tree.leaves(contestants[name].trained.params)),
            "speed_up": speed_up,
            "speed_up_error": speed_up * error / mean,
            "published_speed_up": _published(kind, name),
            "compile_s": contestants[name].compile_s,
            "rounds_ms": times,
        }
    settings = {
        "batch": batch,
        "cores": args.cores if kind == "cpu" else None,
        "showers": len(energies),
        "repeats": args.repeats,
        "energies_gev": [float(energies.min()) / 1e3, float(energies.max()) / 1e3],
    }
    path = write_record(f"calo_clouds_speed_{kind}", settings, results)
    _print(results, geant4_ms)
    print(f"written to {path.name}")


def _published(kind: str, name: str) -> float | None:
    table = PUBLISHED_MS[kind]
    return table["Geant4"] / table[name] if name in table else None


def _print(results: dict[str, Any], geant4_ms: float) -> None:
    print(f"Geant4     {geant4_ms:9.1f} ms a shower on one core")
    for name, row in results.items():
        if name != "Geant4":
            published = row["published_speed_up"]
            print(
                f"{name:<10} {row['ms_per_shower']:9.2f} +- {row['ms_error']:.2f} ms, "
                f"{row['evaluations']:3d} evaluations, {row['speed_up']:.1f} +- "
                f"{row['speed_up_error']:.1f} times Geant4"
                + (f" (published: {published:.1f})" if published else "")
            )


if __name__ == "__main__":
    main()
