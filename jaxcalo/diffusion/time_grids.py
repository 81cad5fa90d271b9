"""Grids of times for sampling: (n_steps + 1,) from 1 down to 0.

A grid is an argument of the sampler, so another grid of the same length compiles nothing. The
dataclasses are the same grids as settings, (schedule, n_steps) -> times.
"""

from dataclasses import dataclass
from typing import Protocol

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcalo.diffusion.schedules import NoiseSchedule
from jaxcalo.errors import InputError

Times = Float[Array, " n_steps+1"]


def uniform(n_steps: int) -> Times:
    """Return equal steps in t: the grid of a DDPM with n_steps steps."""
    return _unit_grid(n_steps)


def quadratic(n_steps: int) -> Times:
    """Return t_i = (1 - i / n_steps)^2: short steps near the data.

    Source: Song, Meng and Ermon 2021 (arXiv:2010.02502), appendix D.2.
    """
    return _unit_grid(n_steps) ** 2


def uniform_log_snr(schedule: NoiseSchedule, n_steps: int) -> Times:
    """Return equal steps in log_snr.

    Source: Lu et al. 2022 (arXiv:2206.00927), section 3.
    """
    u = _unit_grid(n_steps)
    log_snr = u * schedule.log_snr(u[0]) + (1 - u) * schedule.log_snr(u[-1])
    return _exact_ends(schedule.inverse_log_snr(log_snr))


def karras(schedule: NoiseSchedule, n_steps: int, rho: float = 7.0) -> Times:
    """Return equal steps in (sigma / alpha)^(1 / rho), between the two ends of the schedule.

    Args:
        schedule: the noise schedule.
        n_steps: the number of steps.
        rho: 1 is equal steps in sigma / alpha; larger shortens the steps near the data; 7 is the
            paper's.

    Returns:
        The times (n_steps + 1,).

    Source: Karras et al. 2022 (arXiv:2206.00364), eq. 5.
    """
    u = _unit_grid(n_steps)
    first = jnp.exp(-schedule.log_snr(u[0]) / (2 * rho))
    last = jnp.exp(-schedule.log_snr(u[-1]) / (2 * rho))
    log_snr = -2 * rho * jnp.log(u * first + (1 - u) * last)
    return _exact_ends(schedule.inverse_log_snr(log_snr))


def _unit_grid(n_steps: int) -> Times:
    if n_steps < 1:
        raise InputError(f"Time grid: expected n_steps >= 1, found {n_steps}; ask for more steps.")
    return jnp.linspace(1.0, 0.0, n_steps + 1)


def _exact_ends(times: Times) -> Times:
    # the inverse of the schedule leaves a rounding error where 0 and 1 are meant
    return times.at[0].set(1.0).at[-1].set(0.0)


class TimeGrid(Protocol):
    """A rule that lays a grid of times for a schedule."""

    def __call__(self, schedule: NoiseSchedule, n_steps: int) -> Times:
        """Return the times (n_steps + 1,) from 1 down to 0."""
        ...


@dataclass(frozen=True)
class Uniform:
    """Equal steps in t: `uniform`."""

    def __call__(self, schedule: NoiseSchedule, n_steps: int) -> Times:  # noqa: ARG002
        """Return the times."""
        return uniform(n_steps)


@dataclass(frozen=True)
class Quadratic:
    """Short steps near the data: `quadratic`."""

    def __call__(self, schedule: NoiseSchedule, n_steps: int) -> Times:  # noqa: ARG002
        """Return the times."""
        return quadratic(n_steps)


@dataclass(frozen=True)
class UniformLogSnr:
    """Equal steps in log_snr: `uniform_log_snr`."""

    def __call__(self, schedule: NoiseSchedule, n_steps: int) -> Times:
        """Return the times."""
        return uniform_log_snr(schedule, n_steps)


@dataclass(frozen=True)
class Karras:
    """Equal steps in (sigma / alpha)^(1 / rho): `karras`.

    Args:
        rho: as in `karras`.

    Raises:
        InputError: if rho is not above 0.
    """

    rho: float = 7.0

    def __post_init__(self):
        if not self.rho > 0:
            raise InputError(f"Karras grid: expected rho > 0, found {self.rho}; use 7, say.")

    def __call__(self, schedule: NoiseSchedule, n_steps: int) -> Times:
        """Return the times."""
        return karras(schedule, n_steps, self.rho)


@dataclass(frozen=True)
class Searched:
    """Times given one by one, as a search over grids found them for one model and sampler.

    Args:
        times: n_steps + 1 times, strictly decreasing from 1 to 0.

    Raises:
        InputError: if they are not, or, when called, if another number of steps is asked for.
    """

    times: tuple[float, ...]

    def __post_init__(self):
        falls = all(t > s for t, s in zip(self.times, self.times[1:], strict=False))
        if not (len(self.times) > 1 and self.times[0] == 1 and self.times[-1] == 0 and falls):
            raise InputError(
                "Searched grid: expected times that fall strictly from 1 to 0, found "
                f"{self.times}; sort them and add the ends."
            )

    def __call__(self, schedule: NoiseSchedule, n_steps: int) -> Times:  # noqa: ARG002
        """Return the times."""
        if n_steps != len(self.times) - 1:
            raise InputError(
                f"Searched grid: expected n_steps={len(self.times) - 1}, for which it was found, "
                f"found {n_steps}; ask for that number or choose another grid."
            )
        return jnp.asarray(self.times)
