"""Libraries read the environment when they are imported; the command line sets it before that."""

import os
import subprocess
import sys

import pytest

_THREADS = """
import os, sys
import jaxcalo.cli
assert "numpy" not in sys.modules
print(os.environ["OPENBLAS_NUM_THREADS"])
"""
_PROGRAMS = """
import jaxcalo.cli.main, jaxcalo.cli.sample
import jax
print(jax.config.jax_compilation_cache_dir)
"""
_SAMPLE = """
import sys
import jaxcalo.cli.sample, jaxcalo.experiment
print([name for name in sys.modules if name.split(".")[0] in ("matplotlib", "scipy")])
"""


def output_of(code, **settings):
    """What a new process prints that has these settings and no others of ours."""
    ours = ("OPENBLAS_NUM_THREADS", "JAX_COMPILATION_CACHE_DIR")
    environment = {k: v for k, v in os.environ.items() if k not in ours} | settings
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("given", "used"), [({}, "1"), ({"OPENBLAS_NUM_THREADS": "3"}, "3")], ids=["ours", "theirs"]
)
def test_openblas_has_one_thread_unless_the_user_says_otherwise(given, used):
    assert output_of(_THREADS, **given) == used


def test_compiled_programs_are_kept_in_the_users_cache_folder(tmp_path):
    found = output_of(_PROGRAMS, XDG_CACHE_HOME=str(tmp_path))
    assert found == str(tmp_path / "jaxcalo" / "xla")
    chosen = str(tmp_path / "chosen")
    assert output_of(_PROGRAMS, JAX_COMPILATION_CACHE_DIR=chosen) == chosen


def test_sampling_does_not_wait_for_what_draws_and_judges():
    assert output_of(_SAMPLE) == "[]"
