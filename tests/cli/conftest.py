"""A tiny trained run, and one device."""

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
    """The folder of a finished tiny run, made by the command line."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    code, _, err = spawned("train", RECIPE, "--out", folder)
    assert code == 0, err
    return folder
