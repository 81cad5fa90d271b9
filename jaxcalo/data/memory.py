"""How much memory this process may still take."""

import os
from pathlib import Path

_GROUPS = Path("/proc/self/cgroup")
_GROUP_ROOT = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")


def available_memory_bytes() -> int:
    """Return the memory that is free or can be freed, within the limit of a batch job or container.

    Linux tells what is available (MemAvailable) and the limits of control groups (version 2);
    elsewhere half of the machine's memory is taken.
    """
    return min([_machine_bytes(), *_group_bytes()])


def _machine_bytes() -> int:
    if _MEMINFO.exists():
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _group_bytes() -> list[int]:
    """Return what each enclosing control group still allows."""
    if not _GROUPS.exists():
        return []
    groups = [line[3:] for line in _GROUPS.read_text().splitlines() if line.startswith("0::")]
    free = []
    for group in groups:
        folder = _GROUP_ROOT / group.lstrip("/")
        for level in [folder, *folder.parents]:
            limit, used = level / "memory.max", level / "memory.current"
            if limit.exists() and used.exists() and limit.read_text().strip() != "max":
                free.append(max(0, int(limit.read_text()) - int(used.read_text())))
    return free
