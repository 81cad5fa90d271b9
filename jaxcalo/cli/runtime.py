"""What a process needs before its first computation: memory that stays, and a compilation cache."""

import ctypes
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

# Parameters of glibc's mallopt (malloc.h) and their values in bytes; the last counts arenas.
_MALLOC_SETTINGS = {
    -3: 2**30,  # M_MMAP_THRESHOLD: what is smaller comes from the heap
    -1: 2**31 - 1,  # M_TRIM_THRESHOLD: the heap is not given back
    -2: 2**26,  # M_TOP_PAD: it grows in large steps
    -8: 1,  # M_ARENA_MAX: other arenas map and unmap small heaps
}


# Verbs that generate and do not train.
_GENERATING = ["sample"], ["bench", "sampling"]


def set_environment() -> None:
    """Set what libraries read when they are imported, unless the user has set it.

    Compiled programs are kept in the user's cache folder. XLA logs an error for every one that it
    reads from there on a CPU, whose own options it takes for features of the machine: only what is
    fatal is logged; other errors are raised anyway. numpy's OpenBLAS gets one thread, since its
    threads wait for each other on busy cores: one set of eigenvalues of 362 features took 0.3 to
    1.45 s with them, 0.009 s with one. XLA has its own threads.
    """
    settings = {
        "JAX_COMPILATION_CACHE_DIR": str(cache_folder()),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "OPENBLAS_NUM_THREADS": "1",
    }
    for name, value in settings.items():
        os.environ.setdefault(name, value)


def one_device_a_core(arguments: Sequence[str]) -> None:
    """Show a CPU to verbs that generate as one device a core, unless the user says how many.

    Each makes events of its own, from 1.2 to 1.7 times as many in all as one device whose cores
    share every product (`jaxcalo bench sampling --devices 1 2`). Training is no faster so.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if "jax" in sys.modules or "host_platform_device_count" in flags:
        return
    if any(list(arguments[: len(verb)]) == verb for verb in _GENERATING):
        os.environ.setdefault("JAX_NUM_CPU_DEVICES", str(_usable_cores()))


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def configure() -> None:
    """Keep freed memory.

    XLA on CPU allocates and frees its buffers on every call; by default glibc returns large ones
    to the system, and the page faults of getting them back cost up to half of the time
    (experiments/benchmarks/allocator_speed.py).
    """
    if platform.system() == "Linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for parameter, value in _MALLOC_SETTINGS.items():
            libc.mallopt(parameter, value)


def cache_folder() -> Path:
    """The folder of compiled programs: $XDG_CACHE_HOME/jaxcalo/xla, by default under ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "jaxcalo" / "xla"
