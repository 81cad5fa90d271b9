"""Real Geant4 showers that come with the package; README.md here says how they were made."""

from pathlib import Path

from jaxcalo.errors import InputError

SAMPLES = ("par04_lite_train", "par04_lite_test")


def sample_path(name: str) -> Path:
    """Return the path of a shipped shower file.

    Args:
        name: one of SAMPLES.

    Raises:
        InputError: there is no sample of this name.
    """
    if name not in SAMPLES:
        raise InputError(f"no sample {name!r}; choose one of {', '.join(SAMPLES)}")
    return Path(__file__).parent / f"{name}.h5"
