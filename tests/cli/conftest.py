"""A tiny trained run, and one device."""

import fcntl
import os

import jax
import pytest
from command_line import RECIPE, spawned


@pytest.fixture(scope="module", autouse=True)
def one_device():
    """Verbs run in this process see one device: eight would each fill a whole block of showers.

    Several devices have processes of their own, see `spawn`.
    """
    devices = jax.devices()[:1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax, "devices", lambda: devices)
        yield


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The folder of a finished tiny run, made by the command line; all workers share one."""
    session = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    shared = tmp_path_factory.getbasetemp().parent / f"trained-{session}"
    shared.mkdir(exist_ok=True)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the second worker waits here
        if not (shared / "done").exists():
            code, _, err = spawned("train", RECIPE, "--out", shared / "run")
            assert code == 0, err
            (shared / "done").touch()
    return shared / "run"
