"""The sampler contract and the one loop that runs it.

A sampler is two pure functions over one event. Its state is a NamedTuple that holds at least x, so
that a multistep method can carry its past evaluations in it. A factory is a frozen dataclass that
holds the method's settings and makes the sampler from a schedule and a denoiser.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from jaxcalo.diffusion.time_grids import Times
from jaxcalo.typing import Cond, Event, Key, Scalar

State = Any
"""A NamedTuple with a field x, the event at the present time."""


class Sampler(NamedTuple):
    """One method of going from noise to data.

    Attributes:
        init: (x_T, cond) -> state at the first time of the grid.
        step: (state, key, t, s, cond) -> state at s < t; the key may be None for a method that
            draws nothing.
    """

    init: Callable[[Event, Cond], State]
    step: Callable[[State, Key | None, Scalar, Scalar, Cond], State]


class EventState(NamedTuple):
    """The state of a method without memory."""

    x: Event


def sample(key: Key | None, sampler: Sampler, x_T: Event, times: Times, cond: Cond) -> Event:
    """Run a sampler down a grid of times, as one scan.

    Args:
        key: one typed key; each step gets its own. None for a method that draws nothing.
        sampler: the sampler.
        x_T: the event at times[0], for t = 1 standard normal noise.
        times: (n_steps + 1,), decreasing, from 1 to 0.
        cond: the conditions of the event.

    Returns:
        The event at times[-1].
    """

    def body(state, step):
        step_key, t, s = step
        return sampler.step(state, step_key, t, s, cond), None

    keys = None if key is None else jax.random.split(key, len(times) - 1)
    state, _ = jax.lax.scan(body, sampler.init(x_T, cond), (keys, times[:-1], times[1:]))
    return state.x
