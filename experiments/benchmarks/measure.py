"""Time functions against each other, and write the numbers down with where they come from."""

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

RESULTS = Path(__file__).parent / "results"


def compile_seconds(function: Callable, *args: Any) -> tuple[Callable, float]:
    """Compile for these arguments; return the compiled function and its CPU seconds."""
    start = time.process_time()
    compiled = jax.jit(function).lower(*args).compile()
    return compiled, time.process_time() - start


def _once(call: Callable[[], Any]) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    jax.block_until_ready(call())
    return time.process_time() - cpu, time.perf_counter() - wall


def _turn(call: Callable[[], Any], least_s: float) -> tuple[float, float]:
    """Mean of as many calls as fill some seconds, of one at least."""
    spent = [_once(call)]
    while sum(wall for _, wall in spent) < least_s:
        spent.append(_once(call))
    cpu, wall = zip(*spent, strict=True)
    return statistics.fmean(cpu), statistics.fmean(wall)


def alternate(
    calls: Mapping[str, Callable[[], Any]], repeats: int, pause_s: float = 0.0, turn_s: float = 0.0
) -> dict[str, dict[str, float]]:
    """Median time of each call, taken in turns so that a busy machine slows all alike.

    Args:
        calls: functions without arguments; each is called once before the clock starts.
        repeats: timed rounds.
        pause_s: before every turn, s: threads that wait for work by spinning then let go.
        turn_s: least length of a turn, s, of which the mean call counts; for as long it is called
            before, which wakes its threads. A core that slept comes to a program's help only after
            tens of ms (measured: 28 ms for the first call of one that then takes 15).

    Returns:
        For every name cpu_ms (all threads of the process) and wall_ms.
    """
    for call in calls.values():
        _once(call)
    rounds = []
    for _ in range(repeats):
        times = {}
        for name, call in calls.items():
            if pause_s:
                time.sleep(pause_s)
                _turn(call, turn_s)
            times[name] = _turn(call, turn_s)
        rounds.append(times)
    return {
        name: {
            "cpu_ms": 1e3 * statistics.median(r[name][0] for r in rounds),
            "wall_ms": 1e3 * statistics.median(r[name][1] for r in rounds),
        }
        for name in calls
    }


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _git(*args: str) -> str:
    done = subprocess.run(
        ["git", *args], cwd=RESULTS.parent, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def write_record(name: str, settings: Mapping[str, Any], results: Mapping[str, Any]) -> Path:
    """Write results/NAME.json: settings, results, hardware, versions, commit and time."""
    record = {
        "settings": settings,
        "results": results,
        "hardware": {
            "cpu": _cpu_model(),
            "cores": os.cpu_count(),
            "devices": sorted({device.device_kind for device in jax.devices()}),
        },
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in ("jax", "jaxlib", "flax")},
        },
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted": bool(_git("status", "--porcelain")),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(record, indent=2) + "\n")
    return path
