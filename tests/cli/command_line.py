"""The command line as a function and as a process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jaxcalo.cli.main import main

RECIPE = str(Path(__file__).parent / "tiny_recipe.py")


def run(*arguments):
    """Run one verb in this process; returns its exit code."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return stop.value.code or 0


def assert_one_line(capsys, code, *parts):
    """The exit code and the message of unusable input: one line that says all of the parts."""
    err = capsys.readouterr().err
    assert code == 2
    assert err.startswith("jaxcalo: error: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    for part in parts:
        assert part in err


def spawn(*arguments, devices=1):
    """Start one verb as a process of its own, with faked devices."""
    flags = f"--xla_force_host_platform_device_count={devices}"
    environment = os.environ | {"XLA_FLAGS": flags}
    command = [sys.executable, "-m", "jaxcalo", *(str(argument) for argument in arguments)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def spawned(*arguments, devices=1):
    """Run one verb as its own process; returns (exit code, standard output, standard error)."""
    process = spawn(*arguments, devices=devices)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err
