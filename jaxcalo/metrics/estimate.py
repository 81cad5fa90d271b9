"""A number with its statistical error: what every metric returns."""

from typing import NamedTuple

N_SIGMA = 2.0  # chosen: one agreement in forty is lost to chance


def within_floor(value: float, floor: float, error: float) -> bool:
    """Whether a distance is at most the reference's own plus N_SIGMA errors."""
    return value <= floor + N_SIGMA * error


class Estimate(NamedTuple):
    """A measured value.

    Attributes:
        value: the number.
        error: one standard deviation of its statistical uncertainty, in the same unit.
        n: how many entries (showers or cells) the smaller of the compared samples had.
    """

    value: float
    error: float
    n: int

    def to_json(self) -> dict[str, float]:
        """Return {"value", "error"} as plain floats; n stands with the sizes of the samples."""
        return {"value": float(self.value), "error": float(self.error)}
