"""OpenBLAS has one thread unless the user says otherwise; it reads that when numpy is imported."""

import os
import subprocess
import sys

import pytest

_CODE = """
import os, sys
import jaxcalo.cli
assert "numpy" not in sys.modules
print(os.environ["OPENBLAS_NUM_THREADS"])
"""


@pytest.mark.parametrize(("given", "used"), [(None, "1"), ("3", "3")])
def test_the_environment_is_set_before_numpy(given, used):
    environment = {k: v for k, v in os.environ.items() if k != "OPENBLAS_NUM_THREADS"}
    if given is not None:
        environment["OPENBLAS_NUM_THREADS"] = given
    done = subprocess.run(
        [sys.executable, "-c", _CODE], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == used
