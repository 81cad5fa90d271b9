"""Eight faked CPU devices for every test; a test that wants one device makes a mesh of one.

Half of the suite's time is compilation. So XLA leaves optimisations out, and what one test
compiled, others of the same session, their processes too, take from a folder that is theirs.
"""

import os
import shutil
import tempfile
from pathlib import Path

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 8)

_SESSION = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
_CACHE = Path(tempfile.gettempdir()) / f"jaxcalo-tests-{_SESSION}"
_SETTINGS = {
    "jax_compilation_cache_dir": str(_CACHE),
    "jax_persistent_cache_min_compile_time_secs": 0.2,
    "jax_persistent_cache_min_entry_size_bytes": -1,
    "jax_disable_most_optimizations": True,
}

for name, value in _SETTINGS.items():
    jax.config.update(name, value)
    os.environ[name.upper()] = str(value)


@pytest.fixture(scope="module")
def optimised():
    """Good machine code, for tests that compute for longer than it takes to make it."""
    name = "jax_disable_most_optimizations"
    jax.config.update(name, False)
    yield
    jax.config.update(name, True)


def pytest_unconfigure(config):
    """Remove the folder: at the end of a worker-less session, or of the one that has workers."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(_CACHE, ignore_errors=True)
