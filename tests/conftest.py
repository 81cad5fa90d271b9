"""Eight faked CPU devices for every test; a test that wants one device makes a mesh of one.

Half of the suite's time is compilation. So XLA leaves optimisations out, and what one test
compiled, others of the same session, their processes too, take from a folder that is theirs.
"""

import os
import shutil
import tempfile
from pathlib import Path

import jax

jax.config.update("jax_num_cpu_devices", 8)

_SESSION = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
_CACHE = Path(tempfile.gettempdir()) / f"jaxcalo-tests-{_SESSION}"
_SETTINGS = {
    "jax_compilation_cache_dir": str(_CACHE),
    "jax_persistent_cache_min_compile_time_secs": 0.2,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}


def pytest_configure(config):
    """Set JAX up for this process and those of the tests; slow tests compute more than compile."""
    quick = "not slow" in config.getoption("markexpr")
    for name, value in {**_SETTINGS, "jax_disable_most_optimizations": quick}.items():
        jax.config.update(name, value)
        os.environ[name.upper()] = str(value)


def pytest_unconfigure(config):
    """Remove the folder: at the end of a worker-less session, or of the one that has workers."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(_CACHE, ignore_errors=True)
