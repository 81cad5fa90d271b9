"""What a measured time depends on, beside the program: the machine and the versions."""

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any


def machine_record() -> dict[str, Any]:
    """Devices, processor, cores and versions, as a record."""
    import jax

    return {
        "platform": jax.default_backend(),
        "devices": [device.device_kind for device in jax.devices()],
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "versions": {name: version(name) for name in ("jaxcalo", "jax", "flax")},
    }


def commit() -> str | None:
    """The commit of the package where it lies in its repository, "+" if changed; None elsewhere."""
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=12"]
    try:
        done = subprocess.run([*git, "--dirty=+"], capture_output=True, text=True, check=False)
    except OSError:  # no git here
        return None
    return done.stdout.strip() or None


def _cpu() -> str:
    """The processor's name where the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if sys.platform == "linux" and cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        if names:
            return names[0].partition(":")[2].strip()
    return platform.processor()
