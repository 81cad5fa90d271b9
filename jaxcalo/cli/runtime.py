"""What a process needs before its first computation: memory that stays, and a compilation cache."""

import ctypes
import os
import platform
from pathlib import Path

# Parameters of glibc's mallopt (malloc.h) and their values in bytes; the last counts arenas.
_MALLOC_SETTINGS = {
    -3: 2**30,  # M_MMAP_THRESHOLD: what is smaller comes from the heap
    -1: 2**31 - 1,  # M_TRIM_THRESHOLD: the heap is not given back
    -2: 2**26,  # M_TOP_PAD: it grows in large steps
    -8: 1,  # M_ARENA_MAX: other arenas map and unmap small heaps
}


def configure() -> None:
    """Keep freed memory, and keep compiled programs in the user's cache folder.

    XLA on CPU allocates and frees its buffers on every call; by default glibc returns large ones
    to the system, and the page faults of getting them back cost up to half of the time
    (experiments/benchmarks/allocator_speed.py).
    """
    if platform.system() == "Linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for parameter, value in _MALLOC_SETTINGS.items():
            libc.mallopt(parameter, value)
    folder = cache_folder()
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
    # XLA logs an error for every program that it reads from the cache on a CPU, whose own options
    # it takes for features of the machine; what it cannot run, it raises.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def cache_folder() -> Path:
    """The folder of compiled programs: $XDG_CACHE_HOME/jaxcalo/xla, by default under ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "jaxcalo" / "xla"
