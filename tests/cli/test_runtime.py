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
_DEVICES = """
import sys
from jaxcalo.cli import main
main._guarded = lambda arguments: print(len(__import__("jax").devices()))
main.main(sys.argv[1:])
"""
_SAMPLE = """
import sys
import jaxcalo.cli.sample, jaxcalo.experiment
print([name for name in sys.modules if name.split(".")[0] in ("matplotlib", "scipy")])
"""


def output_of(code, *arguments, **settings):
    """What a new process prints that has these settings and no others of ours."""
    ours = ("OPENBLAS_NUM_THREADS", "JAX_COMPILATION_CACHE_DIR", "JAX_NUM_CPU_DEVICES", "XLA_FLAGS")
    environment = {k: v for k, v in os.environ.items() if k not in ours} | settings
    command = [sys.executable, "-c", code, *arguments]
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


@pytest.mark.parametrize(
    ("verb", "settings", "n_devices"),
    [
        ("sample RUN", {}, len(os.sched_getaffinity(0))),
        ("bench sampling RUN", {}, len(os.sched_getaffinity(0))),
        ("bench training RECIPE", {}, 1),
        ("train RECIPE", {}, 1),
        ("sample RUN", {"JAX_NUM_CPU_DEVICES": "3"}, 3),
        ("sample RUN", {"XLA_FLAGS": "--xla_force_host_platform_device_count=5"}, 5),
    ],
)
def test_verbs_that_only_generate_see_one_device_a_core_unless_the_user_says_otherwise(
    verb, settings, n_devices
):
    settings = {"JAX_PLATFORMS": "cpu", **settings}
    assert output_of(_DEVICES, *verb.split(), **settings) == str(n_devices)
